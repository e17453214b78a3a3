//! Random histories, and the comparison of an engine with the oracle after every epoch of one.
//!
//! For the tests of this crate and of those above it. Everything follows from a seed.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use super::oracle::{Resolved, erase, resolve};
use super::{
    Engine, FOREVER, Handle, IdentityConfig, IdentityType, Membership, NO_LIMIT, Own, Resolution,
    Sighting,
};
use crate::model::{Cause, Command, CommandKind, EventKey, Ident, Idents, Token};

/// `SplitMix64`: a small generator with a seed (Steele, Lea, Flood, 2014).
#[derive(Clone, Debug)]
pub struct Seeded(pub u64);

impl Seeded {
    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.bits() % bound
    }

    /// True once in `of` times.
    pub fn once_in(&mut self, of: u64) -> bool {
        self.below(of) == 0
    }

    /// One of a list that is not empty.
    pub fn pick<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len() as u64) as usize]
    }
}

/// What comes (+1) and goes (-1) in one epoch.
pub type Batch = Vec<(Sighting, i8)>;

/// A random configuration and history: few identifiers, many ties, every rule in play.
#[derive(Clone, Debug)]
pub struct History {
    /// The rules.
    pub config: IdentityConfig,
    /// The epochs.
    pub epochs: Vec<Batch>,
}

impl History {
    /// The history of a seed, of about `size` sightings.
    pub fn new(seed: u64, size: usize) -> Self {
        let mut random = Seeded(seed);
        let config = random_config(&mut random);
        Self::with(config, &mut random, size)
    }

    /// Another history under the same rules.
    pub fn like(&self, seed: u64, size: usize) -> Self {
        Self::with(self.config.clone(), &mut Seeded(seed), size)
    }

    /// The sightings that are there after so many epochs.
    pub fn present(&self, epochs: usize) -> BTreeMap<EventKey, Sighting> {
        let mut present = BTreeMap::new();
        for (sighting, diff) in self.epochs[..epochs].iter().flatten() {
            if *diff > 0 {
                present.insert(key_of(sighting), sighting.clone());
            } else {
                present.remove(&key_of(sighting));
            }
        }
        present
    }

    /// Adds an epoch in which some identifiers and events are erased.
    pub fn erase(&mut self, random: &mut Seeded) {
        let present = self.present(self.epochs.len());
        let (mut identifiers, mut events) = (BTreeSet::new(), BTreeSet::new());
        for (key, sighting) in &present {
            let Sighting::Event(_, idents) = sighting else { continue };
            if random.once_in(12) {
                events.insert(key.id);
            }
            identifiers.extend(idents.first().filter(|_| random.once_in(12)));
        }
        let all: Vec<Sighting> = present.into_values().collect();
        let kept: BTreeSet<Sighting> = erase(&all, &identifiers, &events).into_iter().collect();
        let gone = all.into_iter().filter(|sighting| !kept.contains(sighting));
        self.epochs.push(gone.map(|sighting| (sighting, -1)).collect());
    }

    /// A history of many identifiers, over up to some decades around 1970, and with limits that are
    /// seldom met or always.
    pub fn wide(seed: u64, size: usize) -> Self {
        const YEAR: i64 = 365 * 86_400 * 1_000_000;
        let mut random = Seeded(seed);
        let mut config = random_config(&mut random);
        let stretch = random.pick(&[1, 1 << 21, YEAR]);
        for t in &mut config.types {
            t.degree_max = random.pick(&[t.degree_max, 0, 1, 20]);
            for limit in [&mut t.forward, &mut t.back] {
                *limit = limit.saturating_mul(stretch);
            }
        }
        let count = 20 + random.below(40) as usize;
        let mut history = Self::of(config, &mut random, (count, size));
        for (sighting, _) in history.epochs.iter_mut().flatten() {
            let (Sighting::Event(key, _) | Sighting::Command(key, _)) = sighting;
            key.time = (key.time - 20) * stretch;
        }
        history
    }

    fn with(config: IdentityConfig, random: &mut Seeded, size: usize) -> Self {
        let count = 3 + random.below(14) as usize;
        Self::of(config, random, (count, size))
    }

