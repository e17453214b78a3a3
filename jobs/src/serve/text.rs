//! Figures in Prometheus's text format.

use std::fmt::Write as _;

use super::{Figures, Histogram, PartitionFigures};

/// What a metric is, for Prometheus.
const COUNTER: &str = "counter";
const GAUGE: &str = "gauge";

/// Collects lines; writing to text can't fail.
struct Page(String);

impl Page {
    /// Begins a metric.
    fn metric(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// A line of it.
    fn line(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        self.0.push_str(name);
        for (place, (label, text)) in labels.iter().enumerate() {
            let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let before = if place == 0 { '{' } else { ',' };
            let _ = write!(self.0, "{before}{label}=\"{text}\"");
        }
        let end = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.0, "{end} {value}");
    }

    /// A metric of one line.
    fn one(&mut self, name: &str, kind: &str, help: &str, value: impl std::fmt::Display) {
        self.metric(name, kind, help);
        self.line(name, &[], value);
    }

    fn histogram(&mut self, name: &str, labels: &[(&str, &str)], histogram: &Histogram) {
        let mut upto = 0;
        let bounds = Histogram::BOUNDS_S.iter().map(f64::to_string);
        for (count, bound) in histogram.counts.iter().zip(bounds.chain(["+Inf".to_owned()])) {
            upto += count;
            let mut labels = labels.to_vec();
            labels.push(("le", &bound));
            self.line(&format!("{name}_bucket"), &labels, upto);
        }
        self.line(&format!("{name}_sum"), labels, histogram.sum_s);
        self.line(&format!("{name}_count"), labels, upto);
    }
}

/// The page at `/metrics`. `now_s` is the time of day, in seconds since 1970; `ready` whether the
/// job has caught up.
pub(super) fn page(figures: &Figures, now_s: f64, ready: bool, resident: Option<u64>) -> String {
    let mut page = Page(String::new());
    page.metric("braid_job_info", GAUGE, "The job that runs.");
    page.line("braid_job_info", &[("job", &figures.job)], 1);
    page.one("braid_generation", GAUGE, "Which run of the job this is.", figures.generation);
    page.one("braid_ready", GAUGE, "1 if the job has caught up.", u8::from(ready));
    records(&mut page, figures);
    epochs(&mut page, figures, now_s);
    sources(&mut page, figures);
    sinks(&mut page, figures);
    state(&mut page, figures, now_s);
    snapshot(&mut page, figures, now_s);
    processes(&mut page, figures);
    let traces = figures.traces;
    let help = "Traces of epochs that the collector has taken.";
    page.one("braid_traces_sent_total", COUNTER, help, traces.sent);
    let help = "Traces that were dropped: too many waited, or it did not take them.";
    page.one("braid_traces_dropped_total", COUNTER, help, traces.dropped);
    if let Some(bytes) = resident {
        page.one("process_resident_memory_bytes", GAUGE, "Memory in use.", bytes);
    }
    page.0
}

/// What is counted from the first epoch on. It is left out while earlier epochs are computed again:
/// whoever sees a counter fall and rise counts all of them once more.
fn records(page: &mut Page, figures: &Figures) {
    if !figures.counted() {
        return;
    }
    page.one("braid_records_total", COUNTER, "Records read.", figures.records);
    page.one("braid_events_total", COUNTER, "Records admitted.", figures.events);
    let name = "braid_dead_letters_total";
    page.metric(name, COUNTER, "Records that can't be used.");
    for (reason, count) in &figures.letters {
        page.line(name, &[("reason", reason)], count);
    }
    let name = "braid_duplicates";
    page.metric(name, GAUGE, "Copies that do not count.");
    for (cause, count) in &figures.duplicates {
        page.line(name, &[("cause", cause)], count);
    }
    page.one("braid_merges_total", COUNTER, "Times that two people became one.", figures.merges);
    page.one("braid_splits_total", COUNTER, "Times that one person became two.", figures.splits);
}

