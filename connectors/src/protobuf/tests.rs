use operators::identity::testing::Seeded;
use serde_json::Value;

use super::{Message, Messages};

/// A schema, what it imports, and a value of it as Python's `protobuf` writes it.
const EVENT: &str = r#"syntax = "proto3";
package shop.v1;

import "google/protobuf/duration.proto";
import "google/protobuf/struct.proto";
import "google/protobuf/timestamp.proto";
import "google/protobuf/wrappers.proto";
import "common/money.proto";

message Event {
  enum Kind { KIND_UNSPECIFIED = 0; KIND_TRACK = 1; KIND_PAGE = 2; }
  string message_id = 1;
  google.protobuf.Timestamp timestamp = 2;
  Kind kind = 3;
  optional string user_id = 4;
  map<string, google.protobuf.Value> properties = 5;
  message Item {
    string sku = 1;
    common.Money price = 2;
    repeated Item parts = 3;
  }
  repeated Item items = 6;
  bytes raw = 7;
  oneof place { string city = 8; sint64 shop_number = 9; }
  double ratio = 10;
  float half = 11;
  uint64 big = 12;
  bool paid = 13;
  repeated fixed32 codes = 14;
  google.protobuf.Duration took = 15;
  google.protobuf.StringValue note = 16;
  google.protobuf.Int64Value count = 17;
  google.protobuf.Struct context = 18;
  map<int32, string> by_number = 19;
  string odd_name = 20 [json_name = "@odd"];
}

message Other {
  message Inner { int32 n = 1; }
}
"#;
const MONEY: &str = r#"syntax = "proto2";
package common;
message Money {
  required int64 cents = 1;
  optional string currency = 2 [default = "EUR"];
}
"#;
const WRITTEN: &str = "\
    0a056d2231c3a9120908a5ebdcca0610f02e180222002a0e0a0161120911000000000000f03f2a0e0a01621209\
    1100000000000004c02a080a016312031a01782a070a0164120220012a070a0165120208002a280a016612232a\
    210a1f0a016b121a32180a0911000000000000f03f0a0b2a090a070a016e12020800321f0a0173120308d2091a\
    150a0174121008fbffffffffffffffff01120355534432003a02ff004805519a9999999999b93f5dcdcccc3d60\
    ffffffffffffffffff01720801000000ffffffff7a1608ffffffffffffffffff011080b6ca91feffffffff0182\
    01008a01009201180a160a036c6962120f2a0d0a0b0a046e616d6512031a016a9a010e08feffffffffffffffff\
    011201629a0105080a120161a2010178";

fn bytes(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
    digits.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}

fn messages() -> Messages {
    let imports = [("common/money.proto".to_owned(), MONEY.to_owned())];
    Messages::parse(EVENT, &imports).unwrap()
}

fn read(message: &Message, value: &[u8]) -> Result<String, String> {
    let mut out = Vec::new();
    message.json(value, &mut out)?;
    Ok(String::from_utf8(out).unwrap())
}

/// The only message of a text.
fn only(text: &str) -> Result<Message, String> {
    Messages::parse(text, &[])?.only()
}

#[test]
fn what_others_write_is_read() {
    let event = messages().named("Event").unwrap();
    let text = read(&event, &bytes(WRITTEN)).unwrap();
    assert_eq!(
        text,
        "{\"messageId\":\"m\\\"1é\",\"timestamp\":\"2026-01-02T03:04:05.000006Z\",\
         \"kind\":\"KIND_PAGE\",\"userId\":\"\",\
         \"properties\":{\"a\":1.0,\"b\":-2.5,\"c\":\"x\",\"d\":true,\"e\":null,\
         \"f\":{\"k\":[1.0,{\"n\":null}]}},\
         \"items\":[{\"sku\":\"s\",\"price\":{\"cents\":1234},\"parts\":[{\"sku\":\"t\",\
         \"price\":{\"cents\":-5,\"currency\":\"USD\"}}]},{}],\
         \"raw\":\"/wA=\",\"shopNumber\":-3,\"ratio\":0.1,\"half\":0.1,\
         \"big\":18446744073709551615,\"codes\":[1,4294967295],\"took\":\"-1.500s\",\
         \"note\":\"\",\"count\":0,\"context\":{\"lib\":{\"name\":\"j\"}},\
         \"byNumber\":{\"-2\":\"b\",\"10\":\"a\"},\"@odd\":\"x\"}"
    );
    serde_json::from_str::<Value>(&text).unwrap();
    assert_eq!(read(&event, b"").as_deref(), Ok("{}"));
}