    /// A history of so many identifiers and sightings.
    fn of(config: IdentityConfig, random: &mut Seeded, (count, size): (usize, usize)) -> Self {
        let pool: Vec<Ident> = (0..count)
            .map(|_| Ident {
                kind: random.below(config.types.len() as u64) as u8,
                token: Token(u128::from(random.bits()) << 64 | u128::from(random.bits())),
            })
            .collect();
        let mut present: Vec<Sighting> = Vec::new();
        let mut keys = BTreeSet::new();
        let mut epochs = Vec::new();
        let span = 3 + random.below(40);
        let commands = 2 + random.below(12);
        let epoch_size = 1 + random.below(6);
        while epochs.iter().map(Vec::len).sum::<usize>() < size {
            let mut batch = Batch::new();
            for _ in 0..=random.below(epoch_size) {
                if random.once_in(4) && !present.is_empty() {
                    let index = random.below(present.len() as u64) as usize;
                    let gone = present.swap_remove(index);
                    keys.remove(&key_of(&gone));
                    batch.push((gone, -1));
                    continue;
                }
                let key = EventKey {
                    time: random.below(span) as i64,
                    seq: random.below(2),
                    id: u128::from(random.bits()),
                };
                if !keys.insert(key) {
                    continue;
                }
                let sighting = if random.once_in(commands) {
                    let (x, y) = (random.pick(&pool), random.pick(&pool));
                    let kind =
                        if random.once_in(2) { CommandKind::Merge } else { CommandKind::Unmerge };
                    if x == y {
                        continue;
                    }
                    Sighting::Command(key, Command { kind, x, y })
                } else {
                    random_event(random, &config, &pool, key)
                };
                present.push(sighting.clone());
                batch.push((sighting, 1));
            }
            epochs.push(batch);
        }
        Self { config, epochs }
    }
}

/// The key of an event or command.
pub fn key_of(sighting: &Sighting) -> EventKey {
    match sighting {
        Sighting::Event(key, _) | Sighting::Command(key, _) => *key,
    }
}

fn random_event(
    random: &mut Seeded,
    config: &IdentityConfig,
    pool: &[Ident],
    key: EventKey,
) -> Sighting {
    let count = random.pick(&[0, 1, 1, 1, 2, 2, 2, 3, 3, 4]);
    let mut idents: Idents = (0..count).map(|_| random.pick(pool)).collect();
    idents.sort_by_key(|i| config.strength(*i));
    idents.dedup();
    Sighting::Event(key, idents)
}

fn random_config(random: &mut Seeded) -> IdentityConfig {
    let kinds = 1 + random.below(4);
    let limited = random.once_in(2);
    let types = (0..kinds)
        .map(|kind| {
            let mut t = IdentityType::new(&format!("t{kind}"), random.below(3) as u8);
            if limited {
                t.degree_max = random.pick(&[NO_LIMIT, NO_LIMIT, 1, 2, 3]);
                t.owners_max = random.pick(&[NO_LIMIT, NO_LIMIT, 1, 2]);
                t.forward = random.pick(&[FOREVER, FOREVER, 0, 2, 8]);
                t.back = random.pick(&[FOREVER, FOREVER, 0, 2, 8]);
                t.own = random.pick(&[Own::Time, Own::Time, Own::First, Own::Last]);
            }
            t
        })
        .collect();
    let cluster_max = random.pick(&[NO_LIMIT, NO_LIMIT, 2, 3, 5]);
    IdentityConfig { types, cluster_max }
}

/// What an engine has reported so far.
#[derive(Clone, Debug, Default)]
pub struct Reported {
    persons: BTreeMap<EventKey, Handle>,
    names: BTreeMap<Handle, Token>,
    memberships: BTreeMap<Membership, i64>,
}

impl Reported {
    /// Takes in what one epoch changed.
    ///
    /// # Panics
    ///
    /// If the changes don't fit what was reported before.
    pub fn apply(&mut self, resolution: &Resolution) {
        let mut seen = BTreeSet::new();
        for assign in &resolution.assigns {
            assert_ne!(assign.from, assign.to, "a change that changes nothing: {assign:?}");
            assert!(seen.insert(assign.event), "two changes of one event: {assign:?}");
            let moved = assign.from.is_some() && assign.to.is_some();
            assert!(moved || assign.cause == Cause::New, "cause of {assign:?}");
            let before = match assign.to {
                Some(person) => self.persons.insert(assign.event, person),
                None => self.persons.remove(&assign.event),
            };
            assert_eq!(before, assign.from, "{assign:?}");
        }
        for (person, name, _) in &resolution.names {
            match name {
                Some(name) => self.names.insert(*person, *name),
                None => self.names.remove(person),
            };
        }
        for (membership, diff) in &resolution.memberships {
            match self.memberships.entry(*membership) {
                Entry::Vacant(entry) => {
                    entry.insert(i64::from(*diff));
                }
                Entry::Occupied(mut entry) => {
                    *entry.get_mut() += i64::from(*diff);
                    if *entry.get() == 0 {
                        entry.remove();
                    }
                }
            }
        }
    }

