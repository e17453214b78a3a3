//! A graph that goes on from the records of an earlier one says what that one would have said.

use super::*;

/// What a graph hands out, by epoch. Of changes, how many more or fewer of a row there are: of
/// several things that happen to a person in one epoch, which one is named as the cause depends on
/// which handle the person has kept.
#[derive(Default)]
struct Heard {
    changes: BTreeMap<Epoch, BTreeMap<Row, i64>>,
    records: BTreeMap<Epoch, Vec<Arc<Event>>>,
    marks: BTreeMap<Epoch, Vec<Mark>>,
}

impl Heard {
    fn hear(&mut self, emitted: Emitted) {
        match emitted {
            Emitted::Changes(epoch, changes) => {
                let all = self.changes.entry(epoch).or_default();
                for change in changes {
                    *all.entry(change.row).or_default() += change.diff;
                }
                all.retain(|_, diff| *diff != 0);
            }
            Emitted::Records(epoch, events) => {
                self.records.entry(epoch).or_default().extend(events);
            }
            Emitted::Marks(epoch, marks) => self.marks.entry(epoch).or_default().extend(marks),
            Emitted::Watermark(..) | Emitted::Admitted(..) | Emitted::Closed(_) => {}
        }
    }
}

/// Where a graph goes on: after an epoch, with the watermark and what was admitted up to it.
struct Begin {
    epoch: Epoch,
    watermark: Watermark,
    records: Vec<Arc<Event>>,
}

/// Runs the batches, the first of which is epoch 1, from where `begin` says.
fn drive(job: &Arc<Job>, begin: Begin, batches: &[Vec<Arc<Event>>], workers: usize) -> Heard {
    let heard: Arc<Mutex<Heard>> = Arc::default();
    let (job, batches, begin) = (Arc::clone(job), batches.to_vec(), Arc::new(begin));
    let result = Arc::clone(&heard);
    let guards = timely::execute(timely::Config::process(workers), move |worker| {
        let heard = Arc::clone(&heard);
        let watermark = begin.watermark.clone();
        let mut graph =
            build(worker, &job, watermark, move |emitted| heard.lock().unwrap().hear(emitted));
        let (index, peers) = (worker.index(), worker.peers());
        // In as many steps as there are epochs, and not in the order of admission.
        let size = begin.records.len().div_ceil(begin.epoch.max(1) as usize).max(3);
        graph.advance_to(1);
        for (epoch, chunk) in (1..).zip(begin.records.chunks(size)) {
            let last = epoch as usize * size >= begin.records.len();
            graph.advance_to(if last { begin.epoch } else { epoch });
            let mine = chunk.iter().enumerate().filter(|(place, _)| place % peers == index);
            mine.for_each(|(_, event)| graph.restored.send(Arc::clone(event)));
        }
        for (epoch, batch) in (1..).zip(&batches).filter(|(epoch, _)| *epoch > begin.epoch) {
            graph.advance_to(epoch);
            let mine = batch.iter().enumerate().filter(|(place, _)| place % peers == index);
            mine.for_each(|(_, event)| graph.events.send(Arc::clone(event)));
            if index == 0 {
                let largest = batch.iter().map(|e| e.key.time).max();
                graph.marks.send(Mark { lane: Lane::default(), largest, quiet: None });
            }
            graph.advance_to(epoch + 1);
            while epoch % 3 == 0 && graph.probe.less_than(&(epoch + 1)) {
                worker.step();
            }
        }
    })
    .unwrap();
    drop(guards);
    std::mem::take(&mut *result.lock().unwrap())
}

fn compare(seed: u64, engine: EngineKind) {
    let mut random = Seeded(seed ^ 0x5a);
    let mut job = job(seed, engine);
    job.keeps_records = true;
    job.time.admit = random.pick(&[i64::MAX, 20 * SECOND]);
    job.time.ids = job.time.ids.max(job.time.admit);
    let job = Arc::new(job);
    let records = records(seed, &job, 60);
    let batches: Vec<Vec<_>> = records.chunks(random.pick(&[1, 5, 9])).map(Vec::from).collect();
    let first = || Watermark::new(0);
    let begin = Begin { epoch: 0, watermark: first(), records: Vec::new() };
    let whole = drive(&job, begin, &batches, 1);
    for epoch in (1..batches.len() as Epoch).step_by(batches.len().div_ceil(12)) {
        let mut watermark = first();
        for mark in whole.marks.range(..=epoch).flat_map(|(_, marks)| marks) {
            watermark.observe(mark.lane, mark.largest, mark.quiet);
            watermark.advance();
        }
        let admitted = whole.records.range(..=epoch).flat_map(|(_, list)| list);
        let mut records: Vec<Arc<Event>> = admitted.cloned().collect();
        records.sort_by_cached_key(|_| random.bits());
        let begin = Begin { epoch, watermark, records };
        let again = drive(&job, begin, &batches, random.pick(&[1, 2, 3]));
        let none = BTreeMap::new();
        for at in epoch + 1..=batches.len() as Epoch {
            let [is, should] =
                [&again.changes, &whole.changes].map(|c| c.get(&at).unwrap_or(&none));
            let more: Vec<_> = is.iter().filter(|(k, v)| should.get(k) != Some(v)).collect();
            let less: Vec<_> = should.iter().filter(|(k, v)| is.get(k) != Some(v)).collect();
            let apart = (more, less);
            assert!(is == should, "seed {seed}, from {epoch}, at {at}: {apart:#?}");
        }
    }
}

#[test]
fn at_every_epoch() {
    for seed in 0..30 {
        compare(seed, EngineKind::Incremental);
    }
}

#[test]
fn with_the_differential_engine() {
    for seed in 40..44 {
        compare(seed, EngineKind::Differential);
    }
}
