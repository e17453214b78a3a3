//! Several processes of one job: the tables of a single one, byte by byte, whatever happens.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;

use braid_tests::histories::{RULES, records};
use braid_tests::kafka::wait;
use braid_tests::team::{Certificates, Proxy, Team, host};
use jobs::generate::{Compression, FileOptions, ShopOptions, job_file, write};
use operators::identity::testing::Seeded;

use crate::support::{Job, Table, net, sources, write_part};

/// Lost after this many seconds.
const SILENCE: &str = "2";
/// Views that are only added to: `id_changes` tells also when, and `dead_letters` has no key.
const ADDED_TO: [&str; 2] = ["id_changes", "dead_letters"];

fn braid() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_braid-tested"))
}

/// A job over a random history.
fn history(count: u64) -> Job {
    let job = Job::new(&(sources("cluster") + RULES));
    let mut records = records(&mut Seeded(5), count);
    // The last record of each source can't be used.
    records.extend([false, true].map(|marked| (marked, "{\"messageId\":".to_owned())));
    write_part(&job, 0, &records);
    job
}

/// A job over a simulated shop, for runs that take a while.
fn shop(events: u64) -> Job {
    let job = Job::new("");
    fs::remove_file(job.folder().join("job.toml")).unwrap();
    // All within `admit`: what is late does not depend on the epochs.
    let options = ShopOptions { events, days: 5, ..ShopOptions::default() };
    write(&options, &FileOptions::new(job.folder()), &mut |_| {}).unwrap();
    job.write("job.toml", job_file(Compression::Plain));
    job
}

/// Whoever only lends workers needs the job file, and not what it reads.
#[test]
fn a_process_that_reads_nothing_needs_no_files() {
    let job = history(60);
    let expected = alone(&job);
    fs::remove_dir_all(job.out()).unwrap();
    let other = Job::new(&(sources("cluster") + RULES));
    let mut team = Team::new(braid(), job.folder(), 2, &[]);
    let addresses = [0, 1].map(|process| team.address(process).to_owned());
    let path = other.folder().join("job.toml");
    team.machines[1] = Some(team.machine(1, &path, &addresses, &[]));
    team.start(0);
    let (codes, said) = team.end_all();
    assert_eq!(codes, [Some(0), Some(0)], "{said}");
    assert!(results(&job) == expected);
    assert!(!other.out().exists(), "it writes nothing");
}

/// What must be the same: files of the current tables, and dead letters.
type Results = (BTreeMap<String, Vec<u8>>, Table);

fn results(job: &Job) -> Results {
    let plan = job.plan();
    let views = plan.catalog.schemas.iter().map(|schema| &*schema.name);
    let views: Vec<&str> = views.filter(|view| !ADDED_TO.contains(view)).collect();
    (job.current(&views), job.table("dead_letters"))
}

/// The results of one process.
fn alone(job: &Job) -> Results {
    job.run(1, 1000);
    results(job)
}

/// The results are those of one process, and the changelogs lead to them.
fn check(job: &Job, expected: &Results) {
    assert!(results(job) == *expected, "the results of one process");
    let plan = job.plan();
    for schema in plan.catalog.schemas.iter().filter(|schema| !ADDED_TO.contains(&&*schema.name)) {
        let columns: Vec<&str> = schema.columns.iter().map(|column| column.name).collect();
        let view = &*schema.name;
        assert!(net(job, &plan, view) == job.table(view).select(&columns), "{view}");
    }
}

fn team(job: &Job, processes: usize, more: &[&str]) -> Team {
    let all = [&["-w", "1", "--silence", SILENCE, "--epoch-records", "20"], more].concat();
    Team::new(braid(), job.folder(), processes, &all)
}

/// Waits until some more epochs are bound.
fn wait_bound(job: &Job) {
    let size = || fs::metadata(job.out().join("bindings")).map_or(0, |log| log.len());
    let before = size();
    wait("some epochs", || (size() >= before + 1000).then_some(()));
}

fn end_well(team: &mut Team) -> String {
    let (codes, said) = team.end_all();
    assert!(codes.iter().all(|code| *code == Some(0)), "{codes:?} {said}");
    said
}