    /// Checks causes, and which person ids became which, of what is reported from here to `now`.
    fn compare_changes(&self, now: &Self, resolution: &Resolution, batch: &Batch) {
        let mut by: BTreeSet<EventKey> = batch.iter().map(|(s, _)| key_of(s)).collect();
        let mut moves = BTreeSet::new();
        for assign in &resolution.assigns {
            let (Some(from), Some(to)) = (assign.from, assign.to) else { continue };
            let left = now.names.values().any(|name| *name == self.names[&from]);
            let same = self.names[&from] == now.names[&to];
            let cause = match (same, left) {
                (true, _) => Cause::New,
                (false, true) => Cause::Split,
                (false, false) => Cause::Merge,
            };
            assert_eq!(assign.cause, cause, "{assign:?}");
            moves.insert((self.names[&from], now.names[&to]));
            by.insert(assign.event);
        }
        moves.retain(|(from, to)| from != to);
        let said: BTreeSet<(Token, Token)> =
            resolution.changes.iter().map(|c| (c.from, c.to)).collect();
        assert_eq!(said.len(), resolution.changes.len(), "each change once");
        assert!(moves.is_subset(&said), "moved {moves:?}, said {said:?}");
        // An engine with stable handles also says which person only changed its id.
        let renamed: BTreeSet<(Token, Token)> = self
            .names
            .iter()
            .filter_map(|(person, from)| Some((*from, *now.names.get(person)?)))
            .collect();
        let other: Vec<_> = said.difference(&moves).filter(|c| !renamed.contains(c)).collect();
        assert!(other.is_empty(), "nothing moved: {other:?}");
        for change in &resolution.changes {
            let left = now.names.values().any(|name| *name == change.from);
            assert_eq!(change.kind, if left { Cause::Split } else { Cause::Merge }, "{change:?}");
            assert!(by.contains(&change.by), "not of this epoch: {change:?}");
        }
    }

    /// Compares everything reported so far with the oracle's answer.
    ///
    /// # Panics
    ///
    /// If they differ.
    pub fn compare(&self, expected: &Resolved) {
        let name = |members: &BTreeSet<Ident>| {
            // The rules start a person at an identifier.
            members.iter().map(|i| i.token).min().expect("a person has an identifier")
        };
        let named: BTreeMap<EventKey, Token> = expected
            .events
            .iter()
            .filter_map(|(key, members)| Some((*key, name(members.as_ref()?))))
            .collect();
        let reported: BTreeMap<EventKey, Token> = self
            .persons
            .iter()
            .map(|(key, person)| (*key, self.names.get(person).copied().unwrap_or_default()))
            .collect();
        let differ: Vec<_> = named
            .keys()
            .chain(reported.keys())
            .filter(|k| named.get(k) != reported.get(k))
            .map(|k| (k.time, k.seq, reported.get(k), named.get(k)))
            .collect();
        assert!(differ.is_empty(), "time, seq, reported and expected person: {differ:#?}");
        let mut by_handle: BTreeMap<Handle, &BTreeSet<Ident>> = BTreeMap::new();
        for (key, person) in &self.persons {
            // Its name was found equal to the expected one above.
            let members = expected.events[key].as_ref().expect("it has a person");
            let first = by_handle.entry(*person).or_insert(members);
            assert_eq!(*first, members, "one handle, one person");
        }
        assert!(self.memberships.values().all(|n| *n == 1), "an identifier leads to one person");
        let identifiers: BTreeMap<Ident, (Token, bool)> = self
            .memberships
            .keys()
            .map(|m| (m.ident, (self.names.get(&m.person).copied().unwrap_or_default(), m.public)))
            .collect();
        assert_eq!(identifiers.len(), self.memberships.len(), "one membership an identifier");
        let expected: BTreeMap<Ident, (Token, bool)> = expected
            .identifiers
            .iter()
            .map(|(ident, (members, public))| (*ident, (name(members), *public)))
            .collect();
        assert_eq!(identifiers, expected, "memberships");
    }
}

/// Runs a history through an engine and compares with the oracle after every epoch.
///
/// # Panics
///
/// If they differ, with the differing parts.
pub fn check(engine: &mut dyn Engine, history: &History) {
    let resolutions: Vec<Resolution> = history
        .epochs
        .iter()
        .map(|batch| {
            for (sighting, diff) in batch {
                engine.update(sighting.clone(), *diff);
            }
            let mut resolution = Resolution::default();
            engine.advance(&mut resolution);
            resolution
        })
        .collect();
    compare(history, &resolutions);
}

/// Compares what was reported for each epoch of a history with the oracle.
///
/// # Panics
///
/// If they differ, with the differing parts.
pub fn compare(history: &History, resolutions: &[Resolution]) {
    assert_eq!(history.epochs.len(), resolutions.len());
    let mut reported = Reported::default();
    for (epoch, resolution) in resolutions.iter().enumerate() {
        let before = reported.clone();
        reported.apply(resolution);
        before.compare_changes(&reported, resolution, &history.epochs[epoch]);
        let sightings: Vec<Sighting> = history.present(epoch + 1).into_values().collect();
        reported.compare(&resolve(&history.config, &sightings));
    }
}