fn epochs(page: &mut Page, figures: &Figures, now_s: f64) {
    page.one("braid_epoch_bound", GAUGE, "The last epoch that is bound.", figures.bound);
    let closed = figures.closed.saturating_sub(1);
    page.one("braid_epoch_closed", GAUGE, "The last epoch that is computed.", closed);
    let in_flight = figures.bound.saturating_sub(closed);
    page.one("braid_epochs_in_flight", GAUGE, "Epochs bound and not computed.", in_flight);
    let bytes = figures.bytes_in_flight;
    page.one("braid_bytes_in_flight", GAUGE, "Bytes of their records.", bytes);
    let help = "Time that sources waited because too much was in flight.";
    page.one("braid_held_seconds_total", COUNTER, help, figures.held_s);
    if let Some(at) = figures.watermark {
        let at_s = at as f64 / 1e6;
        page.one("braid_watermark_seconds", GAUGE, "The watermark, since 1970.", at_s);
        let delay = now_s - at_s;
        page.one("braid_watermark_delay_seconds", GAUGE, "How far it is behind.", delay);
    }
}

fn sources(page: &mut Page, figures: &Figures) {
    let name = "braid_source_trouble";
    page.metric(name, GAUGE, "1 if something does not work and is tried again.");
    for source in &figures.sources {
        page.line(name, &[("source", &source.name)], u8::from(source.trouble.is_some()));
    }
    let name = "braid_source_ahead_bytes";
    page.metric(name, GAUGE, "Bytes of records that are read and not bound yet.");
    for source in &figures.sources {
        page.line(name, &[("source", &source.name)], source.bytes_ahead);
    }
    let metrics: [(&str, &str, fn(&PartitionFigures) -> Option<f64>); 7] = [
        ("braid_partition_offset", "The offset of the record that is read next.", |p| {
            Some(p.status.next as f64)
        }),
        ("braid_partition_lag_records", "Offsets from there to the end.", |p| {
            p.lag_records().map(|lag| lag as f64)
        }),
        ("braid_partition_idle", "1 if it is read to its end.", |p| {
            Some(f64::from(u8::from(p.status.idle)))
        }),
        ("braid_partition_reachable", "1 if brokers answer for it.", |p| {
            Some(f64::from(u8::from(p.status.reachable)))
        }),
        ("braid_partition_queued_bytes", "Fetched and not read yet.", |p| {
            Some(p.status.bytes_queued as f64)
        }),
        (
            "braid_partition_margin_records",
            "Offsets that are there before the first one that a restart needs.",
            |p| p.margin_records().map(|margin| margin as f64),
        ),
        (
            "braid_partition_open_transaction_seconds",
            "How long a transaction has been seen open that holds up reading; 0 if none is.",
            |p| Some(p.status.open.as_ref().map_or(0.0, |open| open.open.as_secs_f64())),
        ),
    ];
    for (name, help, value) in metrics {
        page.metric(name, GAUGE, help);
        for source in &figures.sources {
            for partition in &source.partitions {
                let Some(value) = value(partition) else { continue };
                let number = partition.status.partition.to_string();
                let labels = [
                    ("source", &*source.name),
                    ("topic", &partition.status.topic),
                    ("partition", &number),
                ];
                page.line(name, &labels, value);
            }
        }
    }
}

