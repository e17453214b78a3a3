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

/// The expression of each alert: what stands behind `expr:`, and lines that are further in.
fn expressions(alerts: &str) -> Vec<String> {
    let depth = |line: &str| line.len() - line.trim_start().len();
    let lines: Vec<&str> = alerts.lines().collect();
    let begins = (0..lines.len()).filter(|at| lines[*at].trim_start().starts_with("expr: "));
    let whole = |at: usize| {
        let more = lines[at + 1..].iter().take_while(|line| depth(line) > depth(lines[at]));
        let first = lines[at].trim_start().trim_start_matches("expr: ");
        let words: Vec<&str> = std::iter::once(first).chain(more.map(|line| line.trim())).collect();
        words.join(" ")
    };
    begins.map(whole).collect()
}

/// One that can't be parsed makes Prometheus refuse all of the file.
#[test]
fn prometheus_can_read_every_alert() {
    let alerts = text("alerts.yaml");
    let expressions = expressions(&alerts);
    assert_eq!(expressions.len(), alerts.matches("- alert: ").count());
    for expression in &expressions {
        if let Err(wrong) = promql_parser::parser::parse(expression) {
            panic!("{expression}: {wrong}");
        }
    }
    let of_a_number = "increase(a[1h]) > 0.01 * ignoring (reason) group_left () increase(b[1h])";
    assert!(promql_parser::parser::parse(of_a_number).is_err(), "the parser looks at types");
}

/// What is compared has the same labels, or nothing is ever found.
#[test]
fn dead_letters_are_compared_with_records_without_their_reasons() {
    let alerts = text("alerts.yaml");
    let letters = expressions(&alerts).into_iter().find(|e| e.contains("braid_dead_letters_total"));
    let expected = "sum without (reason) (increase(braid_dead_letters_total[1h])) > \
                    0.01 * increase(braid_records_total[1h])";
    assert_eq!(letters.unwrap(), expected);
}

/// While nothing comes in, a snapshot may be old; and one that was never taken has no age.
#[test]
fn an_old_snapshot_is_told_only_where_one_is_due() {
    let alerts = text("alerts.yaml");
    let old = expressions(&alerts).into_iter().find(|e| e.contains("braid_snapshot_age_seconds"));
    let old = old.unwrap();
    assert!(old.contains("and braid_epoch_closed > braid_snapshot_epoch)"), "{old}");
    assert!(old.contains("or increase(braid_snapshot_failures_total[1h]) > 0"), "{old}");
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

/// Several jobs run on one machine, each at its own port and in the folder that can be written.
#[test]
fn the_service_is_for_any_number_of_jobs() {
    let (service, runbook) = (text("braid@.service"), text("RUNBOOK.md"));
    for line in [
        "Environment=LISTEN=127.0.0.1:9464",
        "EnvironmentFile=-/etc/braid/%i.env",
        "ExecStart=/usr/bin/braid run /etc/braid/%i.toml --listen ${LISTEN}",
        "StateDirectory=braid",
        "ProtectSystem=strict",
    ] {
        assert!(service.lines().any(|l| l == line), "{line}");
    }
    assert!(service.contains("`out` must be below /var/lib/braid"));
    assert!(runbook.contains("`out` is below `/var/lib/braid`") && runbook.contains("`LISTEN="));
}
