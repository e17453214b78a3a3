//! Runs that begin with a snapshot say what they would have said from the beginning.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use braid_tests::histories::{RULES, records};
use braid_tests::s3::{KEY, S3, snapshots_at};
use braid_tests::team::Proxy;
use jobs::runtime::{Extent, Progress, RunOptions, Summary};
use operators::identity::testing::Seeded;

use crate::support::{Job, Published, sources, write_part};

/// A job that takes a snapshot at the end of each run, and one that takes none.
struct Pair {
    job: Job,
    calm: Job,
    s3: Option<S3>,
}

impl Pair {
    /// With snapshots in a folder, and in an object store.
    fn each() -> [Self; 2] {
        [None, Some(S3::start())].map(|s3| {
            let to = s3.as_ref().map_or(String::new(), |s3| snapshots_at(&s3.address(), PREFIX));
            let (job, calm) = (Job::new(&text(&to)), Job::new(&(sources("snapshots") + RULES)));
            Self { job, calm, s3 }
        })
    }

    /// The folder of snapshots.
    fn place(&self) -> PathBuf {
        match &self.s3 {
            None => self.job.out().join("snapshots"),
            Some(s3) => s3.bucket().join(PREFIX),
        }
    }

    /// The only run that has left some.
    fn run_folder(&self) -> PathBuf {
        let runs = files(&self.place()).into_iter().filter(|path| !is_empty(path));
        let runs: Vec<PathBuf> = runs.collect();
        assert_eq!(runs.len(), 1, "{runs:?}");
        runs[0].clone()
    }
}

/// Where in the bucket.
const PREFIX: &str = "jobs/snapshots";

/// The text of a job that takes a snapshot at the end of each run.
fn text(to: &str) -> String {
    sources("snapshots") + RULES + "[snapshot]\nevery = \"1h\"\n" + to
}

