//! The envelope's rules.

use operators::model::{CommandKind, message_hash};

use super::*;

const TIME: &str = "\"timestamp\":\"2026-03-01T12:00:00Z\"";

/// A record with an id, a time and these fields.
fn record(fields: &str) -> String {
    format!("{{\"messageId\":\"m\",{TIME}{}{fields}}}", if fields.is_empty() { "" } else { "," })
}

#[test]
fn a_whole_record() {
    let line = record(
        r#""type":"track","event":"buy","userId":"u","anonymousId":"a","seq":7,
           "traits":{"email":["x@y","null","x@y"]},"channel":"web","tenant":"t",
           "context":{"traits":{"email":"z@y"}},"properties":{"price":12.5,"shop":{"name":"s"}}"#,
    );
    let out = decode(&spec(), &batch(&[line]));
    let (event, received) = &out.events[0];
    assert_eq!((&*event.kind.tenant, &*event.kind.channel, &*event.kind.name), ("t", "web", "buy"));
    assert_eq!(event.key.time, micros("2026-03-01T12:00:00Z"));
    assert_eq!((event.key.seq, event.key.id), (7, message_hash("m")));
    assert_eq!(event.origin, Origin { source: 1, partition: 2, offset: 10 });
    assert_eq!(*received, READ_AT);
    assert_eq!(event.properties.value(0), Some(&Value::Float(12.5)));
    assert_eq!(event.properties.value(1), Some(&Value::Str("s".into())));
    assert!(event.matches.has(0));
    let mut emails = [token("email", "x@y"), token("email", "z@y")];
    emails.sort();
    let expected = [
        Ident { kind: 0, token: token("user_id", "u") },
        Ident { kind: 1, token: emails[0] },
        Ident { kind: 1, token: emails[1] },
        Ident { kind: 2, token: token("anonymous_id", "a") },
    ];
    assert_eq!(event.idents.as_slice(), expected);
}

