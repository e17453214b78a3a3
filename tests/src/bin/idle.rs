//! What a job costs that has nothing to do: CPU time by thread, and memory beside what operators
//! say that they hold. `idle [RECORDS] [SECONDS]`: reads the records first; needs `braid-tested`
//! beside it.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use braid_tests::kafka::measured::{PARTITIONS, job, record};
use braid_tests::kafka::{Braid, Cluster, Writer, unique, wait};

/// After the last record: commits and snapshots that are still due.
const SETTLED: Duration = Duration::from_secs(15);

fn page(address: &str) -> String {
    let mut page = String::new();
    let asked = TcpStream::connect(address).and_then(|mut client| {
        client.write_all(b"GET /metrics HTTP/1.1\r\n\r\n")?;
        client.read_to_string(&mut page)
    });
    asked.map_or_else(|_| String::new(), |_| page)
}

/// Nanoseconds on a CPU so far, by name of the thread.
fn used(pid: u32) -> BTreeMap<String, u64> {
    let mut used = BTreeMap::new();
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    for task in tasks.map(|task| task.path()) {
        let read = |name: &str| std::fs::read_to_string(task.join(name)).unwrap_or_default();
        let time = read("schedstat").split(' ').next().and_then(|text| text.parse::<u64>().ok());
        *used.entry(read("comm").trim().to_owned()).or_default() += time.unwrap_or(0);
    }
    used
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<u64>());
    let records = arguments.next().unwrap_or(Ok(0));
    let seconds = arguments.next().unwrap_or(Ok(30));
    let (Ok(records), Ok(seconds)) = (records, seconds) else {
        eprintln!("idle [RECORDS] [SECONDS]");
        return ExitCode::from(2);
    };
    let cluster = Cluster::start(1);
    let (brokers, name) = (cluster.brokers().to_owned(), unique("idle"));
    let input = format!("{name}.in");
    cluster.create_topic(&input, PARTITIONS, &[]);
    let writer = Writer::new(&brokers);
    for number in 0..records {
        let partition = (number % PARTITIONS as u64) as i32;
        writer.send(&input, partition, &record(number));
    }
    writer.flush();
    drop(writer);
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("job.toml"), job(&name, &brokers)).expect("a job");
    let braid = std::env::current_exe().expect("a path").with_file_name("braid-tested");
    let mut running = Braid::start(&braid, folder.path(), &["--listen", "127.0.0.1:0"]);
    let address = wait("the job to listen", || {
        let said = running.said();
        Some(said.lines().find_map(|line| line.strip_prefix("braid: at http://"))?.to_owned())
    });
    let figure = |page: &str, name: &str| -> Option<f64> {
        page.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
    };
    let begun = Instant::now();
    loop {
        assert_eq!(running.ended(), None, "{}", running.said());
        let page = page(&address);
        let read = figure(&page, "braid_records_total").unwrap_or(0.0) >= records as f64;
        if read && figure(&page, "braid_ready") == Some(1.0) {
            break;
        }
        thread::sleep(Duration::from_millis(200));
    }
    println!("{records} records read after {:.1} s", begun.elapsed().as_secs_f64());
    thread::sleep(SETTLED);
    let before = used(running.pid());
    let begun = Instant::now();
    thread::sleep(Duration::from_secs(seconds));
    let after = used(running.pid());
    let whole_ns = begun.elapsed().as_nanos() as f64;
    let mut shares: Vec<(f64, String)> = after
        .into_iter()
        .map(|(thread, ns)| {
            let ns = ns.saturating_sub(before.get(&thread).copied().unwrap_or(0));
            (ns as f64 / whole_ns * 100.0, thread)
        })
        .collect();
    shares.sort_by(|a, b| b.0.total_cmp(&a.0));
    let sum: f64 = shares.iter().map(|(share, _)| share).sum();
    println!("{sum:.2} % of a core without records, over {seconds} s, of which");
    for (share, thread) in shares.iter().take_while(|(share, _)| *share >= 0.005) {
        println!("  {share:>6.2} %  {thread}");
    }
    let page = page(&address);
    let mb = |bytes: f64| bytes / 1e6;
    let (mut held, name) = (0.0, "braid_state_bytes{operator=");
    for line in page.lines().filter_map(|line| line.strip_prefix(name)) {
        let Some((operator, bytes)) = line.split_once("} ") else { continue };
        let bytes: f64 = bytes.parse().unwrap_or(0.0);
        held += bytes;
        println!("  {:>8.1} MB  {}", mb(bytes), operator.trim_matches('"'));
    }
    let resident = running.resident() as f64;
    println!("{:.1} MB held by operators, {:.1} MB resident", mb(held), mb(resident));
    ExitCode::from(u8::from(running.term() != 0))
}
