//! The example files for operation say what the program says.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use jobs::runtime::{job_file, plan};

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn text(name: &str) -> String {
    fs::read_to_string(root().join("jobs/deploy").join(name)).unwrap()
}

/// Words of a text that begin so.
fn words<'t>(text: &'t str, prefix: &str) -> BTreeSet<&'t str> {
    let of_word = |c: char| !c.is_ascii_alphanumeric() && c != '_';
    text.split(of_word).filter(|word| word.starts_with(prefix)).collect()
}

#[test]
fn each_alert_has_its_page_and_asks_for_metrics_that_there_are() {
    let (alerts, runbook) = (text("alerts.yaml"), text("RUNBOOK.md"));
    let shown = fs::read_to_string(root().join("jobs/src/serve/text.rs")).unwrap();
    let names: Vec<&str> =
        alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(names.len() >= 10);
    for name in &names {
        assert!(runbook.contains(&format!("\n## {name}\n")), "{name}");
        let page = format!("runbook: RUNBOOK.md#{}", name.to_lowercase());
        assert!(alerts.contains(&page), "{name}");
    }
    let pages = runbook.lines().filter_map(|line| line.strip_prefix("## "));
    assert!(pages.clone().all(|page| names.contains(&page)), "a page without an alert");
    for metric in words(&alerts, "braid_").union(&words(&runbook, "braid_")) {
        assert!(shown.contains(&format!("\"{metric}\"")), "{metric}");
    }
}

#[test]
fn the_job_of_the_manifest_is_good() {
    let manifest = text("kubernetes.yaml");
    let (_, job) = manifest.split_once("  job.toml: |\n").unwrap();
    let (job, _) = job.split_once("---").unwrap();
    let job: String = job.lines().map(|line| format!("{}\n", line.trim_start())).collect();
    let env = |name: &str| (name == "KAFKA_PASSWORD").then(|| "secret".to_owned());
    let (text, file) = job_file::parse(Path::new("job.toml"), &job, &env).unwrap();
    let plan = plan::plan(&text, &file).unwrap();
    assert_eq!(plan.out, Path::new("/var/lib/braid/shop"));
    assert!(plan.snapshots.is_some() && !plan.is_bounded());
}

#[test]
fn the_service_does_not_restart_what_no_restart_mends() {
    let (service, readme) = (text("braid@.service"), root().join("README.md"));
    assert!(service.contains("\nRestartPreventExitStatus=2 3 4\n"));
    let readme = fs::read_to_string(readme).unwrap();
    for (code, what) in
        [(2, "the command line or the job file"), (3, "records that"), (4, "another")]
    {
        assert!(readme.contains(&format!("| {code} | {what}")), "{code}");
    }
}