fn sinks(page: &mut Page, figures: &Figures) {
    let counts: [(&str, &str, &str, fn(&super::SinkFigures) -> u64); 6] = [
        ("braid_sink_epoch", GAUGE, "The last epoch that is committed.", |s| s.epoch),
        ("braid_sink_upserts_total", COUNTER, "Rows sent.", |s| s.sent.upserts),
        ("braid_sink_tombstones_total", COUNTER, "Rows that went.", |s| s.sent.tombstones),
        ("braid_sink_bytes_total", COUNTER, "Bytes of their keys and values.", |s| s.sent.bytes),
        ("braid_sink_repeats_total", COUNTER, "Commits tried again.", |s| s.sent.repeats),
        ("braid_sink_waiting_bytes", GAUGE, "Changes that wait for a commit, about.", |s| {
            s.waiting_bytes
        }),
    ];
    for (name, kind, help, value) in counts {
        page.metric(name, kind, help);
        for (sink, figures) in &figures.sinks {
            page.line(name, &[("sink", sink)], value(figures));
        }
    }
    let name = "braid_sink_commit_seconds";
    page.metric(name, "histogram", "How long commits take.");
    for (sink, figures) in &figures.sinks {
        page.histogram(name, &[("sink", sink)], &figures.commits);
    }
    let name = "braid_sink_open_transaction_seconds";
    page.metric(name, GAUGE, "How long a transaction has been seen open in a topic of the sink.");
    for (sink, figures) in &figures.sinks {
        for open in &figures.open {
            let number = open.partition.to_string();
            let labels = [("sink", &**sink), ("topic", &open.topic), ("partition", &number)];
            page.line(name, &labels, open.open.as_secs_f64());
        }
    }
}

fn state(page: &mut Page, figures: &Figures, now_s: f64) {
    let name = "braid_state_bytes";
    page.metric(name, GAUGE, "Memory that an operator holds on all workers, about.");
    for (operator, bytes) in &figures.state_bytes {
        page.line(name, &[("operator", operator)], bytes);
    }
    if let Some(since) = figures.needed_since {
        let help = "How long ago the first record was bound that a restart needs of topics.";
        page.one("braid_restart_reach_seconds", GAUGE, help, now_s - since as f64 / 1e6);
    }
}

fn snapshot(page: &mut Page, figures: &Figures, now_s: f64) {
    let failures = figures.snapshot_failures;
    let help = "Snapshots that could not be taken for the time being.";
    page.one("braid_snapshot_failures_total", COUNTER, help, failures);
    let Some(snapshot) = &figures.snapshot else { return };
    page.one("braid_snapshot_epoch", GAUGE, "The epoch of the newest snapshot.", snapshot.epoch);
    let help = "The epoch of the newest one that every output has passed.";
    page.one("braid_snapshot_usable_epoch", GAUGE, help, snapshot.usable);
    let age_s = now_s - snapshot.taken as f64 / 1e6;
    page.one("braid_snapshot_age_seconds", GAUGE, "How long ago it was taken.", age_s);
    page.one("braid_snapshot_events", GAUGE, "Events in it.", snapshot.events);
    page.one("braid_snapshot_bytes", GAUGE, "Bytes of it.", snapshot.bytes);
    page.metric("braid_snapshot_seconds", "histogram", "How long snapshots take.");
    page.histogram("braid_snapshot_seconds", &[], &snapshot.times);
}

