//! From an entry along its chain, by searches over where each step is taken.

use std::sync::Arc;

use smallvec::SmallVec;

use super::outcome::{Outcome, Rank, Touch};
use super::scan::{Scan, bits};
use super::spec::{Attribution, Counting, Order};
use crate::model::{Cell, EventKey};

/// Indices of the items that took the steps, [`SKIPPED`] where an optional one was passed over.
pub(super) type Path = SmallVec<[u32; 8]>;

/// Stands for the item of a step that was not taken.
pub(super) const SKIPPED: u32 = u32::MAX;

/// What comes of an entry, with what is needed to count it: indices into the scan.
#[derive(Clone, Debug)]
pub(super) struct Followed {
    pub path: Path,
    pub excluded: bool,
    pub rank: Rank,
    /// The item whose value counts.
    pub touch: Option<u32>,
    /// An attempt ends here: the next entry is after it. Only where attempts are counted.
    pub until: EventKey,
}

fn taken(path: &[u32]) -> impl DoubleEndedIterator<Item = u32> {
    path.iter().copied().filter(|item| *item != SKIPPED)
}

impl Scan<'_> {
    /// The outcome of an entry as one attempt.
    pub(super) fn attempt(&self, entry: usize) -> Followed {
        let path = self.follow(entry as u32, None);
        self.finish(entry as u32, path)
    }

    /// Tells the outcomes of an entry, each with the value of the breakdown that it is under:
    /// `None` save where a step is attributed.
    pub(super) fn outcomes(&self, entry: usize, mut tell: impl FnMut(Option<&Cell>, Followed)) {
        let Attribution::Step(step) = self.spec.attribution else {
            return tell(None, self.attempt(entry));
        };
        if self.spec.breakdown.is_empty() {
            return tell(None, self.attempt(entry));
        }
        let entry = entry as u32;
        for value in self.values_of(entry, step) {
            let path = self.follow(entry, Some((step, value)));
            let followed = self.finish(entry, path);
            if followed.path.get(step).is_some_and(|item| *item != SKIPPED) {
                tell(Some(value), followed);
            }
        }
    }

    /// The values of the events that could take a step of an entry.
    fn values_of(&self, entry: u32, step: usize) -> Vec<&Cell> {
        let first = &self.items[entry as usize];
        if step == 0 {
            return vec![&first.value];
        }
        let takes = match self.spec.order {
            Order::Unordered => u32::MAX,
            Order::Ordered | Order::Strict => 1 << step,
        };
        let mut values = Vec::new();
        for index in first.start..self.items.len() as u32 {
            if !self.within(entry, index) {
                break;
            }
            let item = &self.items[index as usize];
            if item.steps & takes != 0 {
                values.push(&item.value);
            }
        }
        values.sort_unstable();
        values.dedup();
        values
    }

    /// The chain of an entry, exclusions aside; `need` is the value that a step's event must have.
    fn follow(&self, entry: u32, need: Option<(usize, &Cell)>) -> Path {
        match self.spec.order {
            Order::Unordered if self.single && need.is_none() => self.each_once(entry),
            Order::Unordered => self.any_order(entry, need),
            Order::Ordered | Order::Strict => self.in_order(entry, need),
        }
    }

    fn in_order(&self, entry: u32, need: Option<(usize, &Cell)>) -> Path {
        let steps = &self.spec.steps;
        let mut path = Path::from_iter([entry]);
        let mut last = entry;
        while path.len() < steps.len() {
            let next = path.len();
            // The last step is never optional.
            let required = (next..steps.len()).find(|s| !steps[*s].optional).unwrap_or(next);
            let mut best = self.take(required, entry, last, &path, need, 0).map(|i| (i, required));
            for step in next..required {
                let found = self.take(step, entry, last, &path, need, 1 << required);
                let instant = |item: u32| self.items[item as usize].instant;
                let sooner =
                    |i: u32| best.is_none_or(|(b, s)| (instant(i), step) < (instant(b), s));
                if let Some(index) = found.filter(|i| sooner(*i)) {
                    best = Some((index, step));
                }
            }
            let Some((index, step)) = best else { break };
            let gap = self.items[index as usize].instant - self.items[last as usize].instant;
            if self.spec.order == Order::Strict && gap > 1 {
                break;
            }
            path.resize(step, SKIPPED);
            path.push(index);
            last = index;
        }
        path
    }

    /// The first item from the instant of `last` on that takes a step, is not in the path yet and
    /// takes none of the steps in `avoid`.
    fn take(
        &self,
        step: usize,
        entry: u32,
        last: u32,
        path: &Path,
        need: Option<(usize, &Cell)>,
        avoid: u32,
    ) -> Option<u32> {
        let takers = self.takers(step, self.items[entry as usize].lane);
        let last = &self.items[last as usize];
        let from = takers.partition_point(|place| place.1 < last.start);
        for &(_, index) in &takers[from..] {
            if !self.within(entry, index) {
                return None;
            }
            let item = &self.items[index as usize];
            let used = item.instant == last.instant && path.contains(&index);
            let wrong = need.is_some_and(|(s, value)| s == step && item.value != *value);
            if !used && !wrong && item.steps & avoid == 0 {
                return Some(index);
            }
        }
        None
    }

    /// Any order, where no event takes two steps: the first event of each step.
    fn each_once(&self, entry: u32) -> Path {
        let item = &self.items[entry as usize];
        let mut path = Path::from_iter([entry]);
        for step in 0..self.spec.steps.len() {
            if item.steps >> step & 1 == 1 {
                continue;
            }
            let takers = self.takers(step, item.lane);
            let next = takers.get(takers.partition_point(|place| place.1 <= entry));
            path.extend(next.map(|place| place.1).filter(|index| self.within(entry, *index)));
        }
        path[1..].sort_unstable();
        path
    }

    /// Any order: an event is taken if it and all taken before can each have a step of their own.
    fn any_order(&self, entry: u32, need: Option<(usize, &Cell)>) -> Path {
        let mut path = Path::new();
        let mut owners = Owners::default();
        for index in entry..self.items.len() as u32 {
            let item = &self.items[index as usize];
            if path.len() == self.spec.steps.len() || !self.within(entry, index) {
                break;
            }
            let wrong = need.is_some_and(|(s, value)| s == path.len() && item.value != *value);
            let lane = item.lane == self.items[entry as usize].lane;
            if lane && !wrong && owners.give(item.steps) {
                path.push(index);
            }
        }
        path
    }

    /// The first exclusion that cuts a chain.
    fn exclusion(&self, entry: u32, path: &Path) -> Option<u32> {
        let instant = |item: u32| self.items[item as usize].instant;
        let mut first: Option<u32> = None;
        for (number, rule) in self.spec.exclusions.iter().enumerate() {
            if path.len() <= rule.from {
                continue;
            }
            let Some(after) = taken(&path[..=rule.from]).next_back() else { continue };
            let after = instant(after);
            let before = path.get(rule.to..).and_then(|rest| taken(rest).next());
            let list = self.excluding(number);
            let next = list.partition_point(|place| instant(place.1) <= after);
            let Some(&(_, index)) = list.get(next) else { continue };
            let between = before.is_none_or(|before| instant(index) < instant(before));
            if between && self.within(entry, index) && first.is_none_or(|f| index < f) {
                first = Some(index);
            }
        }
        first
    }

    /// Cuts a chain at its exclusion.
    fn finish(&self, entry: u32, mut path: Path) -> Followed {
        let spec = self.spec;
        let exclusion = self.exclusion(entry, &path);
        if let Some(at) = exclusion {
            self.cut(&mut path, at);
        }
        let until = match exclusion {
            _ if spec.counting != Counting::Totals => EventKey::MIN,
            Some(at) => self.key(at),
            None if path.len() == spec.steps.len() || spec.order == Order::Strict => {
                taken(&path).map(|item| self.key(item)).max().unwrap_or(self.key(entry))
            }
            None => {
                let time = self.key(entry).time.saturating_add(spec.window);
                EventKey { time, ..EventKey::MAX }
            }
        };
        let touch = if spec.breakdown.is_empty() { None } else { self.touch(&path) };
        let reached = path.last().map_or(self.key(entry), |last| self.key(*last));
        let excluded = exclusion.is_some();
        let rank = Rank::new(spec.order, path.len(), excluded, self.key(entry), reached);
        Followed { path, excluded, rank, touch, until }
    }

    fn cut(&self, path: &mut Path, exclusion: u32) {
        let at = self.items[exclusion as usize].instant;
        let before = |item: u32| item == SKIPPED || self.items[item as usize].instant <= at;
        let mut kept = path.iter().take_while(|item| before(**item)).count();
        if self.spec.order != Order::Unordered {
            // The step that comes next counts for how far it would have gone.
            let next = path[kept..].iter().position(|item| *item != SKIPPED);
            kept += next.map_or(0, |next| next + 1);
        }
        path.truncate(kept);
        while path.last() == Some(&SKIPPED) {
            path.pop();
        }
    }

    fn touch(&self, path: &Path) -> Option<u32> {
        let mut set = taken(path).filter(|item| self.items[*item as usize].value != Cell::Null);
        match self.spec.attribution {
            // Items stand in the total order.
            Attribution::FirstTouch => set.min(),
            Attribution::LastTouch => set.max(),
            Attribution::Step(step) => path.get(step).copied().filter(|item| *item != SKIPPED),
            Attribution::AllEvents => set.next(),
        }
    }

    /// The events of a path.
    pub(super) fn outcome(&self, followed: &Followed) -> Outcome {
        let event = |item: &u32| {
            let item = self.items.get(*item as usize)?;
            Some(Arc::clone(item.event))
        };
        Outcome { chain: followed.path.iter().map(event).collect(), excluded: followed.excluded }
    }

    /// Whether an outcome is that of a path, without making it.
    pub(super) fn is_outcome(&self, followed: &Followed, outcome: &Outcome) -> bool {
        let same = |(item, event): (&u32, &Option<Arc<_>>)| match event {
            None => *item == SKIPPED,
            Some(event) => self
                .items
                .get(*item as usize)
                .is_some_and(|item| Arc::ptr_eq(item.event, event) || item.event == event),
        };
        followed.excluded == outcome.excluded
            && followed.path.len() == outcome.chain.len()
            && followed.path.iter().zip(&outcome.chain).all(same)
    }

    /// The event and the value of a touch.
    pub(super) fn touched(&self, item: u32) -> Touch {
        let item = &self.items[item as usize];
        Touch { key: item.event.key, value: item.value.clone() }
    }
}

/// Which of some events has which step, each at most one: a matching that is kept as large as can
/// be (Kuhn's algorithm).
#[derive(Debug, Default)]
struct Owners {
    /// The steps that each event could have.
    events: SmallVec<[u32; 8]>,
    /// By step, the event that has it.
    owner: [Option<u8>; 32],
}

impl Owners {
    /// Gives one more event a step, moving others if need be; `false` if there is none for it.
    fn give(&mut self, steps: u32) -> bool {
        let event = self.events.len();
        self.events.push(steps);
        let mut tried = 0;
        let given = self.place(event, &mut tried);
        if !given {
            self.events.pop();
        }
        given
    }

    fn place(&mut self, event: usize, tried: &mut u32) -> bool {
        for step in bits(self.events[event]) {
            if *tried >> step & 1 == 1 {
                continue;
            }
            *tried |= 1 << step;
            let moved = match self.owner[step] {
                None => true,
                Some(other) => self.place(usize::from(other), tried),
            };
            if moved {
                self.owner[step] = Some(event as u8);
                return true;
            }
        }
        false
    }
}
