//! The tables as other engines read them: Python's `deltalake`, pyarrow and DuckDB.

use std::path::Path;
use std::process::Command;

use braid_tests::python;
use jobs::query::{Format, Moment, query, resolve};

use crate::support::{Job, data};

#[test]
fn other_engines_read_the_same_rows() {
    let job = Job::new(&format!(
        r#"
[job]
name = "shop"
out = "out"
[[source]]
name = "shop"
connector = "file"
path = "{}"
channel = "web"
[source.fields]
messageId = {{ concat = ["user_id", "session_id", "event", "timestamp"] }}
userId = "user_id"
timestamp = {{ field = "timestamp", format = "naive", zone = "UTC" }}
"properties.platform" = "platform"
[time]
disorder = "36500d"
admit = "36500d"
ids = "36500d"
history = "36500d"
[[view]]
kind = "sessions"
[[view]]
kind = "trend"
name = "people"
metric = "people"
breakdown = "platform"
[[view]]
kind = "funnel"
name = "purchase"
steps = [{{ event = "catalog" }}, {{ event = "cart" }}, {{ event = "purchase" }}]
[[sink]]
connector = "arrow"
"#,
        data("shop.csv.gz").display()
    ));
    job.run(2, 5_000);
    let plan = job.plan();
    let known = resolve(&plan, Moment::Epoch(3)).unwrap();
    for view in ["events", "people", "identifiers", "sessions", "trend_people", "funnel_purchase"] {
        let mut rows = Vec::new();
        query(&plan, &format!("select * from {view}"), Some(known), Format::Json, &mut rows)
            .unwrap();
        job.write(&format!("past/{view}.json"), rows);
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/read_tables.py");
    let output = Command::new(python::environment("requirements"))
        .arg(script)
        .arg(job.out())
        .arg("3")
        .arg(job.folder().join("past"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let wrong = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{wrong}");
    assert!(said.contains("all tables read"), "{said}");
}
