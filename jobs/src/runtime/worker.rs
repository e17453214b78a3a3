//! A worker's loop: decode what it is given, feed its part of the graph, step.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use connectors::decode::{Decoded, Decoder};
use connectors::file::RawBatch;
use connectors::moments::{Moment, reach};
use crossbeam_channel::{Sender, TryRecvError};
use operators::graph::{Emitted, Graph, HeldBytes, Job, Mark, STATEFUL, build, refused};
use operators::model::{Epoch, Micros, Reason};
use operators::time::admission::too_early;
use operators::time::{Lane, Watermark};
use replay::snapshot::BlockReader;
use serde::{Deserialize, Serialize};
use timely::worker::Worker;

use crate::cluster::Seat;

/// What the supervisor gives a worker, in this process or another.
#[derive(Serialize, Deserialize)]
pub(super) enum Work {
    /// The watermark to go on from: the first thing that a worker is given.
    Begin(Box<Watermark>),
    /// A block of a snapshot: events that an earlier run admitted.
    Restore(Vec<u8>),
    /// Records of the epoch that is open, with the time of receipt of those that have none.
    Batch(RawBatch, Micros),
    /// A block of events of the epoch that is open, which an archive has kept.
    Kept(Vec<u8>),
    /// The epoch is complete; these lanes are quiet from now on, or no longer. Whether it is the
    /// last one of a run, if epochs are made one.
    Close(Epoch, Vec<Mark>, bool),
}

impl Work {
    /// Whether any worker may do it.
    pub(super) fn is_for_any(&self) -> bool {
        match self {
            Self::Restore(_) | Self::Batch(..) | Self::Kept(_) => true,
            Self::Begin(_) | Self::Close(..) => false,
        }
    }
}

/// What a worker tells the sink.
#[derive(Serialize, Deserialize)]
pub(super) enum Told {
    /// What the graph handed out.
    Graph(usize, Emitted),
    /// The last epoch of a run of epochs that are made one. It is said before any worker is told.
    Run(Epoch),
    /// Records decoded: all, events, dead letters by reason, erased, blank lines.
    Decoded {
        epoch: Epoch,
        records: u64,
        events: u64,
        letters: BTreeMap<Reason, u64>,
        /// Records on the erased list.
        erased: u64,
    },
    /// Bytes that the operators of a worker hold, about.
    Held(usize, [u64; STATEFUL.len()]),
}

/// How often a worker says what it holds, if that has changed.
const SAY_EVERY: Duration = Duration::from_secs(1);

/// A step without anything to do takes less.
const LOOK_AROUND: Duration = Duration::from_micros(100);

/// What a worker has said that it holds.
struct Saying {
    last: Instant,
    said: [u64; STATEFUL.len()],
}

impl Saying {
    /// What is to be said now, if anything is.
    fn next(&mut self, held: &HeldBytes) -> Option<[u64; STATEFUL.len()]> {
        if self.last.elapsed() < SAY_EVERY {
            return None;
        }
        self.last = Instant::now();
        let now = held.now();
        (std::mem::replace(&mut self.said, now) != now).then_some(now)
    }
}

/// Runs until the supervisor hangs up. Records of each source are decoded by its own decoder.
pub(super) fn work(
    worker: &mut Worker,
    job: &Arc<Job>,
    mut decoders: Vec<Decoder>,
    inbox: &Seat<Work>,
    told: &Sender<Told>,
) {
    inbox.take();
    let index = worker.index();
    let emitted = told.clone();
    let Some(Work::Begin(watermark)) = inbox.wait() else { return };
    let mut graph = build(worker, job, *watermark, move |e| {
        // The sink hangs up only when the run has failed; then nothing matters any more.
        let _ = emitted.send(Told::Graph(index, e));
    });
    // Epochs are minted from 1 on; 0 stands for "none yet" in tables.
    graph.advance_to(1);
    graph.end_run();
    let mut part = Part {
        graph,
        job,
        decoders: &mut decoders,
        decoded: Decoded::default(),
        blocks: BlockReader::default(),
        largest: BTreeMap::new(),
        open: 1,
        told,
    };
    let mut saying = Saying { last: Instant::now(), said: [0; STATEFUL.len()] };
    let (mut ended, mut closing) = (0, None);
    loop {
        if let Some(held) = saying.next(&part.graph.held) {
            let _ = told.send(Told::Held(index, held));
        }
        // An epoch ends here when all its records have been taken by somebody.
        if let Some((epoch, marks, ends_run)) = closing.take_if(|_| !inbox.has(ended)) {
            part.close(epoch, marks, ends_run);
            ended += 1;
            worker.step();
            continue;
        }
        let mut over = false;
        if closing.is_none() {
            match inbox.next() {
                Ok(Work::Close(epoch, marks, ends_run)) => {
                    closing = Some((epoch, marks, ends_run));
                    continue;
                }
                Ok(work) => {
                    part.take(work);
                    worker.step();
                    continue;
                }
                Err(TryRecvError::Empty) => {}
                Err(TryRecvError::Disconnected) => over = true,
            }
        }
        // Who has to do with records that are here leaves the next ones to those who have not.
        if is_busy(worker) {
            continue;
        }
        match inbox.next_of(ended) {
            Some(work) => part.take(work),
            None if over => return,
            None if closing.is_some() => {}
            None => drop(worker.step_or_park(Some(SAY_EVERY))),
        }
    }
}

