//! The tables as other engines read them: Python's `deltalake`, pyarrow and DuckDB.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Job, data};

/// A Python environment under `target`, made when it is not there or its requirements changed.
fn python() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let wanted = std::fs::read_to_string(root.join("python/requirements.txt")).unwrap();
    let folder = root.join("../target/python");
    let program = folder.join("bin/python");
    let mark = folder.join("requirements.txt");
    if std::fs::read_to_string(&mark).is_ok_and(|there| there == wanted) {
        return program;
    }
    let run = |command: &mut Command, line: &str| {
        let output = command.output();
        let done = output.as_ref().is_ok_and(|output| output.status.success());
        assert!(done, "this test needs Python 3 with venv and pip; type: {line}\n{output:?}");
    };
    let line = "apt-get install python3 python3-venv python3-pip";
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder), line);
    let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"];
    let requirements = root.join("python/requirements.txt");
    run(Command::new(&program).args(install).arg(requirements), line);
    std::fs::write(mark, wanted).unwrap();
    program
}

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
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/read_tables.py");
    let output = Command::new(python()).arg(script).arg(job.out()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let wrong = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{wrong}");
    assert!(said.contains("all tables read"), "{said}");
}