/// Messages are numbered as they stand in the file; the entries of a map are none.
#[test]
fn messages_have_places_and_names() {
    let messages = messages();
    let named = |name: &str| messages.named(name).unwrap();
    assert_eq!(messages.at(&[0]), Some(named("shop.v1.Event")));
    assert_eq!(messages.at(&[0, 0]), Some(named("Event.Item")));
    assert_eq!(messages.at(&[1, 0]), Some(named("shop.v1.Other.Inner")));
    for none in [&[][..], &[2], &[0, 1], &[1, 0, 0]] {
        assert_eq!(messages.at(none), None, "{none:?}");
    }
    assert_eq!(read(&named("Other.Inner"), &bytes("08ac02")).as_deref(), Ok("{\"n\":300}"));
    let all = "shop.v1.Event, shop.v1.Other";
    assert_eq!(messages.named("Evnt").unwrap_err(), format!("no message \"Evnt\"; it has {all}"));
    assert_eq!(messages.only().unwrap_err(), format!("it has several messages, {all}"));
    assert_eq!(only("syntax = \"proto3\";").unwrap_err(), "it has no message");
}

#[test]
fn single_values() {
    for (body, hex, text) in [
        ("double a = 1;", "09000000000000f07f", "{\"a\":null}"),
        ("optional bool a = 1;", "0800", "{\"a\":false}"),
        ("bool a = 1;", "0800", "{}"),
        // The last of two counts, and what the schema does not have is passed over.
        ("int32 a = 1;", "080110050803", "{\"a\":3}"),
        (
            "enum E { X = 0; Y = 5; } E a = 1; repeated E b = 2;",
            "0806120205063001",
            "{\"a\":6,\"b\":[\"Y\",6]}",
        ),
        (
            "map<bool, bytes> a = 1;",
            "0a0508011201ff0a00",
            "{\"a\":{\"false\":\"\",\"true\":\"/w==\"}}",
        ),
        (
            "google.protobuf.Timestamp a = 1;",
            "0a0b08ffffffffffffffffff01",
            "{\"a\":\"1969-12-31T23:59:59.000000Z\"}",
        ),
        ("google.protobuf.Duration a = 1;", "0a0408031005", "{\"a\":\"3.000000005s\"}"),
        ("google.protobuf.Duration a = 1;", "0a020803", "{\"a\":\"3s\"}"),
        ("google.protobuf.Value a = 1;", "0a00", "{\"a\":null}"),
        (
            "google.protobuf.ListValue a = 1; google.protobuf.Struct b = 2;",
            "0a001200",
            "{\"a\":[],\"b\":{}}",
        ),
        ("google.protobuf.BytesValue a = 1;", "0a00", "{\"a\":\"\"}"),
        (
            "google.protobuf.Any a = 1;",
            "0a060a0161120162",
            "{\"a\":{\"typeUrl\":\"a\",\"value\":\"Yg==\"}}",
        ),
        (
            "confluent.type.Decimal a = 1 [(confluent.field_meta).doc = \"x\"];",
            "0a060a0204d21802",
            "{\"a\":12.34}",
        ),
    ] {
        let imports = ["any", "duration", "struct", "timestamp", "wrappers"];
        let imports =
            imports.map(|name| format!("import \"google/protobuf/{name}.proto\";")).concat();
        let more = "import \"confluent/meta.proto\"; import \"confluent/type/decimal.proto\";";
        let schema = format!("syntax = \"proto3\"; {imports} {more} message M {{ {body} }}");
        let message = only(&schema).unwrap();
        assert_eq!(read(&message, &bytes(hex)).as_deref(), Ok(text), "{body} {hex}");
    }
}