#[test]
fn any_number_of_processes_gives_the_same_tables() {
    let expected = alone(&history(1000));
    for (processes, workers) in [(2, 1), (2, 2), (3, 1), (3, 2)] {
        let job = history(1000);
        let workers = workers.to_string();
        let mut team = Team::new(braid(), job.folder(), processes, &["-w", &workers]);
        team.start_all();
        end_well(&mut team);
        check(&job, &expected);
    }
}

/// Moments of process 0, and one of the others, at which it is in the middle of something.
const MOMENTS: [(usize, &str); 4] =
    [(0, "bound:20"), (0, "table-commit:3"), (1, "decoded:12"), (2, "decoded:40")];

#[test]
fn whoever_is_killed_comes_back() {
    let expected = alone(&history(2000));
    for (process, moment) in MOMENTS {
        let job = history(2000);
        let mut team = team(&job, 3, &[]);
        team.start_all_and(process, &format!("{moment}:kill"));
        let said = end_well(&mut team);
        let words = format!("process {process} ended (signal 9); the next generation begins");
        assert!(said.contains(&words), "{said}");
        check(&job, &expected);
    }
}

/// One that stands still is found out, killed by its parent, and takes part in the next generation.
#[test]
fn one_that_stands_still_is_replaced() {
    let expected = alone(&history(2000));
    for (process, moment) in &MOMENTS[1..3] {
        let job = history(2000);
        let mut team = team(&job, 3, &[]);
        team.start_all_and(*process, &format!("{moment}:stop"));
        let said = end_well(&mut team);
        assert!(said.contains(&format!("process {process} stands still for 2 s")), "{said}");
        check(&job, &expected);
    }
}

/// Both sides notice, and go on as soon as they reach each other again.
#[test]
fn a_cut_connection_is_found_out() {
    let expected = alone(&shop(60_000));
    let job = shop(60_000);
    let mut team = team(&job, 3, &[]);
    let proxy = Proxy::new(team.address(0));
    team.see(1, 0, proxy.address());
    team.start_all();
    wait_bound(&job);
    proxy.cut();
    team.at(1).wait_said("begins in 0.1 s");
    team.at(1).wait_said("waiting for process 0");
    proxy.mend();
    let said = end_well(&mut team);
    assert!(said.contains("says nothing for 2 s"), "{said}");
    check(&job, &expected);
}

/// Heartbeats come through, and a connection for records is cut without a word: between workers, or
/// between process 0 and the workers elsewhere. It is found out, also where both sides only wait.
#[test]
fn a_connection_that_is_cut_alone_is_found_out() {
    // Several epochs, so that there is something to wait for when the first is bound.
    let expected = alone(&shop(150_000));
    // The last connections of process 1 with process 0 are for data, and then for records.
    for place in [1, 0] {
        let job = shop(150_000);
        let mut team = team(&job, 2, &[]);
        let proxy = Proxy::new(team.address(0));
        team.see(1, 0, proxy.address());
        team.start_all();
        wait_bound(&job);
        proxy.cut_last([place]);
        let said = end_well(&mut team);
        assert!(said.contains("broke: "), "{said}");
        assert!(said.contains("nothing came for 2 s"), "{said}");
        assert!(!said.contains("says nothing"), "{said}");
        check(&job, &expected);
    }
}

/// Whatever must be the same and is not is said, and the others wait for a process that fits.
#[test]
fn one_that_differs_ends_with_2() {
    let expected = alone(&history(400));
    let job = history(400);
    let text = fs::read_to_string(job.folder().join("job.toml")).unwrap();
    let other = job.write("other.toml", text.replace("cluster_max = 5", "cluster_max = 6"));
    let mut team = team(&job, 2, &[]);
    let hosts: Vec<String> = (0..2).map(|p| team.address(p).to_owned()).collect();
    team.start(0);
    let same = job.folder().join("job.toml");
    let three = [&hosts[..], &["127.0.0.1:1".to_owned()]].concat();
    let two_workers = Team::new(braid(), job.folder(), 2, &["-w", "2"]);
    for (team, path, hosts, words) in [
        (&team, &other, &hosts, "the job file (or its erased list) is another one"),
        (&two_workers, &same, &hosts, "-w is 2 here and 1 there"),
        (&team, &same, &three, "-n is 3 here and 2 there"),
    ] {
        let mut wrong = team.machine(1, path, hosts, &[]);
        assert_eq!(wrong.end(), Some(2), "{}", wrong.said());
        assert!(wrong.said().contains(words), "{}", wrong.said());
    }
    team.at(0).wait_said("refused a connection");
    let mut wrong = team.machine(1, &same, &[hosts[1].clone(), hosts[0].clone()], &[]);
    assert_eq!(wrong.end(), Some(4), "its line is that of process 0: {}", wrong.said());
    team.start(1);
    end_well(&mut team);
    check(&job, &expected);
}

