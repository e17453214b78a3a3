//! What a person's entries come to: units by value of the breakdown, in order.

use std::cmp::Ordering;
use std::sync::Arc;

use smallvec::SmallVec;

use super::follow::Followed;
use super::outcome::{Outcome, Rank, Touch};
use super::scan::Scan;
use super::spec::{Attribution, FunnelSpec};
use crate::bytes;
use crate::model::{Cell, EventKey, Micros};
use crate::people::{Keyed, SortedChunks};

/// What counts at most once per period and value: a day's best entry (unique people), an attempt
/// (totals), a session's best entry (sessions).
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Unit {
    /// The day's start, the attempt's entry or the session's first event.
    pub key: EventKey,
    /// What decides first which of two is better: most are told apart without the events.
    pub class: u32,
    pub reached: Micros,
    pub outcome: Arc<Outcome>,
    pub touch: Option<Box<Touch>>,
    /// Where an attempt ends.
    pub until: Option<Box<EventKey>>,
}

impl Unit {
    /// How many steps were taken or passed over.
    pub(super) fn length(&self) -> usize {
        Rank::length(self.class)
    }

    pub(super) fn rank(&self, spec: &FunnelSpec) -> Rank {
        self.outcome.rank(spec.order)
    }

    /// Whether it counts rather than another.
    pub(super) fn is_better(&self, other: &Self, spec: &FunnelSpec) -> bool {
        match (self.class, self.reached).cmp(&(other.class, other.reached)) {
            Ordering::Less => true,
            Ordering::Greater => false,
            Ordering::Equal => self.rank(spec) < other.rank(spec),
        }
    }
}

impl Keyed for Unit {
    fn key(&self) -> EventKey {
        self.key
    }
}

/// The best of all units of a value, and the first that has a touch: what a change is compared with
/// before all of them are looked at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Top {
    pub class: u32,
    pub reached: Micros,
    /// Its key's time: tops are kept where units are days.
    pub day: Micros,
    /// Time of the first touch; after all moments if there is none.
    pub touch: Micros,
}

/// The units of a value.
#[derive(Clone, Debug)]
struct Own {
    value: Cell,
    units: SortedChunks<Unit>,
    top: Option<Top>,
}

/// A person's units. With `first_touch` and `last_touch`, whose value each unit has itself, all
/// stand under null.
#[derive(Clone, Debug, Default)]
pub(super) struct Units {
    list: SmallVec<[Own; 1]>,
}

impl Units {
    /// Memory that they take, in bytes, about: each with an outcome of some steps.
    pub(super) fn bytes(&self) -> usize {
        let outcome = bytes::shared::<Outcome>();
        let of = |own: &Own| own.units.bytes() + own.units.len() * outcome;
        let list = if self.list.spilled() { size_of_val(&*self.list) } else { 0 };
        self.list.iter().map(of).sum::<usize>() + list
    }

    /// Reads a first word of what is there, behind as many pointers.
    pub(super) fn touch(&self, depth: usize) -> u64 {
        let Some(own) = self.list.first() else { return 0 };
        match own.units.last() {
            Some(unit) if depth > 2 => u64::from(unit.class),
            _ => own.units.len() as u64,
        }
    }

    fn place(&self, value: &Cell) -> Result<usize, usize> {
        if let [own] = self.list.as_slice()
            && own.value == *value
        {
            return Ok(0);
        }
        self.list.binary_search_by(|own| own.value.cmp(value))
    }

    /// The values that there are units of.
    pub(super) fn values(&self) -> impl Iterator<Item = &Cell> {
        self.list.iter().map(|own| &own.value)
    }

    /// The units of a value, in order.
    pub(super) fn of(&self, value: &Cell) -> Option<&SortedChunks<Unit>> {
        self.place(value).ok().map(|place| &self.list[place].units)
    }

    /// The best of a value, if it is known.
    pub(super) fn top(&self, value: &Cell) -> Option<&Top> {
        self.list[self.place(value).ok()?].top.as_ref()
    }

    /// Notes the best of a value.
    pub(super) fn set_top(&mut self, value: &Cell, top: Option<Top>) {
        if let Ok(place) = self.place(value) {
            self.list[place].top = top;
        }
    }

    /// The units of a value with keys from `low` up to but not including `high`.
    pub(super) fn range_of(
        &self,
        value: &Cell,
        low: EventKey,
        high: EventKey,
    ) -> impl Iterator<Item = &Unit> {
        let units = self.of(value).into_iter().flat_map(move |units| units.from(low));
        units.take_while(move |unit| unit.key < high)
    }

