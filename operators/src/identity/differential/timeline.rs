//! Whose a cluster is at each moment: its timeline, and the rule that it follows from.

use std::collections::BTreeMap;

use super::Cluster;
use super::code::{Claim, Fact, Limits, Piece};
use crate::identity::{FOREVER, IdentityConfig, Own};
use crate::model::{EventKey, Micros};

/// Pieces in order; the first begins at [`EventKey::MIN`], and neighbours differ in person.
#[derive(Clone, Debug, Default)]
pub(super) struct Timeline(Vec<Piece>);

impl Timeline {
    fn of(person: Cluster) -> Self {
        Self(vec![(EventKey::MIN, person)])
    }

    /// The pieces.
    pub(super) fn pieces(&self) -> &[Piece] {
        &self.0
    }

    fn at(&self, key: EventKey) -> Option<Cluster> {
        let next = self.0.partition_point(|piece| piece.0 <= key);
        Some(self.0.get(next.checked_sub(1)?)?.1)
    }

    fn push(&mut self, from: EventKey, person: Cluster) {
        while self.0.last().is_some_and(|last| last.0 >= from) {
            self.0.pop();
        }
        if self.0.last().is_none_or(|last| last.1 != person) {
            self.0.push((from, person));
        }
    }

    /// Appends what another timeline says between two moments, the latter left out.
    fn copy(&mut self, other: &Self, low: EventKey, high: Option<EventKey>) {
        if high.is_some_and(|high| high <= low) {
            return;
        }
        if let Some(person) = other.at(low) {
            self.push(low, person);
        }
        let inside = |from: EventKey| from > low && high.is_none_or(|high| from < high);
        for &(from, person) in other.0.iter().filter(|piece| inside(piece.0)) {
            self.push(from, person);
        }
    }
}

/// The timeline of a cluster. Its type of claim is that of its strongest member, which names it.
pub(super) fn timeline(
    config: &IdentityConfig,
    cluster: Cluster,
    facts: impl Iterator<Item = Fact>,
) -> Option<Timeline> {
    let (mut limits, mut gift, mut public) = (None, None, false);
    let (mut bars, mut claims) = (Vec::new(), Vec::new());
    let mut stronger: BTreeMap<Cluster, Timeline> = BTreeMap::new();
    for fact in facts {
        match fact {
            Fact::Limits(found) => limits = Some(found),
            Fact::Public => public = true,
            Fact::Gift(order, owner) => gift = gift.max(Some((order, owner))),
            Fact::Bar(strong) => bars.push(strong),
            Fact::Claim(claim) => claims.push(claim),
            Fact::Stronger(owner, (from, person)) => {
                stronger.entry(owner).or_default().push(from, person);
            }
        }
    }
    // The timelines of the clusters named are there whenever these facts are.
    let limits = limits?;
    if let Some((_, owner)) = gift {
        return stronger.remove(&owner);
    }
    if public {
        return Some(Timeline::of(cluster));
    }
    let person = |owner: Cluster, key| stronger.get(&owner).and_then(|line| line.at(key));
    claims.retain(|&(key, owner)| bars.iter().all(|&b| person(owner, key) != person(b, key)));
    let decisive = match config.types[usize::from(cluster.kind)].own {
        Own::First => claims.first(),
        Own::Last => claims.last(),
        Own::Time => return by_time(cluster, &claims, limits, &stronger),
    };
    match decisive {
        Some((_, owner)) => stronger.remove(owner),
        None => Some(Timeline::of(cluster)),
    }
}

/// At each moment the owner last seen, or else the next one, each within its limit.
fn by_time(
    cluster: Cluster,
    claims: &[Claim],
    limits: Limits,
    stronger: &BTreeMap<Cluster, Timeline>,
) -> Option<Timeline> {
    let mut line = Timeline::default();
    let alone = Timeline::of(cluster);
    let mut before: Option<&Claim> = None;
    for after in claims.iter().map(Some).chain([None]) {
        let low = before.map_or(EventKey::MIN, |claim| claim.0);
        let high = after.map(|claim| claim.0);
        // The last owner's time ends at `end`, the next one's begins at `begin`.
        let end = before.map_or(Some(low), |claim| first_beyond(claim.0, limits.forward));
        let end = [end, high].into_iter().flatten().min();
        if let Some((_, owner)) = before {
            line.copy(stronger.get(owner)?, low, end);
        }
        let Some(end) = end else { break };
        let begin = after.map(|claim| first_within(claim.0, limits.back).max(end));
        line.copy(&alone, end, begin);
        if let (Some(begin), Some((_, owner))) = (begin, after) {
            line.copy(stronger.get(owner)?, begin, high);
        }
        before = after;
    }
    Some(line)
}

/// The first moment that is too long after a claim; none if there is no such.
fn first_beyond(claim: EventKey, forward: Micros) -> Option<EventKey> {
    if forward == FOREVER {
        return None;
    }
    let time = claim.time.checked_add(forward)?.checked_add(1)?;
    Some(EventKey { time, ..EventKey::MIN })
}

/// The first moment that is not too long before a claim.
fn first_within(claim: EventKey, back: Micros) -> EventKey {
    if back == FOREVER {
        return EventKey::MIN;
    }
    EventKey { time: claim.time.saturating_sub(back), ..EventKey::MIN }
}
