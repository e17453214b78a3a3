use operators::identity::testing::Seeded;
use serde_json::Value;

use super::Schema;

/// A schema, and a value of it as Python's `fastavro` writes it.
const EVENT: &str = r#"{"type":"record","name":"Event","namespace":"shop.v1","fields":[
    {"name":"messageId","type":"string"},
    {"name":"timestamp","type":{"type":"long","logicalType":"timestamp-millis"}},
    {"name":"kind","type":{"type":"enum","name":"Kind","symbols":["track","page"]}},
    {"name":"userId","type":["null","string"]},
    {"name":"properties","type":{"type":"map",
        "values":["null","long","double","string","boolean"]}},
    {"name":"items","type":{"type":"array","items":{"type":"record","name":"Item","fields":[
        {"name":"sku","type":"string"},
        {"name":"price","type":{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}},
        {"name":"part_of","type":["null","Item"]}]}}},
    {"name":"raw","type":"bytes"},
    {"name":"id","type":{"type":"fixed","name":"Id","size":4}},
    {"name":"day","type":{"type":"int","logicalType":"date"}},
    {"name":"at","type":{"type":"long","logicalType":"timestamp-micros"}},
    {"name":"ratio","type":"float"},
    {"name":"second","type":"shop.v1.Kind"}]}"#;
const WRITTEN: &str = "0a6d2231c3a99cb2cccaef6602000a02610202026204000000000000\
    04c0026306027802640801026500000402730404d202027402fb000008f8a43344000004ff000102030401ffd5d5f1\
    a4c88a01cdcccc3d00";

fn bytes(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
    digits.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}

fn read(schema: &str, value: &[u8]) -> Result<String, String> {
    let mut out = Vec::new();
    Schema::parse(schema)?.json(value, &mut out)?;
    Ok(String::from_utf8(out).unwrap())
}

#[test]
fn what_others_write_is_read() {
    let text = read(EVENT, &bytes(WRITTEN)).unwrap();
    assert_eq!(
        text,
        "{\"messageId\":\"m\\\"1é\",\"timestamp\":\"2026-01-02T03:04:05.006000Z\",\
         \"kind\":\"page\",\"userId\":null,\
         \"properties\":{\"a\":1,\"b\":-2.5,\"c\":\"x\",\"d\":true,\"e\":null},\
         \"items\":[{\"sku\":\"s\",\"price\":12.34,\
         \"part_of\":{\"sku\":\"t\",\"price\":-0.05,\"part_of\":null}},\
         {\"sku\":\"\",\"price\":-1234567.00,\"part_of\":null}],\
         \"raw\":\"/wA=\",\"id\":\"AQIDBA==\",\"day\":\"1969-12-31\",\
         \"at\":\"1960-05-06T07:08:09.123456Z\",\"ratio\":0.1,\"second\":\"track\"}"
    );
    serde_json::from_str::<Value>(&text).unwrap();
}

#[test]
fn single_values() {
    for (schema, hex, text) in [
        ("long", "00", "0"),
        ("\"long\"", "01", "-1"),
        ("\"int\"", "8001", "64"),
        ("\"long\"", "feffffffffffffffff01", "9223372036854775807"),
        ("\"long\"", "ffffffffffffffffff01", "-9223372036854775808"),
        ("\"double\"", "000000000000f07f", "null"),
        ("[\"null\",\"int\"]", "0206", "3"),
        // A block of two with its size in bytes, and a second one.
        ("{\"type\":\"array\",\"items\":\"int\"}", "03040204020600", "[1,2,3]"),
        ("{\"type\":\"int\",\"logicalType\":\"unheard-of\"}", "02", "1"),
        (
            "{\"type\":\"long\",\"logicalType\":\"local-timestamp-micros\"}",
            "01",
            "\"1969-12-31T23:59:59.999999\"",
        ),
    ] {
        assert_eq!(read(schema, &bytes(hex)).as_deref(), Ok(text), "{schema} {hex}");
    }
    let fields = r#"{"type":"record","name":"R","fields":
        [{"name":"at","type":"long","logicalType":"timestamp-millis"}]}"#;
    let at = "{\"at\":\"1970-01-01T00:00:00.001000Z\"}";
    assert_eq!(read(fields, &[2]).as_deref(), Ok(at));
    let others = [r#"{"type":"fixed","name":"a.B","size":1}"#.to_owned()];
    let mut out = Vec::new();
    Schema::with("\"a.B\"", &others).unwrap().json(&[7], &mut out).unwrap();
    assert_eq!(out, b"\"Bw==\"");
}

#[test]
fn nonsense_is_told() {
    for (schema, hex, wrong) in [
        ("\"long\"", "80", "it ends in the middle"),
        ("\"long\"", "ffffffffffffffffffff01", "a number of more than 64 bits"),
        ("\"string\"", "02ff", "text that is not UTF-8"),
        ("\"bytes\"", "01", "a length below zero"),
        ("\"boolean\"", "02", "a boolean that is neither"),
        ("[\"null\"]", "02", "choice 1 of 1"),
        ("\"int\"", "0000", "1 bytes are left after the value"),
        ("\"no\"", "", "there is no type \"no\""),
        ("{\"type\":\"array\"}", "", "a type array without `items`"),
        ("3", "", "3 is no type"),
        ("{", "", "the schema is no JSON: EOF while parsing an object at line 1 column 1"),
    ] {
        assert_eq!(read(schema, &bytes(hex)), Err(wrong.to_owned()), "{schema} {hex}");
    }
    // Ten bytes that say there are very many nulls.
    let nulls = read("{\"type\":\"array\",\"items\":\"null\"}", &bytes("feffffffffffffff7f00"));
    assert!(nulls.unwrap_err().contains("bytes of JSON"));
    // A record within itself, as deep as the bytes say.
    let within = r#"{"type":"record","name":"R","fields":[{"name":"r","type":["null","R"]}]}"#;
    assert!(read(within, &[2; 500]).unwrap_err().contains("in one another"));
}

/// Whatever the bytes are, they are read or refused; what is read is JSON.
#[test]
fn any_bytes_do_no_harm() {
    let schema = Schema::parse(EVENT).unwrap();
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
        let mut out = Vec::new();
        if schema.json(&value, &mut out).is_ok() {
            serde_json::from_slice::<Value>(&out).unwrap();
            good += 1;
        }
    }
    assert!(good > 100, "{good}");
}