    /// The units of all values with keys from `low` up to but not including `high`.
    pub(super) fn range(
        &self,
        low: EventKey,
        high: EventKey,
    ) -> impl Iterator<Item = (&Cell, &Unit)> {
        self.list.iter().flat_map(move |Own { value, units, .. }| {
            let own = units.from(low).take_while(move |unit| unit.key < high);
            own.map(move |unit| (value, unit))
        })
    }

    /// Puts what stands at a change's key right; returns what stood there.
    pub(super) fn apply(&mut self, change: Change) -> Option<Unit> {
        let Change { value, key, after } = change;
        match (self.place(&value), after) {
            (Ok(place), Some(unit)) => self.list[place].units.insert(unit),
            (Ok(place), None) => {
                let gone = self.list[place].units.remove(key);
                if self.list[place].units.is_empty() {
                    self.list.remove(place);
                }
                gone
            }
            (Err(place), Some(unit)) => {
                let mut units = SortedChunks::default();
                units.insert(unit);
                self.list.insert(place, Own { value, units, top: None });
                None
            }
            (Err(_), None) => None,
        }
    }
}

/// A unit comes, goes (`None`) or is replaced.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub value: Cell,
    pub key: EventKey,
    pub after: Option<Unit>,
}

/// A unit as it follows from the events, before it is known whether it stands already.
#[derive(Debug)]
pub(super) struct Fresh {
    pub value: Cell,
    pub key: EventKey,
    pub followed: Followed,
}

impl Fresh {
    /// The better outcome, and the first or last touch of both.
    fn merge(&mut self, spec: &FunnelSpec, other: Followed) {
        let touch = match (self.followed.touch, other.touch) {
            (Some(a), Some(b)) if spec.attribution == Attribution::LastTouch => Some(a.max(b)),
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        if other.rank < self.followed.rank {
            self.followed = other;
        }
        self.followed.touch = touch;
    }

    /// Adds what comes of one more entry.
    pub(super) fn add(
        list: &mut Vec<Self>,
        spec: &FunnelSpec,
        (value, key): (&Cell, EventKey),
        followed: Followed,
    ) {
        match list.last_mut() {
            Some(last) if last.key == key && last.value == *value => last.merge(spec, followed),
            _ => list.push(Self { value: value.clone(), key, followed }),
        }
    }

    /// Puts them in order, each value and key once.
    pub(super) fn sort(list: &mut Vec<Self>, spec: &FunnelSpec) {
        list.sort_by(|a, b| (&a.value, a.key).cmp(&(&b.value, b.key)));
        list.dedup_by(|next, kept| {
            let same = next.key == kept.key && next.value == kept.value;
            if same {
                kept.merge(spec, next.followed.clone());
            }
            same
        });
    }

    fn stands(&self, scan: &Scan<'_>, unit: &Unit) -> bool {
        let touch = match (self.followed.touch, &unit.touch) {
            (None, None) => true,
            (Some(item), Some(touch)) => scan.touched(item) == **touch,
            _ => false,
        };
        touch
            && self.followed.until == unit.until.as_deref().copied().unwrap_or(EventKey::MIN)
            && scan.is_outcome(&self.followed, &unit.outcome)
    }

    fn unit(&self, scan: &Scan<'_>) -> Unit {
        let Followed { rank, touch, until, .. } = self.followed;
        Unit {
            key: self.key,
            class: rank.class,
            reached: rank.reached.time,
            outcome: Arc::new(scan.outcome(&self.followed)),
            touch: touch.map(|item| Box::new(scan.touched(item))),
            until: (until != EventKey::MIN).then(|| Box::new(until)),
        }
    }
}

/// What has to change for what follows from the events of a scan to stand; both are in order.
pub(super) fn difference<'a>(
    standing: impl Iterator<Item = (&'a Cell, &'a Unit)>,
    fresh: &[Fresh],
    scan_of: impl Fn(&Fresh) -> &'a Scan<'a>,
    changes: &mut Vec<Change>,
) {
    let gone =
        |value: &Cell, unit: &Unit| Change { value: value.clone(), key: unit.key, after: None };
    let mut standing = standing.peekable();
    for fresh in fresh {
        let scan = scan_of(fresh);
        let place = (&fresh.value, fresh.key);
        while let Some((value, unit)) = standing.next_if(|(v, unit)| (*v, unit.key) < place) {
            changes.push(gone(value, unit));
        }
        let there = standing.next_if(|(value, unit)| (*value, unit.key) == place);
        if there.is_none_or(|(_, unit)| !fresh.stands(scan, unit)) {
            let after = Some(fresh.unit(scan));
            changes.push(Change { value: fresh.value.clone(), key: fresh.key, after });
        }
    }
    changes.extend(standing.map(|(value, unit)| gone(value, unit)));
}