/// Of the team, or of a process of it.
#[test]
fn a_second_copy_ends_with_4() {
    let expected = alone(&history(400));
    let job = history(400);
    let mut first = team(&job, 3, &[]);
    (0..2).for_each(|process| first.start(process));
    let path = job.folder().join("job.toml");
    let hosts: Vec<String> = (0..3).map(|p| first.address(p).to_owned()).collect();
    for process in [0, 1] {
        wait("it to listen", || TcpStream::connect(first.address(process)).ok());
        let mut copy = first.machine(process, &path, &hosts, &[]);
        assert_eq!(copy.end(), Some(4), "{}", copy.said());
        assert!(copy.said().contains("something listens at"), "{}", copy.said());
    }
    // Elsewhere, so that nothing listens there.
    let mut elsewhere = hosts.clone();
    elsewhere[1] = format!("{}:2102", host());
    let mut copy = first.machine(1, &path, &elsewhere, &[]);
    assert_eq!(copy.end(), Some(4), "{}", copy.said());
    assert!(copy.said().contains("another process 1 of this job runs"), "{}", copy.said());
    first.start(2);
    end_well(&mut first);
    check(&job, &expected);
    let job = history(400);
    let mut held = job.start(&["--crash-at", "bound:1:stop"]);
    let stat = || fs::read_to_string(format!("/proc/{}/stat", held.id())).unwrap();
    wait("a run that stands still", || stat().contains(") T ").then_some(()));
    let mut second = team(&job, 2, &[]);
    second.start_all();
    let (codes, said) = second.end_all();
    held.kill().unwrap();
    held.wait().unwrap();
    assert_eq!(codes, [Some(4), Some(4)], "{said}");
    assert!(said.contains("another run of this job holds"), "{said}");
}

/// Told at any process: all end in order, and a later run goes on.
#[test]
fn a_signal_to_any_process_stops_all() {
    let expected = alone(&shop(60_000));
    let job = shop(60_000);
    for process in [0, 1] {
        let mut team = team(&job, 2, &[]);
        team.start_all();
        wait_bound(&job);
        team.at(process).signal("-TERM");
        let (codes, said) = team.end_all();
        assert_eq!(codes, [Some(1), Some(1)], "stopped before the end: {said}");
        assert!(said.contains("stopped, perhaps before the end"), "{said}");
        assert!(!said.contains("the next generation"), "{said}");
    }
    let mut team = team(&job, 2, &[]);
    team.start_all();
    end_well(&mut team);
    check(&job, &expected);
    for process in [0, 1] {
        let mut lonely = Team::new(braid(), job.folder(), 2, &["-w", "1"]);
        lonely.start(process);
        let child = wait("a child", || lonely.at(process).child());
        // It listens, so it has begun to wait.
        wait("it to listen", || TcpStream::connect(lonely.address(process)).ok());
        assert!(lonely.at(process).child() == Some(child));
        lonely.at(process).signal("-TERM");
        assert_eq!(lonely.at(process).end(), Some(1), "{}", lonely.at(process).said());
    }
}

/// SIGHUP ends a generation in order and begins the next, with what the files say by then.
#[test]
fn one_after_the_other_is_restarted() {
    let expected = alone(&shop(60_000));
    let job = shop(60_000);
    let mut team = team(&job, 3, &[]);
    team.start_all();
    for process in 0..3 {
        wait_bound(&job);
        let child = team.at(process).child();
        team.at(process).signal("-HUP");
        wait("another child", || (team.at(process).child()? != child?).then_some(()));
    }
    // A machine is gone for a while.
    wait_bound(&job);
    team.machines[1].take().unwrap().kill();
    team.at(0).wait_said("process 1 is gone");
    team.start(1);
    end_well(&mut team);
    check(&job, &expected);
}

