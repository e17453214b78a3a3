//! The broker's jars, copied by Maven once.

use std::path::{Path, PathBuf};
use std::process::Command;

const JAVA: &str = "the Kafka tests need Java 17 or later and Maven; on Debian:\n  \
                    apt-get install -y openjdk-17-jre-headless maven\n";

/// Where this crate keeps the broker's files: the pom, the settings, the checkpoints.
pub(super) fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("kafka")
}

/// Where jars and running brokers lie: ignored by git, kept between runs.
pub(super) fn workshop() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/kafka")
}

/// Runs a command and gives what it wrote.
pub(super) fn run(command: &mut Command, remedy: &str) -> String {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}\n{remedy}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{command:?} failed:\n{out}{err}\n{remedy}");
    out + &err
}

/// The class path of the broker.
pub(super) fn class_path() -> String {
    run(Command::new("java").arg("-version"), JAVA);
    let pom = fixtures().join("pom.xml");
    let version = "4.3.1";
    let folder = workshop().join(format!("jars-{version}"));
    if !folder.exists() {
        let part = workshop().join(format!("jars-{version}.{}", std::process::id()));
        std::fs::create_dir_all(&part).unwrap();
        let mut maven = Command::new("mvn");
        maven.args(["-q", "-B", "-f"]).arg(&pom).arg("dependency:copy-dependencies");
        maven.arg(format!("-DoutputDirectory={}", part.display()));
        run(maven.arg("-DincludeScope=runtime"), JAVA);
        // Another test process may have been faster; its copy is as good.
        if std::fs::rename(&part, &folder).is_err() {
            std::fs::remove_dir_all(&part).unwrap();
        }
    }
    let entries = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let jars: Vec<String> = entries.map(|path| path.display().to_string()).collect();
    assert!(jars.len() > 20, "{} is incomplete; remove it", folder.display());
    jars.join(":")
}
