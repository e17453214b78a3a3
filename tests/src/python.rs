//! Python environments for tests that need other programs' readers.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The Python of an environment with what `tests/python/<name>.txt` asks for, made when it is not
/// there or that changed.
///
/// # Panics
/// Without Python 3, venv and pip; says what to type.
pub fn environment(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let wanted = std::fs::read_to_string(root.join(format!("python/{name}.txt"))).unwrap();
    let folder = root.join(format!("../target/python-{name}"));
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
    let requirements = root.join(format!("python/{name}.txt"));
    run(Command::new(&program).args(install).arg(requirements), line);
    std::fs::write(mark, wanted).unwrap();
    program
}