#[test]
fn a_panic_elsewhere_is_told() {
    let expected = alone(&history(1000));
    let job = history(1000);
    let mut team = team(&job, 2, &[]);
    team.start(0);
    let hosts = [team.address(0).to_owned(), team.address(1).to_owned()];
    let path = job.folder().join("job.toml");
    let panics = team.machine(1, &path, &hosts, &["--crash-at", "decoded:3:panic"]);
    team.machines[1] = Some(panics);
    let said = end_well(&mut team);
    assert!(said.contains("process 1: a worker stopped: as it was told to"), "{said}");
    check(&job, &expected);
}

/// A failure that no other try mends ends all, in the end.
#[test]
fn what_fails_again_and_again_ends_with_1() {
    let job = history(100);
    job.write("out", "a file where the folder should be");
    let mut team = team(&job, 2, &[]);
    team.start_all();
    let (codes, said) = team.end_all();
    assert_eq!(codes, [Some(1), Some(1)], "{said}");
    assert!(said.contains("giving up"), "{said}");
}

#[test]
fn tls_lets_in_whom_the_authority_signed() {
    let expected = alone(&history(1000));
    let job = history(1000);
    let good = Certificates::new(job.folder(), "good");
    let bad = Certificates::new(job.folder(), "bad");
    let team = team(&job, 2, &[]);
    let hosts = [team.address(0).to_owned(), team.address(1).to_owned()];
    let host = hosts[0].split(':').next().unwrap();
    let path = job.folder().join("job.toml");
    let signed = |process: &str| good.arguments(process, host);
    let start = |process: usize, arguments: &[String]| {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        team.machine(process, &path, &hosts, &arguments)
    };
    let mut first = start(0, &signed("0"));
    let mut mixed = bad.arguments("1", host);
    mixed[1] = signed("1")[1].clone();
    let mut foreign = signed("foreign");
    foreign[1] = bad.arguments("x", host)[1].clone();
    for (arguments, words) in [
        (vec![], "it speaks TLS and this process does not"),
        (mixed, "it refuses this process's certificate"),
        (foreign, "its certificate is refused"),
    ] {
        let mut wrong = start(1, &arguments);
        assert_eq!(wrong.end(), Some(2), "{}", wrong.said());
        assert!(wrong.said().contains(words), "{}", wrong.said());
        first.wait_said("refused a connection");
    }
    let elsewhere = good.arguments("elsewhere", "127.0.0.9");
    let mut second = start(1, &signed("1"));
    assert_eq!((first.end(), second.end()), (Some(0), Some(0)), "{}", first.said());
    check(&job, &expected);
    // A certificate for another host.
    let _first = start(0, &elsewhere);
    let mut second = start(1, &signed("1"));
    assert_eq!(second.end(), Some(2), "{}", second.said());
    assert!(second.said().contains("not valid for"), "{}", second.said());
}

/// Whoever connects and is none of them does no harm; and figures show who is there.
#[test]
fn strangers_do_no_harm() {
    let expected = alone(&history(400));
    let job = history(400);
    let mut team = team(&job, 3, &[]);
    let hosts: Vec<String> = (0..3).map(|p| team.address(p).to_owned()).collect();
    let path = job.folder().join("job.toml");
    team.machines[0] = Some(team.machine(0, &path, &hosts, &["--listen", "127.0.0.1:0"]));
    team.start(1);
    let page = wait("an address", || {
        let said = team.at(0).said();
        said.lines().find_map(|line| line.strip_prefix("braid: at http://")).map(str::to_owned)
    });
    let preamble = "braidcl\u{1}\u{5}0.1.0\u{7f}\u{7f}\u{7f}\u{7f}";
    for noise in ["", "GET / HTTP/1.1\r\n\r\n", "\u{16}\u{3}\u{1}\u{2}", "braid", preamble] {
        let mut stranger = wait("it to listen", || TcpStream::connect(&hosts[0]).ok());
        stranger.write_all(noise.as_bytes()).unwrap();
    }
    wait("the figures", || {
        let mut client = TcpStream::connect(&page).unwrap();
        client.write_all(b"GET /metrics HTTP/1.1\r\n\r\n").unwrap();
        let mut figures = String::new();
        client.read_to_string(&mut figures).unwrap();
        let silence = "braid_process_silence_seconds{process=\"1\"} ";
        (figures.contains("\nbraid_processes 2\n") && figures.contains(silence)).then_some(())
    });
    team.start(2);
    end_well(&mut team);
    check(&job, &expected);
}
