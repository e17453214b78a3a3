//! Reads the source like a reviewer: layers, sizes, banned calls, links, undocumented words.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Longest source file, in lines.
const LINES_MAX: usize = 500;
/// Longest line, in characters.
const COLUMNS_MAX: usize = 100;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests folder has a parent").into()
}

/// Files under version control, and those that are about to be.
fn tracked() -> Vec<PathBuf> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .expect("git lists the files; the tests run in a clone");
    assert!(output.status.success(), "git ls-files failed: run the tests in a git clone");
    let list = String::from_utf8(output.stdout).expect("file names are UTF-8");
    list.lines().map(PathBuf::from).filter(|path| root().join(path).exists()).collect()
}

fn sources() -> Vec<(PathBuf, String)> {
    let files = tracked().into_iter().filter(|path| path.extension().is_some_and(|e| e == "rs"));
    files.map(|path| (path.clone(), fs::read_to_string(root().join(path)).unwrap())).collect()
}

/// Whether a file holds only tests.
fn is_test(path: &Path) -> bool {
    let text = path.to_string_lossy();
    let name = ["tests.rs", "testing.rs"].iter().any(|end| text.ends_with(end));
    name || text.starts_with("tests/") || text.contains("/tests/")
}

/// The lines before the first in-file test module.
fn product(source: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = source.lines().enumerate();
    lines.take_while(|(_, line)| !line.contains("#[cfg(test)]")).map(|(i, line)| (i + 1, line))
}

fn assert_none(findings: &[String], rule: &str) {
    assert!(findings.is_empty(), "{rule}:\n{}", findings.join("\n"));
}

#[test]
fn crates_depend_one_way() {
    let layers = ["operators", "connectors", "replay", "jobs"];
    let mut findings = Vec::new();
    for name in layers.iter().chain(&["bench", "tests"]) {
        let manifest = fs::read_to_string(root().join(name).join("Cargo.toml")).unwrap();
        let manifest: toml::Table = manifest.parse().expect("a manifest is TOML");
        let height = layers.iter().position(|l| l == name).unwrap_or(layers.len());
        for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let Some(list) = manifest.get(section).and_then(toml::Value::as_table) else {
                continue;
            };
            for dependency in list.keys() {
                let inner = ["bench", "tests"].contains(&dependency.as_str())
                    || layers.iter().skip(height).any(|l| l == dependency);
                if inner {
                    findings.push(format!("{name}/Cargo.toml: {section}.{dependency}"));
                }
            }
        }
    }
    assert_none(
        &findings,
        "operators <- connectors <- replay <- jobs; nothing uses bench or tests",
    );
}

#[test]
fn operators_reach_nothing_outside() {
    let banned = [
        ("std::fs", "files belong to connectors"),
        ("std::net", "sockets belong to connectors"),
        ("std::env", "the environment belongs to jobs"),
        ("std::process", "processes belong to jobs"),
        ("std::thread", "threads belong to jobs"),
        ("SystemTime", "time is an argument"),
        ("Instant::now", "time is an argument"),
        ("thread_rng", "randomness is an argument"),
        ("RandomState", "hashing must be the same in each run"),
        ("println!", "printing belongs to jobs"),
    ];
    let mut findings = Vec::new();
    for (path, source) in sources() {
        if !path.starts_with("operators") || is_test(&path) {
            continue;
        }
        for (line, text) in product(&source) {
            for (word, reason) in banned {
                if text.contains(word) && !text.trim_start().starts_with("//") {
                    findings.push(format!("{}:{line}: {word}: {reason}", path.display()));
                }
            }
        }
    }
    assert_none(&findings, "the core does no input or output");
}

#[test]
fn files_are_small_and_lines_short() {
    let mut findings = Vec::new();
    for (path, source) in sources() {
        let lines = source.lines().count();
        if lines > LINES_MAX {
            findings.push(format!("{}: {lines} lines", path.display()));
        }
        for (number, line) in source.lines().enumerate() {
            if line.chars().count() > COLUMNS_MAX && !line.contains("http") {
                findings.push(format!("{}:{}: over {COLUMNS_MAX}", path.display(), number + 1));
            }
        }
    }
    assert_none(&findings, "one purpose a file");
}