#[test]
fn event_time_comes_from_the_record_alone() {
    let time = |fields: &str| {
        one(&spec(), &format!("{{\"messageId\":\"m\"{fields}}}")).map(|event| event.key.time)
    };
    let original = r#","originalTimestamp":"2026-03-01T10:00:00Z""#;
    let sent = r#","sentAt":"2026-03-01T10:00:05Z""#;
    let received = r#","receivedAt":"2026-03-01T12:00:00Z""#;
    let stamp = r#","timestamp":"2026-03-01T09:00:00Z""#;
    let at = |text: &str| Ok(micros(text));
    assert_eq!(time(&format!("{stamp}{original}{sent}{received}")), at("2026-03-01T09:00:00Z"));
    assert_eq!(time(&format!("{original}{sent}{received}")), at("2026-03-01T11:59:55Z"));
    assert_eq!(time(&format!("{original}{sent}")), at("2026-03-01T10:00:00Z"));
    assert_eq!(time(&format!("{original}{received}")), at("2026-03-01T10:00:00Z"));
    assert_eq!(time(&format!("{sent}{received}")), at("2026-03-01T12:00:00Z"));
    assert_eq!(time(sent), Err(Reason::MissingTime));
    assert_eq!(time(r#","timestamp":"yesterday""#), Err(Reason::BadTime));
    assert_eq!(time(r#","timestamp":1772366400"#), Err(Reason::BadTime));
    assert_eq!(time(r#","timestamp":{}"#), Err(Reason::BadTime));
    assert_eq!(time(&format!(",\"timestamp\":\"\"{original}")), at("2026-03-01T10:00:00Z"));
    let far = r#","originalTimestamp":"9999-12-01T00:00:00Z","sentAt":"0001-01-01T00:00:00Z""#;
    assert_eq!(time(&format!("{far}{received}")), Err(Reason::BadTime));
    let out = decode(&spec(), &batch(&[format!("{{\"messageId\":\"m\"{stamp}{received}}}")]));
    assert_eq!(out.events[0].1, micros("2026-03-01T12:00:00Z"));
}

#[test]
fn what_is_missing_or_of_a_wrong_type_is_a_letter() {
    for (line, reason) in [
        (format!("{{{TIME}}}"), Reason::MissingMessageId),
        (format!("{{\"messageId\":\"\",{TIME}}}"), Reason::MissingMessageId),
        (format!("{{\"messageId\":{{}},{TIME}}}"), Reason::BadField),
        (format!("{{\"messageId\":true,{TIME}}}"), Reason::BadField),
        ("{\"messageId\":\"m\"}".to_owned(), Reason::MissingTime),
        (record("\"userId\":true"), Reason::BadField),
        (record("\"userId\":[[1]]"), Reason::BadField),
        (record("\"userId\":123456789012345678901234567890"), Reason::BadField),
        (record("\"traits\":{\"email\":{\"a\":1}}"), Reason::BadField),
        (record("\"event\":[]"), Reason::BadField),
        (record("\"seq\":-1"), Reason::BadField),
        (record("\"seq\":\"x\""), Reason::BadField),
        (record("\"tenant\":{}"), Reason::BadField),
        ("[]".to_owned(), Reason::Malformed),
        ("7".to_owned(), Reason::Malformed),
        ("{\"a\":1".to_owned(), Reason::Malformed),
        ("{\"a\":1} x".to_owned(), Reason::Malformed),
        ("{\"a\":01}".to_owned(), Reason::Malformed),
    ] {
        assert_eq!(one(&spec(), &line), Err(reason), "{line}");
    }
    let out = decode(&spec(), &batch(&[&b"{\"messageId\":\"\xff\"}"[..]]));
    assert_eq!(out.letters[0].reason, Reason::Malformed);
    assert_eq!(&*out.letters[0].payload, b"{\"messageId\":\"\xff\"}");
}

/// Each is linked with each: a list has an end.
#[test]
fn identifiers_of_an_event_are_bounded() {
    let list = |n: usize| {
        let emails: Vec<String> = (0..n).map(|n| format!("\"e{n}\"")).collect();
        record(&format!("\"userId\":\"u\",\"traits\":{{\"email\":[{}]}}", emails.join(",")))
    };
    assert_eq!(one(&spec(), &list(63)).unwrap().idents.len(), 64);
    assert_eq!(one(&spec(), &list(64)), Err(Reason::BadField));
    let out = decode(&spec(), &batch(&[list(100)]));
    assert_eq!(&*out.letters[0].detail, "101 identifiers, more than the 64 of an event");
}

#[test]
fn a_letter_has_the_tenant_where_it_could_be_read() {
    let lines = ["{\"tenant\":\"t\"}", "{\"tenant\":[]}", "{\"tenant\":\"t\""];
    let tenants: Vec<_> = decode(&spec(), &batch(&lines)).letters;
    let tenants: Vec<_> = tenants.iter().map(|letter| &*letter.tenant).collect();
    assert_eq!(tenants, ["t", "default", "default"]);
}

#[test]
fn depth_is_counted_outside_strings() {
    let deep = |n: usize| record(&format!("\"x\":{}1{}", "[".repeat(n), "]".repeat(n)));
    assert!(one(&spec(), &deep(98)).is_ok());
    assert_eq!(one(&spec(), &deep(99)), Err(Reason::TooDeep));
    assert_eq!(one(&spec(), &deep(300_000)), Err(Reason::TooDeep));
    let quoted = record(&format!("\"x\":\"\\\"{}\"", "[{".repeat(500)));
    assert!(one(&spec(), &quoted).is_ok());
    let wide = record(&format!("\"x\":[{}1]", "[],{},".repeat(500)));
    assert!(one(&spec(), &wide).is_ok());
    // What is wanted may be nested just as deep.
    let property = "[".repeat(97) + &"]".repeat(97);
    let line = record(&format!("\"properties\":{{\"price\":{property}}}"));
    let event = one(&spec(), &line).unwrap();
    assert_eq!(event.properties.value(0), Some(&Value::Str((*property).into())));
}

#[test]
fn a_record_that_was_cut_is_too_large() {
    let mut rows = Rows::default();
    rows.push_cut(&[b'x'; 5000], 1_234_567);
    rows.push(record("").as_bytes());
    let records = RawRecords::Json(Arc::new(rows));
    let batch = RawBatch { source: 0, partition: 0, first: 1, offsets: None, records, bytes: 0 };
    let out = decode(&spec(), &batch);
    assert_eq!(out.letters[0].reason, Reason::TooLarge);
    assert_eq!(&*out.letters[0].detail, "1234567 bytes, the first 4096 are kept");
    assert_eq!((out.letters[0].payload.len(), out.events.len()), (4096, 1));
}

#[test]
fn the_last_of_two_keys_counts_with_all_below_it() {
    let line = record(
        r#""userId":"a","traits":{"email":"e"},"userId":"b","traits":{"name":"n"},
           "properties":{"price":1},"properties":null"#,
    );
    let event = one(&spec(), &line).unwrap();
    assert_eq!(event.idents.as_slice(), [Ident { kind: 0, token: token("user_id", "b") }]);
    assert_eq!(event.properties.value(0), None);
}

/// Segment's group call has traits of the group, which are none of the person who makes it.
#[test]
fn traits_of_a_group_call_are_the_groups() {
    let mut spec = spec();
    spec.properties = vec![path("traits.plan"), path("context.traits.plan"), path("groupId")];
    let call = |kind: &str| {
        let fields = format!(
            r#""type":"{kind}","userId":"u","groupId":"acme",
            "traits":{{"email":"info@acme.com","plan":"big"}},
            "context":{{"traits":{{"plan":"free"}}}}"#
        );
        let event = one(&spec, &record(&fields)).unwrap();
        (event.idents.len(), [0, 1, 2].map(|property| event.properties.value(property).cloned()))
    };
    let texts = |all: [Option<&str>; 3]| all.map(|text| text.map(|text| Value::Str(text.into())));
    assert_eq!(call("identify"), (2, texts([Some("big"), Some("free"), Some("acme")])));
    assert_eq!(call("group"), (1, texts([None, Some("free"), Some("acme")])));
}

/// A person who writes an address in two ways is one.
#[test]
fn case_is_ignored_where_the_job_says_so() {
    let idents = |fields: &str| {
        let out = decode(&spec(), &batch(&[record(fields)]));
        out.events[0].0.idents.to_vec()
    };
    let anna = vec![Ident { kind: 1, token: token("email", "anna@shop.example") }];
    for written in ["anna@shop.example", "Anna@Shop.example", " ANNA@SHOP.EXAMPLE "] {
        assert_eq!(idents(&format!("\"traits\":{{\"email\":\"{written}\"}}")), anna);
    }
    let user = vec![Ident { kind: 0, token: token("user_id", "Anna") }];
    assert_eq!(idents("\"userId\":\"Anna\""), user, "only there");
    let merge = "\"type\":\"merge\",\"identifiers\":[{\"type\":\"email\",\"value\":\"A@B\"},\
                 {\"type\":\"user_id\",\"value\":\"u\"}]";
    let out = decode(&spec(), &batch(&[record(merge)]));
    let pair = out.events[0].0.command().map(|command| [command.x, command.y]);
    assert_eq!(pair.unwrap()[1], Ident { kind: 1, token: token("email", "a@b") });
}

#[test]
fn numbers_as_ids_and_blocked_values() {
    let kinds = |fields: &str| {
        let event = one(&spec(), &record(fields)).unwrap();
        event.idents.iter().map(|ident| ident.token).collect::<Vec<_>>()
    };
    for id in ["5", "5.0", "\"5\""] {
        assert_eq!(kinds(&format!("\"userId\":{id}")), [token("user_id", "5")], "{id}");
    }
    let long = "18446744073709551615";
    assert_eq!(kinds(&format!("\"userId\":{long}")), [token("user_id", long)]);
    for blocked in [
        "\"\"",
        "null",
        "\"null\"",
        "\"NULL\"",
        "\"undefined\"",
        "\"None\"",
        "0",
        "\"0\"",
        "\" \"",
        "[]",
    ] {
        assert!(kinds(&format!("\"userId\":{blocked}")).is_empty(), "{blocked}");
    }
    let zeros = "\"00000000-0000-0000-0000-000000000000\"";
    assert!(kinds(&format!("\"anonymousId\":{zeros}")).is_empty());
    assert_eq!(kinds("\"userId\":\"nUll\"").len(), 1);
}

#[test]
fn names_channels_and_tenants() {
    let names = |spec: &DecodeSpec, fields: &str| {
        let event = one(spec, &record(fields)).unwrap();
        [&event.kind.name, &event.kind.channel, &event.kind.tenant].map(ToString::to_string)
    };
    let plain = spec();
    assert_eq!(names(&plain, ""), ["track", "unknown", "default"]);
    assert_eq!(names(&plain, r#""type":"page""#)[0], "page");
    assert_eq!(names(&plain, r#""type":"page","event":"Home""#)[0], "Home");
    let mut named = spec();
    (named.channel, named.tenant) = (Some("web".into()), Some("acme".into()));
    let own = r#""channel":"x","tenant":"y","c":"z""#;
    assert_eq!(names(&named, own), ["track", "web", "acme"]);
    named.fields = vec![from("channel", "c"), from("tenant", "tenant")];
    assert_eq!(names(&named, own), ["track", "z", "y"]);
}

#[test]
fn commands() {
    let command = |fields: &str| {
        one(&spec(), &record(fields)).map(|event| {
            assert!(event.idents.is_empty() && !event.matches.has(0));
            let command = *event.command().unwrap();
            (command.kind, command.x, command.y)
        })
    };
    let pair = r#""identifiers":[{"type":"email","value":"e"},{"type":"user_id","value":5}]"#;
    let user = Ident { kind: 0, token: token("user_id", "5") };
    let email = Ident { kind: 1, token: token("email", "e") };
    let anonymous = Ident { kind: 2, token: token("anonymous_id", "a") };
    let merge = command(&format!(r#""type":"merge","event":"buy",{pair}"#));
    assert_eq!(merge, Ok((CommandKind::Merge, user, email)));
    let unmerge = command(&format!(r#""type":"unmerge",{pair}"#));
    assert_eq!(unmerge, Ok((CommandKind::Unmerge, user, email)));
    let alias = command(r#""type":"alias","userId":"5","previousId":"a""#);
    assert_eq!(alias, Ok((CommandKind::Merge, user, anonymous)));
    let with = |other: &str| {
        format!(r#""type":"merge","identifiers":[{{"type":"email","value":"e"}},{other}]"#)
    };
    for bad in [
        r#""type":"merge""#,
        r#""type":"merge","identifiers":{}"#,
        r#""type":"merge","identifiers":[{"type":"email","value":"e"}]"#,
        &with(r#"{"type":"email","value":"e"}"#),
        &with(r#"{"type":"phone","value":"e"}"#),
        &with(r#"{"type":"email"}"#),
        &with(r#"{"type":"email","value":"0"}"#),
        &with(r#"{"type":"email","value":[]}"#),
        r#""type":"alias","userId":"5""#,
        r#""type":"alias","previousId":"5""#,
        r#""type":"alias","userId":"null","previousId":"a""#,
    ] {
        assert_eq!(command(bad), Err(Reason::BadCommand), "{bad}");
    }
    let mut without = spec();
    without.previous_id = None;
    let alias = record(r#""type":"alias","userId":"5","previousId":"a""#);
    assert_eq!(one(&without, &alias), Err(Reason::BadCommand));
}

#[test]
fn what_is_erased_is_dropped_and_counted() {
    let erased = ErasedIn {
        identifiers: [Ident { kind: 1, token: token("email", "e") }].into(),
        messages: [message_hash("gone")].into(),
    };
    let mut spec = spec();
    spec.erased = Arc::new([(Arc::from("t"), erased)].into());
    let pair = r#""identifiers":[{"type":"email","value":"e"},{"type":"user_id","value":5}]"#;
    let lines = [
        record(r#""tenant":"t","traits":{"email":["x","e"]}"#),
        record(&format!(r#""tenant":"t","type":"merge",{pair}"#)),
        record(r#""tenant":"t""#).replace("\"m\"", "\"gone\""),
        record(r#""tenant":"t","traits":{"email":"x"}"#),
        record(r#""tenant":"other","traits":{"email":"e"}"#),
    ];
    let out = decode(&spec, &batch(&lines));
    assert_eq!((out.erased, out.events.len(), out.letters.len()), (3, 2, 0));
}

/// A dead letter has the record's bytes: what is erased must not stay there.
#[test]
fn what_is_erased_and_cannot_be_used_leaves_no_letter() {
    let erased = ErasedIn {
        identifiers: [Ident { kind: 1, token: token("email", "e") }].into(),
        messages: [message_hash("gone")].into(),
    };
    let mut spec = spec();
    spec.erased = Arc::new([(Arc::from("t"), erased)].into());
    let bad_time = |fields: &str| record(fields).replace("2026-03-01", "2026-33-01");
    let named = |value: &str| {
        let pair = format!(r#"{{"type":"email","value":"{value}"}},{{"type":"no","value":5}}"#);
        record(&format!(r#""tenant":"t","type":"merge","identifiers":[{pair}]"#))
    };
    let gone = [
        bad_time(r#""tenant":"t","traits":{"email":["x","e"]}"#),
        bad_time(r#""tenant":"t""#).replace("\"m\"", "\"gone\""),
        // What can't be read beside it.
        record(r#""tenant":"t","traits":{"email":[[],"e"]}"#),
        record(r#""tenant":"t","userId":{},"traits":{"email":"e"}"#),
        record(r#""tenant":[],"traits":{"email":"e"}"#),
        record(r#""tenant":"t","type":{},"traits":{"email":"e"}"#),
        // The other one of a command is no identifier.
        named("e"),
    ];
    let kept = [
        bad_time(r#""tenant":"t","traits":{"email":"x"}"#),
        bad_time(r#""tenant":"other","traits":{"email":"e"}"#),
        record(r#""tenant":"t","userId":{}"#),
        named("x"),
    ];
    let out = decode(&spec, &batch(&gone));
    assert_eq!((out.erased, out.events.len(), out.letters.len()), (7, 0, 0));
    let out = decode(&spec, &batch(&kept));
    assert_eq!((out.erased, out.events.len(), out.letters.len()), (0, 0, 4));
}

#[test]
fn content_is_everything_but_the_origin() {
    let content = |fields: &str| one(&spec(), &record(fields)).unwrap().content;
    let again = decode(&spec(), &batch(&[record(""), record("")])).events;
    assert_eq!(again[0].0.content, again[1].0.content);
    assert_ne!(again[0].0.origin, again[1].0.origin);
    let all = [
        "",
        r#""userId":"u""#,
        r#""anonymousId":"u""#,
        r#""event":"e""#,
        r#""channel":"e""#,
        r#""tenant":"e""#,
        r#""seq":1"#,
        r#""properties":{"price":1}"#,
        r#""properties":{"price":"1"}"#,
        r#""properties":{"price":true}"#,
        r#""properties":{"price":1.5}"#,
        r#""properties":{"shop":{"name":1}}"#,
        r#""type":"alias","userId":"5","previousId":"a""#,
    ];
    let different: HashSet<u64> = all.iter().map(|fields| content(fields)).collect();
    assert_eq!(different.len(), all.len());
    // Stable over versions: copies in files of different age are ordered alike.
    assert_eq!(content(all[0]), content(r#""userId":null,"unknown":[1]"#));
}

#[test]
fn business_keys() {
    let mut spec = spec();
    spec.business_key = Some(path("properties.order_id"));
    let key = |fields: &str| one(&spec, &record(fields)).map(|event| event.business_key());
    let text = key(r#""properties":{"order_id":"17"}"#).unwrap();
    assert!(text.is_some());
    assert_eq!(key(r#""properties":{"order_id":17}"#), Ok(text));
    assert_eq!(key(r#""properties":{"order_id":""}"#), Ok(None));
    assert_eq!(key(r#""properties":{"order_id":"null"}"#), Ok(None));
    assert_eq!(key(""), Ok(None));
    assert_eq!(key(r#""properties":{"order_id":[]}"#), Err(Reason::BadField));
}

#[test]
fn blank_lines_are_counted_and_numbered() {
    let out = decode(&spec(), &batch(&[record(""), "  \t".to_owned(), record("")]));
    assert_eq!((out.blank, out.events.len()), (1, 2));
    assert_eq!(out.events[1].0.origin.offset, 12);
}

#[test]
fn specs_that_make_no_sense() {
    let wrong = |change: &dyn Fn(&mut DecodeSpec)| {
        let mut spec = spec();
        change(&mut spec);
        Decoder::new(&spec).err()
    };
    let unknown = |text: &str| Some(SpecError::UnknownTarget { path: path(text) });
    assert_eq!(wrong(&|s| s.fields.push(from("mesageId", "id"))), unknown("mesageId"));
    assert_eq!(wrong(&|s| s.fields.push(from("event.name", "id"))), unknown("event.name"));
    assert_eq!(wrong(&|s| s.properties.push(path("price"))), unknown("price"));
    let twice = Some(SpecError::MappedTwice { path: path("event") });
    assert_eq!(wrong(&|s| s.fields = vec![from("event", "a"), from("event", "b")]), twice);
    let format = |s: &mut DecodeSpec| s.fields.push(time_from("event", "a", "unix_s", None));
    assert_eq!(wrong(&format), Some(SpecError::NoTime { path: path("event") }));
    assert!(matches!(wrong(&|s| s.identities.truncate(1)), Some(SpecError::Types { .. })));
    assert_eq!(wrong(&|s| s.fields.push(from("traits.plan", "plan"))), None);
}

#[test]
fn paths() {
    for (text, names) in [
        ("a.b", vec!["a", "b"]),
        (r"a\.b.c", vec!["a.b", "c"]),
        (".", vec![]),
        (r"a\\b", vec![r"a\b"]),
    ] {
        assert_eq!(path(text).names(), names, "{text}");
        assert_eq!(path(text).to_string(), text);
    }
}
