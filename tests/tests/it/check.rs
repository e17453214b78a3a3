//! What `braid check` says of the records of sources.

use crate::support::Job;

const TEXT: &str = "[job]\nname = \"j\"\nout = \"out\"\n[[source]]\nname = \"shop\"\n\
                    connector = \"file\"\npath = \"in/*.csv\"\n[source.fields]\n\
                    messageId = \"id\"\nanonymousId = \"cokie\"\nuserId = \"user\"\n\
                    timestamp = { field = \"at\", format = \"rfc3339\" }\n";

fn said(job: &Job, code: i32) -> String {
    let output = job.command("check").output().unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert_eq!(output.status.code(), Some(code), "{said}");
    said
}

/// A column that is misspelt, and what records are like that can't be used.
#[test]
fn what_records_lack_is_said() {
    let job = Job::new(TEXT);
    let rows = "id,user,cookie,at\n\n1,u,c,2026-01-02T00:00:00Z\n2,,c,2026-01-01T00:00:00Z\n\
                3,u,c,yesterday\n4,u,c,today\n";
    job.write("in/a.csv", rows);
    let said = said(&job, 0);
    for line in [
        "source shop: 1 file; of the first 4 records 2 are events, 1 of them with an identifier",
        "  from 2026-01-01T00:00:00Z to 2026-01-02T00:00:00Z",
        "  no record has cokie, which anonymousId is to be taken from",
        "  dead letters, bad_time: 2; the first: ",
        "    3,u,c,yesterday",
        "the job is good; its tables: events, ",
    ] {
        assert!(said.contains(line), "no {line:?} in {said}");
    }
    assert_eq!(said.matches("no record has").count(), 1, "{said}");
}

/// A source of which nothing can be used is no good job.
#[test]
fn a_source_without_an_event_ends_with_2() {
    let job = Job::new(TEXT);
    job.write("in/a.csv", "id;user;cokie;at\n1;u;c;2026-01-02T00:00:00Z\n");
    let said = said(&job, 2);
    assert!(said.contains("job.toml: shop: no record could be used"), "{said}");
    assert!(said.contains("  dead letters, missing_message_id: 1; the first: "), "{said}");
    assert!(!said.contains("the job is good"), "{said}");
    // Nothing at all is not wrong: it may come.
    job.write("in/a.csv", "id,user,cokie,at\n");
    assert!(self::said(&job, 0).contains("of the first 0 records 0 are events"));
}
