//! The identifiers of one person.

use std::collections::BTreeMap;

use super::{Keyed, SortedChunks};
use crate::model::{EventKey, Ident, Micros};

/// An identifier, and whether it is public.
pub(super) type Owned = (Ident, bool);

/// No event, but it has a place as one: type, public or not, token.
impl Keyed for Owned {
    fn key(&self) -> EventKey {
        let (ident, public) = *self;
        let (time, seq) = (Micros::from(ident.kind), u64::from(public));
        EventKey { time, seq, id: ident.token.0 }
    }
}

/// The identifiers of a person, each once. One that comes or goes costs a search, however many
/// there are.
#[derive(Debug, Default)]
pub(super) struct Idents(SortedChunks<Owned>);

impl Idents {
    /// Memory that they take, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.0.bytes()
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Owned> {
        self.0.iter()
    }

    /// Takes in what came (+1) and went (-1), in any order; returns those that are no more and
    /// those that are new.
    pub(super) fn update(
        &mut self,
        moved: impl IntoIterator<Item = (Owned, i8)>,
    ) -> (Vec<Owned>, Vec<Owned>) {
        let mut net: BTreeMap<Owned, i64> = BTreeMap::new();
        for (ident, diff) in moved {
            *net.entry(ident).or_default() += i64::from(diff);
        }
        let (mut gone, mut come) = (Vec::new(), Vec::new());
        for (ident, diff) in net {
            if diff < 0 {
                gone.extend(self.0.remove(ident.key()));
            } else if diff > 0 && self.0.insert(ident).is_none() {
                come.push(ident);
            }
        }
        (gone, come)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::identity::testing::Seeded;
    use crate::model::Token;

    #[test]
    fn what_moved_is_told_and_all_are_there() {
        let mut random = Seeded(3);
        let (mut idents, mut set) = (Idents::default(), BTreeSet::new());
        for _ in 0..2_000 {
            let before: BTreeSet<Owned> = set.clone();
            let mut moved = Vec::new();
            for _ in 0..random.below(6) {
                let token = Token(u128::from(random.below(300)));
                let owned = (Ident { kind: random.below(2) as u8, token }, random.once_in(2));
                let diff = if set.remove(&owned) { -1 } else { 1 };
                set.extend((diff > 0).then_some(owned));
                moved.push((owned, diff));
            }
            let (gone, come) = idents.update(moved);
            assert!(gone.iter().eq(before.difference(&set)));
            assert!(come.iter().eq(set.difference(&before)));
            let mut all: Vec<Owned> = idents.iter().copied().collect();
            all.sort_unstable();
            assert!(all.iter().eq(&set) && idents.is_empty() == set.is_empty());
        }
        assert!(set.len() > 128 * 2, "several chunks");
    }
}
