//! The tables as Python reads them: `deltalake`, `pyarrow` and DuckDB, at the pinned versions of
//! `tests/python/requirements.txt`, in an environment of their own below `target/`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{Job, unpacked};

const JOB: &str = r#"
[job]
name = "shop"
out = "out"

[[source]]
name = "clicks"
connector = "file"
path = "in/*.csv"
channel = "web"
[source.fields]
messageId = { concat = ["session_id", "timestamp", "event"] }
anonymousId = "user_id"
userId = "login"
timestamp = { field = "timestamp", format = "naive", zone = "UTC" }

[time]
disorder = "1d"
admit = "4000d"
ids = "4000d"
history = "4000d"

[[identity.type]]
name = "login"
from = ["userId"]
rank = 1
[[identity.type]]
name = "device"
from = ["anonymousId"]
rank = 1

[[view]]
kind = "sessions"
[[view]]
kind = "trend"
name = "events"
breakdown = "channel"
[[view]]
kind = "funnel"
name = "purchase"
steps = [{ event = "catalog" }, { event = "cart" }, { event = "purchase" }]

[[sink]]
connector = "table"
partition = "month"
[[sink]]
connector = "arrow"
"#;

/// Runs a command of the environment, or fails with what to type.
fn run(command: &mut Command, type_this: &str) {
    let output = command.output();
    let said = match &output {
        Ok(output) if output.status.success() => return,
        Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
        Err(error) => error.to_string(),
    };
    panic!("{command:?}: {said}\nthe tests of the tables need Python; type: {type_this}");
}

/// The Python of an environment that has what the check needs, made if it is not there.
fn python() -> PathBuf {
    let requirements = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/requirements.txt");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("python");
    let (python, made) = (folder.join("bin/python"), folder.join("requirements.txt"));
    if fs::read(&made).ok() == fs::read(&requirements).ok() {
        return python;
    }
    let mut venv = Command::new("python3");
    venv.args(["-m", "venv"]).arg(&folder);
    run(&mut venv, "sudo apt-get install python3 python3-venv");
    let mut pip = Command::new(&python);
    pip.args(["-m", "pip", "install", "--quiet", "-r"]).arg(&requirements);
    let line = format!("{} -m pip install -r {}", python.display(), requirements.display());
    run(&mut pip, &line);
    fs::copy(&requirements, &made).unwrap();
    python
}

/// The clicks of every second session, with a login in the second half of the file: it makes one
/// person of each two users.
fn clicks(odd: bool) -> String {
    let text = unpacked("shop.csv.gz");
    let mut lines = text.lines();
    let mut part = format!("{},login\n", lines.next().unwrap());
    for line in lines {
        let fields: Vec<&str> = line.split(',').collect();
        let number = |field: &str| field.rsplit('_').next().unwrap().parse::<u32>().unwrap();
        let (user, session) = (number(fields[0]), number(fields[1]));
        if (session % 2 == 1) == odd {
            let login = if odd { format!("login{}", user / 2) } else { String::new() };
            part += &format!("{line},{login}\n");
        }
    }
    part
}

#[test]
fn python_reads_the_tables() {
    let job = Job::new(JOB);
    job.write("in/1.csv", clicks(false));
    job.run(2, 1000);
    let plan = job.plan();
    let views: Vec<String> = plan.catalog.schemas.iter().map(|s| s.name.to_string()).collect();
    let rows = |view: &String| job.table(view).rows.len();
    let before: Vec<usize> = views.iter().map(rows).collect();
    // The last line is no record.
    job.write("in/2.csv", format!("{}\"\n", clicks(true)));
    let summary = job.run(2, 1000);
    assert!(summary.merges > 100, "{} merges", summary.merges);

    let mut known = serde_json::Map::new();
    for ((view, schema), rows_before) in views.iter().zip(&plan.catalog.schemas).zip(before) {
        let columns: Vec<&str> = schema.columns.iter().map(|c| c.name).collect();
        let key: Vec<&str> = schema.key.iter().map(|&c| columns[c]).collect();
        known.insert(
            view.clone(),
            json!({
                "job": "shop",
                "columns": columns,
                "key": key,
                "unique": !schema.append_only,
                "rows": rows(view),
                "rows_before": rows_before,
                "version_before": 1,
                "epoch": summary.epochs,
            }),
        );
    }
    let known: Value = json!({ "people": summary.people, "views": known });
    let known = job.write("known.json", known.to_string());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/check_tables.py");
    let output = Command::new(python()).arg(script).arg(job.out()).arg(known).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