/// Does a step; whether it took so long that there may be more to do.
fn is_busy(worker: &mut Worker) -> bool {
    let begun = Instant::now();
    worker.step();
    begun.elapsed() > LOOK_AROUND
}

/// What a worker feeds its part of the graph with.
struct Part<'a> {
    graph: Graph,
    job: &'a Job,
    decoders: &'a mut [Decoder],
    decoded: Decoded,
    blocks: BlockReader,
    /// The largest event time of each lane in the epoch that is open.
    largest: BTreeMap<Lane, Micros>,
    open: Epoch,
    told: &'a Sender<Told>,
}

impl Part<'_> {
    /// Takes in records or events of the epoch that is open.
    fn take(&mut self, work: Work) {
        match work {
            Work::Batch(batch, received) => {
                self.decoded.clear();
                self.decoders[usize::from(batch.source)].decode(
                    &batch,
                    received,
                    &mut self.decoded,
                );
                reach(Moment::Decoded);
                let records = batch.len() as u64;
                let lane = (batch.lane(), &mut self.largest);
                let (graph, decoded) = (&mut self.graph, &mut self.decoded);
                let tally = feed(graph, self.job, decoded, lane, (self.open, records));
                let _ = self.told.send(tally);
            }
            Work::Restore(block) => match self.blocks.decode(&block) {
                Ok(events) => events.into_iter().for_each(|e| self.graph.restored.send(e)),
                // Its checksum is right, so another program has written it. A panic ends all
                // workers before an epoch is closed.
                Err(message) => panic!("a snapshot can't be read: {message}"),
            },
            Work::Kept(block) => {
                let events = match self.blocks.decode(&block) {
                    Ok(events) => events,
                    // It was encoded by this program.
                    Err(message) => panic!("archived events can't be read: {message}"),
                };
                let (epoch, count) = (self.open, events.len() as u64);
                events.into_iter().for_each(|event| self.graph.events.send(event));
                let (records, events, letters) = (count, count, BTreeMap::new());
                let _ =
                    self.told.send(Told::Decoded { epoch, records, events, letters, erased: 0 });
            }
            // It is given once, and the end of an epoch is the loop's affair.
            Work::Begin(_) | Work::Close(..) => {}
        }
    }

    /// Ends an epoch.
    fn close(&mut self, epoch: Epoch, marks: Vec<Mark>, ends_run: bool) {
        for (lane, largest) in std::mem::take(&mut self.largest) {
            self.graph.marks.send(Mark { lane, largest: Some(largest), quiet: None });
        }
        marks.into_iter().for_each(|mark| self.graph.marks.send(mark));
        self.open = epoch + 1;
        self.graph.advance_to(self.open);
        if ends_run {
            self.graph.end_run();
        }
    }
}

fn feed(
    graph: &mut Graph,
    job: &Job,
    decoded: &mut Decoded,
    (lane, largest): (Lane, &mut BTreeMap<Lane, Micros>),
    (epoch, records): (Epoch, u64),
) -> Told {
    let mut letters: BTreeMap<Reason, u64> = BTreeMap::new();
    let events = decoded.events.len() as u64;
    for (event, received) in decoded.events.drain(..) {
        let time = event.key.time;
        if too_early(&job.time, time, received) {
            *letters.entry(Reason::TooEarly).or_default() += 1;
            graph.letters.send(refused(&event, Reason::TooEarly, received));
            continue;
        }
        let most = largest.entry(lane).or_insert(time);
        *most = time.max(*most);
        graph.events.send(Arc::new(event));
    }
    for letter in decoded.letters.drain(..) {
        *letters.entry(letter.reason).or_default() += 1;
        graph.letters.send(letter);
    }
    let (records, erased) = (records - decoded.blank, decoded.erased);
    Told::Decoded { epoch, records, events, letters, erased }
}