fn files(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

/// The server leaves folders of objects that are gone.
fn is_empty(folder: &Path) -> bool {
    files(folder).is_empty()
}

/// Runs the calm job on the same epochs, and compares what both have published.
fn assert_alike(job: &Job, calm: &Job) -> Summary {
    fs::create_dir_all(calm.out()).unwrap();
    fs::copy(job.out().join("bindings"), calm.out().join("bindings")).unwrap();
    let summary = calm.run(2, 10_000);
    Published::by(job).assert_same(&Published::by(calm), "with snapshots");
    summary
}

fn without_time(summary: &Summary) -> Summary {
    Summary {
        seconds: 0.0,
        events_per_s: 0.0,
        bytes_read: 0,
        rows_written: 0,
        files_written: 0,
        ..summary.clone()
    }
}

/// What a snapshot holds need not be there any more.
#[test]
fn each_run_goes_on_from_the_snapshot_of_the_last() {
    for seed in 0..8 {
        let pair = &Pair::each()[seed as usize % 2];
        let (job, calm) = (&pair.job, &pair.calm);
        let mut random = Seeded(seed);
        let records = records(&mut random, 160);
        let (mut last, mut old) = (Summary::default(), Vec::new());
        for (part, chunk) in records.chunks(20).enumerate() {
            old.drain(..).for_each(|path: PathBuf| fs::remove_file(path).unwrap());
            old = write_part(job, part, chunk);
            write_part(calm, part, chunk);
            last = job.run([1, 2, 3][part % 3], 1 + random.below(12) as usize);
            pair.run_folder();
        }
        let whole = assert_alike(job, calm);
        assert_eq!(without_time(&last), without_time(&whole), "seed {seed}");
    }
}

fn parts(Pair { job, calm, .. }: &Pair, seed: u64) -> Vec<Vec<(bool, String)>> {
    let records = records(&mut Seeded(seed), 90);
    let parts: Vec<_> = records.chunks(30).map(<[_]>::to_vec).collect();
    for (part, chunk) in parts.iter().enumerate() {
        write_part(calm, part, chunk);
    }
    write_part(job, 0, &parts[0]);
    parts
}

fn run(job: &Job, code: i32) -> String {
    let output = job.execute(&["-w", "2", "--epoch-records", "10"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{said}");
    said
}

/// The last file of a folder whose name begins so.
fn newest(folder: &Path, prefix: &str) -> PathBuf {
    let named = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().starts_with(prefix);
    files(folder).into_iter().filter(named).max().unwrap()
}

#[test]
fn a_damaged_snapshot_is_passed_over_with_a_word() {
    for damaged in ["manifest-", "segment-"] {
        for pair in Pair::each() {
            let (job, parts) = (&pair.job, parts(&pair, 7));
            assert!(!run(job, 0).contains("snapshot"));
            write_part(job, 1, &parts[1]);
            assert!(run(job, 0).contains("begins with the snapshot at epoch "));
            write_part(job, 2, &parts[2]);
            let path = newest(&pair.run_folder(), damaged);
            let mut bytes = fs::read(&path).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 4;
            fs::write(&path, bytes).unwrap();
            let said = run(job, 0);
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            assert!(said.contains("passes over a snapshot: the snapshot "), "{said}");
            assert!(said.contains(&name) && said.contains(" is damaged: "), "{said}");
            assert_alike(job, &pair.calm);
        }
    }
}

/// Tables that were removed are made anew, from the beginning.
#[test]
fn tables_that_are_gone_are_made_from_the_beginning() {
    for pair in Pair::each() {
        let (job, parts) = (&pair.job, parts(&pair, 8));
        run(job, 0);
        write_part(job, 1, &parts[1]);
        run(job, 0);
        for path in files(&job.out()) {
            if path.is_dir() && !path.ends_with("snapshots") {
                fs::remove_dir_all(path).unwrap();
            }
        }
        write_part(job, 2, &parts[2]);
        assert!(!run(job, 0).contains("begins with the snapshot"));
        assert_alike(job, &pair.calm);
    }
}

#[test]
fn killed_while_a_snapshot_is_taken() {
    for moment in ["snapshot-part", "snapshot-manifest", "snapshot-taken"] {
        for pair in Pair::each() {
            let (job, parts) = (&pair.job, parts(&pair, 9));
            for (part, records) in parts.iter().enumerate().skip(1) {
                let output = job.execute(&["-w", "2", "--crash-at", &format!("{moment}:1:kill")]);
                assert_eq!(output.status.code(), None, "{moment}");
                run(job, 0);
                write_part(job, part, records);
            }
            run(job, 0);
            assert_alike(job, &pair.calm);
            pair.run_folder();
        }
    }
}

/// Bindings that no snapshot needs are not read by a run that begins with one.
#[test]
fn a_run_reads_the_end_of_the_bindings() {
    for pair in Pair::each() {
        let (job, parts) = (&pair.job, parts(&pair, 13));
        run(job, 0);
        write_part(job, 1, &parts[1]);
        run(job, 0);
        write_part(job, 2, &parts[2]);
        let path = job.out().join("bindings");
        let flip = || {
            let mut log = fs::read(&path).unwrap();
            log[40] ^= 1;
            fs::write(&path, log).unwrap();
        };
        flip();
        assert!(run(job, 0).contains("begins with the snapshot at epoch "));
        let status = job.command("status").output().unwrap();
        assert_eq!(status.status.code(), Some(1), "whoever asks for all of them is told");
        flip();
        assert_alike(job, &pair.calm);
    }
}

/// What is only in the store is enough on another machine, but for tables and bindings.
#[test]
fn what_is_in_the_store_is_enough() {
    let [_, pair] = Pair::each();
    let (job, parts) = (&pair.job, parts(&pair, 10));
    run(job, 0);
    fs::remove_dir_all(job.out().join("snapshots")).unwrap();
    fs::remove_file(job.folder().join("web/000.ndjson")).unwrap();
    fs::remove_file(job.folder().join("backend/000.ndjson")).unwrap();
    write_part(job, 1, &parts[1]);
    write_part(job, 2, &parts[2]);
    assert!(run(job, 0).contains("begins with the snapshot at epoch "));
    assert_alike(job, &pair.calm);
}

/// Where all results are removed but the snapshots, which are elsewhere, these are of other
/// bindings.
#[test]
fn a_job_that_begins_anew_has_nothing_of_the_old_one() {
    let [_, pair] = Pair::each();
    let (job, parts) = (&pair.job, parts(&pair, 12));
    for (part, records) in parts.iter().enumerate() {
        write_part(job, part, records);
        run(job, 0);
    }
    fs::remove_dir_all(job.out()).unwrap();
    for folder in ["web", "backend"] {
        fs::remove_dir_all(job.folder().join(folder)).unwrap();
        fs::remove_dir_all(pair.calm.folder().join(folder)).unwrap();
    }
    for (part, records) in parts.iter().rev().enumerate() {
        write_part(&pair.calm, part, records);
        write_part(job, part, records);
        let said = run(job, 0);
        assert!(part > 0 || !said.contains("begins with"), "{said}");
    }
    assert_alike(job, &pair.calm);
    pair.run_folder();
}

/// A run does not begin without knowing whether there is a snapshot.
#[test]
fn a_store_that_is_away_at_the_beginning_ends_the_run() {
    let (s3, free) = (S3::start(), TcpListener::bind("127.0.0.1:0").unwrap());
    let nobody = free.local_addr().unwrap().to_string();
    drop(free);
    let job = Job::new(&text(&snapshots_at(&nobody, PREFIX)));
    write_part(&job, 0, &records(&mut Seeded(1), 30));
    let said = run(&job, 1);
    assert!(said.contains("the snapshot s3://bucket/jobs/snapshots can't be reached: "), "{said}");
    let key = format!("= \"{KEY}\"");
    for (good, bad, part) in [
        (&*key, "= \"somebody\"", "s3://bucket/jobs/snapshots is refused: "),
        ("s3://bucket/", "s3://pail/", "s3://pail/jobs/snapshots is refused: there is no such"),
    ] {
        let wrong = text(&snapshots_at(&s3.address(), PREFIX)).replace(good, bad);
        job.write("job.toml", wrong);
        let said = run(&job, 2);
        assert!(said.contains(part), "{said}");
    }
    job.write("job.toml", text(&snapshots_at(&s3.address(), PREFIX)));
    run(&job, 0);
    assert!(run(&job, 0).contains("begins with the snapshot"));
}

/// Cuts a connection when sources are read, which comes after looking at a snapshot and reading it.
struct Cutting<'a> {
    proxy: &'a Proxy,
    begun: AtomicUsize,
    said: Mutex<Vec<String>>,
}

impl Progress for Cutting<'_> {
    fn begin(&self, _extent: Extent) {
        if self.begun.fetch_add(1, Ordering::Relaxed) == 2 {
            self.proxy.cut();
        }
    }
    fn update(&self, _done: u64, _records: u64) {}
    fn end(&self) {}
    fn note(&self, words: &str) {
        self.said.lock().unwrap().push(words.to_owned());
    }
}

/// Results don't depend on a snapshot: a run to which the store is lost comes to its end.
#[test]
fn a_store_that_goes_away_costs_no_result() {
    let [_, mut pair] = Pair::each();
    let proxy = Proxy::new(&pair.s3.as_ref().unwrap().address());
    pair.job = Job::new(&text(&snapshots_at(proxy.address(), PREFIX)));
    let (job, parts) = (&pair.job, parts(&pair, 11));
    run(job, 0);
    write_part(job, 1, &parts[1]);
    let cutting = Cutting { proxy: &proxy, begun: AtomicUsize::new(0), said: Mutex::default() };
    let options = RunOptions { workers: 2, epoch_records: Some(10) };
    jobs::runtime::run(&job.plan(), options, &cutting).unwrap();
    let said = cutting.said.into_inner().unwrap().join("\n");
    for part in ["can't be reached: ", "; the run goes on, and tries it again", "ends without a"] {
        assert!(said.contains(part), "{said}");
    }
    proxy.mend();
    write_part(job, 2, &parts[2]);
    assert!(run(job, 0).contains("begins with the snapshot at epoch "), "the one before");
    assert_alike(job, &pair.calm);
    pair.run_folder();
}
