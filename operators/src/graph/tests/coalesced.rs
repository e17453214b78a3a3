//! Epochs that are made one: what stands after a run of them, and what is admitted in it, is the
//! same.

use std::collections::BTreeSet;

use super::*;

#[derive(Default)]
struct Heard {
    /// Rows that come and go, by epoch; those of `id_changes` are told by epochs, so they are not
    /// here.
    changes: BTreeMap<Epoch, BTreeMap<Row, i64>>,
    admitted: BTreeMap<Epoch, u64>,
    watermarks: BTreeMap<Epoch, Micros>,
    closed: BTreeSet<Epoch>,
}

impl Heard {
    fn hear(&mut self, emitted: Emitted, id_changes: Option<u16>) {
        match emitted {
            Emitted::Changes(epoch, changes) => {
                let all = self.changes.entry(epoch).or_default();
                for change in changes.into_iter().filter(|c| Some(c.row.view) != id_changes) {
                    *all.entry(change.row).or_default() += change.diff;
                }
            }
            Emitted::Watermark(epoch, at) => drop(self.watermarks.insert(epoch, at)),
            Emitted::Admitted(epoch, count, _) => *self.admitted.entry(epoch).or_default() += count,
            Emitted::Closed(upto) => drop(self.closed.insert(upto)),
            Emitted::Records(..) | Emitted::Marks(..) => {}
        }
    }

    /// The rows that stand after an epoch.
    fn standing(&self, upto: Epoch) -> BTreeMap<Row, i64> {
        let mut rows = BTreeMap::new();
        for (row, diff) in self.changes.range(..=upto).flat_map(|(_, changes)| changes) {
            *rows.entry(row.clone()).or_default() += diff;
        }
        rows.retain(|_, diff| *diff != 0);
        rows
    }
}

/// Runs the batches, the first of which is epoch 1; the epochs of `ends` are the last ones of runs.
fn drive(
    job: &Arc<Job>,
    batches: &[Vec<Arc<Event>>],
    ends: &BTreeSet<Epoch>,
    workers: usize,
) -> Heard {
    let heard: Arc<Mutex<Heard>> = Arc::default();
    let (job, batches, ends) = (Arc::clone(job), batches.to_vec(), ends.clone());
    let result = Arc::clone(&heard);
    let guards = timely::execute(timely::Config::process(workers), move |worker| {
        let (heard, id_changes) = (Arc::clone(&heard), job.catalog.built_in.id_changes);
        let mut graph = build(worker, &job, Watermark::new(0), move |emitted| {
            heard.lock().unwrap().hear(emitted, id_changes);
        });
        let (index, peers) = (worker.index(), worker.peers());
        graph.advance_to(1);
        graph.end_run();
        for (epoch, batch) in (1..).zip(&batches) {
            let mine = batch.iter().enumerate().filter(|(place, _)| place % peers == index);
            mine.for_each(|(_, event)| graph.events.send(Arc::clone(event)));
            if index == 0 {
                let largest = batch.iter().map(|e| e.key.time).max();
                graph.marks.send(Mark { lane: Lane::default(), largest, quiet: None });
            }
            graph.advance_to(epoch + 1);
            if ends.contains(&epoch) {
                graph.end_run();
            }
            // Some runs stand together in the graph, others are waited for.
            while ends.contains(&epoch) && epoch % 3 == 0 && graph.probe.less_than(&(epoch + 1)) {
                worker.step();
            }
            if epoch % 2 == 0 {
                worker.step();
            }
        }
    })
    .unwrap();
    drop(guards);
    std::mem::take(&mut *result.lock().unwrap())
}

#[test]
fn what_stands_after_a_run_is_the_same() {
    for seed in 0..40 {
        let mut random = Seeded(seed ^ 0xc0);
        let mut job = job(seed, EngineKind::Incremental);
        // So that some are too late, by the watermark of their own epoch.
        job.time.admit = random.pick(&[i64::MAX, 20 * SECOND]);
        job.time.ids = job.time.ids.max(job.time.admit);
        let records = records(seed, &job, 80);
        let batches: Vec<Vec<_>> = records.chunks(random.pick(&[1, 3, 5])).map(Vec::from).collect();
        let last = batches.len() as Epoch;
        let all: BTreeSet<Epoch> = (1..=last).collect();
        let whole = drive(&Arc::new(job.clone()), &batches, &all, 1);
        job.coalesces = true;
        let sizes = random.pick(&[2, 4, 1000]);
        let mut ends: BTreeSet<Epoch> =
            all.iter().copied().filter(|_| random.once_in(sizes)).collect();
        ends.insert(last);
        let runs = drive(&Arc::new(job), &batches, &ends, random.pick(&[1, 2, 3]));
        assert_eq!(runs.admitted, whole.admitted, "seed {seed}");
        assert_eq!(runs.watermarks, whole.watermarks, "seed {seed}");
        for end in &ends {
            let (is, should) = (runs.standing(*end), whole.standing(*end));
            assert!(is == should, "seed {seed}, after {end}");
        }
        // Nobody sees an epoch closed within a run, but that its last one is all that is open.
        let within = runs.closed.iter().filter(|upto| **upto > 1 && **upto <= last);
        let at_an_end = |upto: &Epoch| ends.contains(upto) || ends.contains(&(upto - 1));
        let within: Vec<_> = within.filter(|upto| !at_an_end(upto)).collect();
        assert!(within.is_empty(), "seed {seed}: {within:?}, runs end at {ends:?}");
    }
}
