//! Identifiers of which the case is ignored, wherever a person writes one.

use crate::support::Job;

const TEXT: &str = "[job]\nname = \"j\"\nout = \"out\"\n[[source]]\nname = \"s\"\n\
                    connector = \"file\"\npath = \"in/*\"\n[identity]\nerased = \"erased\"\n\
                    [[identity.type]]\nname = \"email\"\nfrom = [\"traits.email\"]\nrank = 0\n\
                    ignore_case = true\n";

#[test]
fn an_address_in_two_spellings_is_one_person() {
    let job = Job::new(TEXT);
    let event = |id: &str, email: &str| {
        format!(
            "{{\"messageId\":\"{id}\",\"timestamp\":\"2026-01-01T00:00:00Z\",\
             \"traits\":{{\"email\":\"{email}\"}}}}\n"
        )
    };
    let emails = ["Bob@Shop.example", "bob@shop.example", "ANNA@shop.example", "Éva@x", "éva@x "];
    let events: Vec<String> = (0..).zip(emails).map(|(id, e)| event(&id.to_string(), e)).collect();
    job.write("in/a.ndjson", events.concat());
    job.write("erased", "{\"type\": \"email\", \"value\": \"Anna@Shop.example\"}\n");
    let said = |arguments: &[&str]| {
        let (verb, more) = arguments.split_first().unwrap();
        let output = job.command(verb).args(more).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    said(&["run"]);
    assert_eq!(job.table("events").rows.len(), 4, "one of them is erased");
    assert_eq!(job.table("people").rows.len(), 2);
    let bob = said(&["explain", "person", "--identifier", "email=BOB@shop.example"]);
    assert!(bob.contains("2 events"), "{bob}");
}