#[test]
fn panics_give_their_reason() {
    let calls = [".unwrap()", ".expect(", "panic!(", "unreachable!("];
    let mut findings = Vec::new();
    for (path, source) in sources() {
        if is_test(&path) || path.starts_with("bench") {
            continue;
        }
        let mut before = "";
        for (line, text) in product(&source) {
            let code = text.split("//").next().unwrap_or_default();
            let reason = text.contains("//") || before.trim_start().starts_with("//");
            if calls.iter().any(|call| code.contains(call)) && !reason {
                findings.push(format!("{}:{line}: {}", path.display(), text.trim()));
            }
            before = text;
        }
    }
    assert_none(&findings, "say beside it why it can't fail");
}

#[test]
fn nothing_is_left_unfinished() {
    // Spelled in two halves, so that this file does not find itself.
    let words = [("todo", "!("), ("unimplemented", "!("), ("dbg", "!("), ("#[ign", "ore")]
        .into_iter()
        .chain([("TO", "DO"), ("FIX", "ME"), ("#[all", "ow(")])
        .map(|(a, b)| format!("{a}{b}"))
        .collect::<Vec<_>>();
    let mut findings = Vec::new();
    for (path, source) in sources() {
        for (number, line) in source.lines().enumerate() {
            for word in &words {
                if line.contains(word.as_str()) && !line.contains("reason") {
                    findings.push(format!("{}:{}: {word}", path.display(), number + 1));
                }
            }
        }
    }
    assert_none(&findings, "finish it, or say in the documentation what is absent");
}

#[test]
fn links_in_documents_lead_somewhere() {
    let mut findings = Vec::new();
    for path in tracked().iter().filter(|p| p.extension().is_some_and(|e| e == "md")) {
        let text = fs::read_to_string(root().join(path)).unwrap();
        for part in text.split("](").skip(1) {
            let target = part.split([')', '#', ' ']).next().unwrap_or_default();
            let local = !target.is_empty() && !target.contains("://");
            let folder = path.parent().unwrap_or(Path::new(""));
            if local && !root().join(folder).join(target).exists() {
                findings.push(format!("{}: {target}", path.display()));
            }
        }
    }
    assert_none(&findings, "no dead links");
}

#[test]
fn every_room_is_on_the_map() {
    let map = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let mut rooms = BTreeMap::new();
    for (path, _) in sources() {
        let mut parts = path.iter().map(|p| p.to_string_lossy().into_owned());
        let (krate, src, room) = (parts.next(), parts.next(), parts.next());
        if let (Some(krate), Some("src"), Some(room)) = (krate, src.as_deref(), room)
            && Path::new(&room).extension().is_none_or(|e| e != "rs")
        {
            rooms.insert(format!("{krate}/src/{room}"), room);
        }
    }
    let missing: Vec<String> = rooms
        .into_iter()
        .filter(|(_, room)| !map.contains(&format!("`{room}/`")))
        .map(|(path, _)| path)
        .collect();
    assert_none(&missing, "ARCHITECTURE.md names each folder of a crate's source as `folder/`");
}

#[test]
fn reasons_and_exit_codes_are_documented() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let reasons = operators::model::Reason::ALL.iter().map(|r| format!("`{}`", r.word()));
    let missing: Vec<String> = reasons.filter(|word| !readme.contains(word)).collect();
    assert_none(&missing, "the README explains each reason of a dead letter");
    for code in 0..=4 {
        assert!(readme.contains(&format!("| {code} |")), "the README explains exit code {code}");
    }
}

/// A crate outside of the workspace is built by its own lock file, which nothing here brings up to
/// date: it names what the manifest does.
#[test]
fn the_lock_of_a_peer_is_that_of_its_manifest() {
    let peer = root().join("bench/peers/dbsp");
    let read = |name: &str| -> toml::Table {
        fs::read_to_string(peer.join(name)).unwrap().parse().unwrap()
    };
    let (manifest, lock) = (read("Cargo.toml"), read("Cargo.lock"));
    let package = manifest["package"].as_table().unwrap();
    let packages = lock["package"].as_array().unwrap();
    let locked = packages.iter().find(|p| p["name"] == package["name"]).unwrap();
    assert_eq!(locked["version"], package["version"]);
    let wanted: Vec<&str> =
        manifest["dependencies"].as_table().unwrap().keys().map(String::as_str).collect();
    let named = locked["dependencies"].as_array().unwrap().iter();
    assert_eq!(named.map(|name| name.as_str().unwrap()).collect::<Vec<_>>(), wanted);
}
