//! From an entry along its chain, by searches over where each step is taken.

use std::sync::Arc;

use smallvec::SmallVec;

use super::outcome::{Outcome, Touch};
use super::scan::{Scan, bits};
use super::spec::{Attribution, Order};
use crate::model::{Cell, EventKey};

/// Indices of the items that took the steps.
type Path = SmallVec<[Option<usize>; 8]>;

/// What comes of an entry, with what is needed to count it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Followed {
    pub outcome: Outcome,
    pub touch: Option<Touch>,
    /// An attempt ends here: the next entry is after it.
    pub until: EventKey,
}

impl Scan<'_> {
    /// The outcome of an entry as one attempt.
    pub(super) fn attempt(&self, entry: usize) -> Followed {
        let path = self.follow(entry, None);
        self.finish(entry, path)
    }

    /// The outcomes of an entry, by the value of the breakdown that each is under: null, save where
    /// a step is attributed.
    pub(super) fn outcomes(&self, entry: usize) -> SmallVec<[(Cell, Followed); 1]> {
        let spec = self.spec;
        let Attribution::Step(step) = spec.attribution else {
            return SmallVec::from_iter([(Cell::Null, self.attempt(entry))]);
        };
        if spec.breakdown.is_empty() {
            return SmallVec::from_iter([(Cell::Null, self.attempt(entry))]);
        }
        let mut list = SmallVec::new();
        for value in self.values_of(entry, step) {
            let path = self.follow(entry, Some((step, &value)));
            let followed = self.finish(entry, path);
            if followed.outcome.chain.get(step).is_some_and(Option::is_some) {
                list.push((value, followed));
            }
        }
        list
    }

    /// The values of the events that could take a step of an entry.
    fn values_of(&self, entry: usize, step: usize) -> Vec<Cell> {
        if step == 0 {
            return vec![self.items[entry].value.clone()];
        }
        let takes = match self.spec.order {
            Order::Unordered => u32::MAX,
            Order::Ordered | Order::Strict => 1 << step,
        };
        let mut values = Vec::new();
        for index in self.starts[entry]..self.items.len() {
            if !self.within(entry, index) {
                break;
            }
            let item = &self.items[index];
            if item.steps & takes != 0 {
                values.push(item.value.clone());
            }
        }
        values.sort_unstable();
        values.dedup();
        values
    }

    /// The chain of an entry, exclusions aside; `need` is the value that a step's event must have.
    fn follow(&self, entry: usize, need: Option<(usize, &Cell)>) -> Path {
        match self.spec.order {
            Order::Unordered if self.single && need.is_none() => self.each_once(entry),
            Order::Unordered => self.any_order(entry, need),
            Order::Ordered | Order::Strict => self.in_order(entry, need),
        }
    }

    fn in_order(&self, entry: usize, need: Option<(usize, &Cell)>) -> Path {
        let steps = &self.spec.steps;
        let mut path = Path::from_iter([Some(entry)]);
        let mut last = entry;
        while path.len() < steps.len() {
            let next = path.len();
            // The last step is never optional.
            let required = (next..steps.len()).find(|s| !steps[*s].optional).unwrap_or(next);
            let mut best = self.take(required, entry, last, &path, need, 0).map(|i| (i, required));
            for step in next..required {
                let found = self.take(step, entry, last, &path, need, 1 << required);
                let sooner = |i: usize| {
                    best.is_none_or(|(b, s)| {
                        (self.items[i].instant, step) < (self.items[b].instant, s)
                    })
                };
                if let Some(index) = found.filter(|i| sooner(*i)) {
                    best = Some((index, step));
                }
            }
            let Some((index, step)) = best else { break };
            let gap = self.items[index].instant - self.items[last].instant;
            if self.spec.order == Order::Strict && gap > 1 {
                break;
            }
            path.resize(step, None);
            path.push(Some(index));
            last = index;
        }
        path
    }

    /// The first item from the instant of `last` on that takes a step, is not in the path yet and
    /// takes none of the steps in `avoid`.
    fn take(
        &self,
        step: usize,
        entry: usize,
        last: usize,
        path: &Path,
        need: Option<(usize, &Cell)>,
        avoid: u32,
    ) -> Option<usize> {
        let places = self.places.get(&(step, self.items[entry].lane))?;
        let from = places.partition_point(|p| *p < self.starts[last]);
        for &index in &places[from..] {
            if !self.within(entry, index) {
                return None;
            }
            let item = &self.items[index];
            let used = item.instant == self.items[last].instant && path.contains(&Some(index));
            let wrong = need.is_some_and(|(s, value)| s == step && item.value != *value);
            if !used && !wrong && item.steps & avoid == 0 {
                return Some(index);
            }
        }
        None
    }

    /// Any order, where no event takes two steps: the first event of each step.
    fn each_once(&self, entry: usize) -> Path {
        let item = &self.items[entry];
        let mut found: SmallVec<[usize; 8]> = SmallVec::new();
        for step in 0..self.spec.steps.len() {
            if item.steps >> step & 1 == 1 {
                continue;
            }
            let Some(places) = self.places.get(&(step, item.lane)) else { continue };
            let next = places.get(places.partition_point(|p| *p <= entry));
            found.extend(next.copied().filter(|index| self.within(entry, *index)));
        }
        found.sort_unstable();
        std::iter::once(entry).chain(found).map(Some).collect()
    }

    /// Any order: an event is taken if it and all taken before can each have a step of their own.
    fn any_order(&self, entry: usize, need: Option<(usize, &Cell)>) -> Path {
        let mut path = Path::new();
        let mut owners = Owners::default();
        for index in entry..self.items.len() {
            let item = &self.items[index];
            if path.len() == self.spec.steps.len() || !self.within(entry, index) {
                break;
            }
            let wrong = need.is_some_and(|(s, value)| s == path.len() && item.value != *value);
            if item.lane == self.items[entry].lane && !wrong && owners.give(item.steps) {
                path.push(Some(index));
            }
        }
        path
    }

    /// The first exclusion that cuts a chain.
    fn exclusion(&self, entry: usize, path: &Path) -> Option<usize> {
        let mut first: Option<usize> = None;
        for (rule, list) in self.spec.exclusions.iter().zip(&self.excluding) {
            if path.len() <= rule.from {
                continue;
            }
            let Some(after) = path[..=rule.from].iter().rev().flatten().next() else { continue };
            let after = self.items[*after].instant;
            let before = path.get(rule.to..).and_then(|rest| rest.iter().flatten().next());
            let Some(&index) = list.get(list.partition_point(|i| self.items[*i].instant <= after))
            else {
                continue;
            };
            let between =
                before.is_none_or(|before| self.items[index].instant < self.items[*before].instant);
            if between && self.within(entry, index) && first.is_none_or(|f| index < f) {
                first = Some(index);
            }
        }
        first
    }

    /// Cuts a chain at its exclusion, and turns indices into events.
    fn finish(&self, entry: usize, mut path: Path) -> Followed {
        let spec = self.spec;
        let exclusion = self.exclusion(entry, &path);
        let unordered = spec.order == Order::Unordered;
        if let Some(at) = exclusion {
            let at = self.items[at].instant;
            let kept = path.iter().take_while(|p| p.is_none_or(|i| self.items[i].instant <= at));
            let mut kept = kept.count();
            if !unordered {
                // The step that comes next counts for how far it would have gone.
                kept += path[kept..].iter().position(Option::is_some).map_or(0, |next| next + 1);
            }
            path.truncate(kept);
            while path.last() == Some(&None) {
                path.pop();
            }
        }
        let key = |index: usize| self.items[index].event.key;
        let last = path.iter().flatten().map(|i| key(*i)).max().unwrap_or(key(entry));
        let complete = path.len() == spec.steps.len();
        let until = match exclusion {
            Some(at) => key(at),
            None if complete || spec.order == Order::Strict => last,
            None => {
                let time = key(entry).time.saturating_add(spec.window);
                EventKey { time, ..EventKey::MAX }
            }
        };
        let touch = self.touch(&path);
        let event = |place: &Option<usize>| place.map(|i| Arc::clone(self.items[i].event));
        let chain = path.iter().map(event).collect();
        Followed { outcome: Outcome { chain, excluded: exclusion.is_some() }, touch, until }
    }

    fn touch(&self, path: &Path) -> Option<Touch> {
        if self.spec.breakdown.is_empty() {
            return None;
        }
        let touch = |index: usize| {
            let item = &self.items[index];
            Touch { key: item.event.key, value: item.value.clone() }
        };
        let mut set = path.iter().flatten().filter(|i| self.items[**i].value != Cell::Null);
        match self.spec.attribution {
            Attribution::FirstTouch => set.min_by_key(|i| self.items[**i].event.key),
            Attribution::LastTouch => set.max_by_key(|i| self.items[**i].event.key),
            Attribution::Step(step) => path.get(step).and_then(Option::as_ref),
            Attribution::AllEvents => set.next(),
        }
        .map(|index| touch(*index))
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