#[test]
fn nonsense_is_told() {
    for (schema, said) in [
        ("message {", "expected an identifier"),
        ("syntax = \"proto3\"; message M { Nothing a = 1; }", "Nothing"),
        ("import \"other.proto\";", "other.proto"),
        ("{\"type\":\"string\"}", "expected"),
    ] {
        let error = only(schema).unwrap_err();
        assert!(error.contains(said) && !error.contains('\n'), "{schema}: {error}");
    }
    let event = messages().named("Event").unwrap();
    for hex in
        ["0a05", "0b", "0a01ff", "12", "120b0880808080808080808001", "ffffffffffffffffffffff"]
    {
        read(&event, &bytes(hex)).unwrap_err();
    }
    // A thousand items, each with a name that is much longer than its byte.
    let long = "X".repeat(10_000);
    let schema =
        format!("syntax = \"proto3\"; message M {{ enum E {{ {long} = 0; }} repeated E e = 1; }}");
    let many = [&[0x0a, 0xe8, 0x07][..], &[0; 1000]].concat();
    let error = read(&only(&schema).unwrap(), &many).unwrap_err();
    assert!(error.contains("bytes of JSON"), "{error}");
    // A message within itself, as deep as the bytes say.
    let within = only("syntax = \"proto3\"; message M { M m = 1; }").unwrap();
    let deep = |depth: usize| {
        (0..depth).fold(Vec::new(), |inner, _| {
            let mut outer = vec![0x0a];
            let length = inner.len();
            if length >= 0x80 {
                outer.push(length as u8 | 0x80);
                outer.push((length >> 7) as u8);
            } else {
                outer.push(length as u8);
            }
            [outer, inner].concat()
        })
    };
    assert!(read(&within, &deep(50)).is_ok());
    assert!(read(&within, &deep(5000)).is_err());
}

/// Whatever the bytes are, they are read or refused; what is read is JSON.
#[test]
fn any_bytes_do_no_harm() {
    let event = messages().named("Event").unwrap();
    let written = bytes(WRITTEN);
    let mut good = 0;
    for seed in 0..20_000 {
        let mut random = Seeded(seed);
        let mut value = written.clone();
        for _ in 0..=random.below(3) {
            let place = random.below(value.len() as u64) as usize;
            match random.below(3) {
                0 => value[place] = random.bits() as u8,
                1 => drop(value.remove(place)),
                _ => value.insert(place, random.bits() as u8),
            }
        }
        if let Ok(text) = read(&event, &value) {
            serde_json::from_str::<Value>(&text).unwrap();
            // The same bytes give the same text.
            assert_eq!(read(&event, &value).as_ref(), Ok(&text));
            good += 1;
        }
    }
    assert!(good > 100, "{good}");
}

#[test]
fn a_file_imports_what_lies_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("event.proto");
    assert!(Messages::read(&path).unwrap_err().starts_with("can't read \"event.proto\": No such"));
    std::fs::write(&path, EVENT).unwrap();
    assert!(Messages::read(&path).unwrap_err().contains("common/money.proto"));
    std::fs::create_dir(folder.path().join("common")).unwrap();
    std::fs::write(folder.path().join("common/money.proto"), MONEY).unwrap();
    let event = Messages::read(&path).unwrap().named("Event").unwrap();
    assert!(read(&event, &bytes(WRITTEN)).unwrap().contains("\"cents\":1234"));
}
