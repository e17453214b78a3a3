//! A disk that fills up under a run, wherever it writes: the run ends with a code of its own, and
//! once there is room the next one ends with the tables of an undisturbed run.
//!
//! The disk is a small file system in memory. To mount one needs no rights where the kernel lets
//! everybody have a namespace of their own, or to root.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use crate::support::Job;

const JOB: &str = r#"
[job]
name = "full"
out = "out"
[[source]]
name = "events"
connector = "file"
path = "in/*.ndjson"
[[view]]
kind = "sessions"
[snapshot]
every = "1h"
"#;

const VIEWS: [&str; 3] = ["events", "people", "sessions"];

/// Runs the job twice on the small disk, then twice on a large one, and brings out what is on it.
/// `$1` is the command, `$2` the job.
const SCRIPT: &str = r#"
mount -t tmpfs -o size=32k none small || exit 90
mkdir -p small/place
run() { "$1" run "$2" -w 2 --epoch-records 10 2>>said; echo $? >>codes; }
run "$@"; run "$@"
mount -o remount,size=64m small || exit 91
run "$@"; run "$@"
cp -a small/. kept
"#;

fn job() -> Job {
    let job = Job::new(JOB);
    let line = |n: usize| {
        format!(
            "{{\"messageId\":\"m{n}\",\"userId\":\"u{}\",\"event\":\"e{}\",\
             \"timestamp\":\"2026-03-01T{:02}:{:02}:{:02}Z\"}}\n",
            n % 97,
            n % 7,
            n / 3600,
            n / 60 % 60,
            n % 60
        )
    };
    job.write("in/a.ndjson", (0..15_000).map(line).collect::<String>());
    job
}

/// What `unshare` says if there can be no such namespace here.
fn refused() -> Option<String> {
    let mount = ["-Urm", "mount", "-t", "tmpfs", "none", "/mnt"];
    match Command::new("unshare").args(mount).output() {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(String::from_utf8_lossy(&output.stderr).into_owned()),
        Err(error) => Some(error.to_string()),
    }
}

#[test]
fn a_disk_that_fills_up_ends_the_run_and_costs_nothing() {
    if let Some(why) = refused() {
        panic!(
            "no namespace with a small disk can be had here ({why}); run the tests as root, or let \
             everybody have one: sysctl -w kernel.unprivileged_userns_clone=1"
        );
    }
    let calm = job();
    calm.run(2, 10);
    for place in ["bindings", "snapshots", "changelog/events", "events"] {
        let job = job();
        let path = job.out().join(place);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        for name in ["small", "kept"] {
            fs::create_dir(job.folder().join(name)).unwrap();
        }
        let inside = if place == "bindings" { "small/bindings" } else { "small/place" };
        symlink(job.folder().join(inside), &path).unwrap();
        let output = Command::new("unshare")
            .args(["-Urm", "sh", "-c", SCRIPT, "sh", env!("CARGO_BIN_EXE_braid-tested")])
            .arg(job.folder().join("job.toml"))
            .current_dir(job.folder())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let [said, codes] =
            ["said", "codes"].map(|name| fs::read_to_string(job.folder().join(name)).unwrap());
        assert_eq!(codes, "8\n8\n0\n0\n", "{place}: {said}");
        assert!(said.contains("No space left on device"), "{place}: {said}");
        // A path may be named by where the link leads.
        assert!(said.contains(place) || said.contains("/small/place/"), "{place}: {said}");
        // Outside, the disk was never mounted.
        fs::remove_dir(job.folder().join("small")).unwrap();
        fs::rename(job.folder().join("kept"), job.folder().join("small")).unwrap();
        assert!(job.current(&VIEWS) == calm.current(&VIEWS), "{place}");
        for view in VIEWS {
            let rows = |job: &Job| job.changelog(view).rows;
            assert!(rows(&job) == rows(&calm), "changelog/{view}, {place} full");
        }
    }
}