fn processes(page: &mut Page, figures: &Figures) {
    if figures.processes == 0 {
        return;
    }
    let help = "Processes of the cluster that are connected, this one included.";
    page.one("braid_processes", GAUGE, help, figures.processes);
    let name = "braid_process_silence_seconds";
    page.metric(name, GAUGE, "For how long another process has said nothing.");
    for (process, silent_s) in &figures.silent_s {
        page.line(name, &[("process", &process.to_string())], silent_s);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use super::super::board::tests::partition;
    use super::super::{SinkFigures, SnapshotFigures, SourceFigures};
    use super::*;
    use connectors::kafka::OpenTransaction;

    pub(crate) fn figures() -> Figures {
        let open = OpenTransaction {
            topic: "in".to_owned(),
            partition: 2,
            offset: 12,
            open: Duration::from_secs(65),
        };
        let mut partition = partition(10, Some(15), false);
        partition.status.open = Some(open.clone());
        let source = SourceFigures {
            name: "a\"b".to_owned(),
            partitions: vec![partition],
            files: None,
            bytes_ahead: 90,
            trouble: None,
            told: false,
        };
        let mut sink = SinkFigures { epoch: 6, ..SinkFigures::default() };
        sink.commits.add(Duration::from_millis(15));
        sink.open.push(OpenTransaction { topic: "shop.progress".to_owned(), ..open });
        let snapshot = SnapshotFigures { epoch: 4, taken: 1_050_000_000, ..Default::default() };
        Figures {
            job: "shop".to_owned(),
            earlier: Some(6),
            bound: 8,
            closed: 7,
            watermark: Some(1_000_000_000),
            letters: [("malformed".to_owned(), 3)].into(),
            sources: vec![source],
            sinks: [("shop".to_owned(), sink)].into(),
            snapshot: Some(snapshot),
            snapshot_failures: 3,
            processes: 2,
            silent_s: [(1, 0.25)].into(),
            state_bytes: [("store", 800)].into(),
            needed_since: Some(1_000_000_000),
            ..Figures::default()
        }
    }

    #[test]
    fn the_page_says_what_the_figures_say() {
        let page = page(&figures(), 1_060.0, true, Some(5));
        for line in [
            "braid_job_info{job=\"shop\"} 1",
            "braid_ready 1",
            "braid_dead_letters_total{reason=\"malformed\"} 3",
            "braid_epochs_in_flight 2",
            "braid_watermark_delay_seconds 60",
            "braid_partition_lag_records{source=\"a\\\"b\",topic=\"in\",partition=\"2\"} 5",
            "braid_partition_margin_records{source=\"a\\\"b\",topic=\"in\",partition=\"2\"} 4",
            "braid_state_bytes{operator=\"store\"} 800",
            "braid_restart_reach_seconds 60",
            "braid_source_ahead_bytes{source=\"a\\\"b\"} 90",
            "braid_sink_epoch{sink=\"shop\"} 6",
            "braid_sink_commit_seconds_bucket{sink=\"shop\",le=\"0.01\"} 0",
            "braid_sink_commit_seconds_bucket{sink=\"shop\",le=\"0.02\"} 1",
            "braid_sink_commit_seconds_bucket{sink=\"shop\",le=\"+Inf\"} 1",
            "braid_sink_commit_seconds_count{sink=\"shop\"} 1",
            "braid_snapshot_age_seconds 10",
            "braid_sink_open_transaction_seconds{sink=\"shop\",topic=\"shop.progress\",\
             partition=\"2\"} 65",
            "braid_snapshot_failures_total 3",
            "braid_processes 2",
            "braid_process_silence_seconds{process=\"1\"} 0.25",
            "process_resident_memory_bytes 5",
        ] {
            assert!(page.lines().any(|l| l == line), "no {line:?} in\n{page}");
        }
    }

    /// A run that begins with what earlier ones have bound shows no less than they did.
    #[test]
    fn counters_are_shown_when_they_have_everything() {
        let names = [
            "braid_records_total",
            "braid_events_total",
            "braid_dead_letters_total",
            "braid_duplicates",
            "braid_merges_total",
            "braid_splits_total",
        ];
        let mut figures = figures();
        let shown = |figures: &Figures| {
            let page = page(figures, 0.0, false, None);
            names.map(|name| page.contains(&format!("# TYPE {name} ")))
        };
        assert_eq!(shown(&figures), [true; 6]);
        figures.closed = 6;
        assert_eq!(shown(&figures), [false; 6], "epoch 6 is not computed again yet");
        assert_eq!(shown(&Figures::default()), [false; 6], "no run has begun");
    }

    /// Every line is a comment or `name{labels} value`, and no metric begins twice.
    #[test]
    fn the_page_can_be_read() {
        let page = page(&figures(), 0.0, false, None);
        let mut begun = std::collections::BTreeSet::new();
        for line in page.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                assert!(begun.insert(rest.to_owned()), "{line}");
            } else if !line.starts_with('#') {
                let (name, value) = line.rsplit_once(' ').expect("a value");
                assert!(value.parse::<f64>().is_ok(), "{line}");
                assert!(name.starts_with("braid_") || name.starts_with("process_"), "{line}");
            }
        }
    }
}
