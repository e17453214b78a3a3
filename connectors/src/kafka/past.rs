//! What earlier runs decided of records that are read again, where the records alone don't say it:
//! which of their schemas the registry did not have. It may have them now, and yet an epoch has the
//! same events again.

use std::collections::BTreeMap;

use super::listing::{Asked, Listing, PartitionId};
use super::{KafkaPart, Unregistered};

/// The recorded epochs of a source.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Past {
    /// Where the records of each partition end that were read before.
    ends: BTreeMap<PartitionId, u64>,
    /// What a registry was asked for when they were read.
    asked: BTreeMap<PartitionId, Vec<Span<Asked>>>,
    /// Schemas that were not there, each with the offsets where it was missed, and why its records
    /// could not be used.
    missing: BTreeMap<(PartitionId, u32), Vec<Span<String>>>,
}

/// Offsets from the first one to the one before the second, and what holds for them.
type Span<T> = (u64, u64, T);

/// Adds a span; one that goes on where the last one ends, with the same, makes it longer. So there
/// are as many as changes, and not as epochs.
fn add<T: PartialEq>(spans: &mut Vec<Span<T>>, (from, upto, it): Span<T>) {
    match spans.last_mut().filter(|last| last.1 == from && last.2 == it) {
        Some(last) => last.1 = upto,
        None => spans.push((from, upto, it)),
    }
}

/// The spans that an offset is in.
fn at<T>(spans: Option<&Vec<Span<T>>>, offset: u64) -> impl Iterator<Item = &T> {
    let spans = spans.into_iter().flatten();
    spans.filter(move |(from, upto, _)| (*from..*upto).contains(&offset)).map(|(_, _, it)| it)
}

/// What was decided of a record that has a schema.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Decided<'a> {
    /// Nothing: no earlier run has read it, or none that asked for such a schema.
    Open,
    /// The schema was there.
    There,
    /// It was not: why the record could not be used.
    Missing(&'a str),
}

impl Past {
    /// That of some epochs, in their order.
    pub(super) fn of(recorded: &[&KafkaPart]) -> Self {
        let mut past = Self::default();
        for part in recorded {
            past.ends.extend(Listing::begin(&[part]).next);
            for end in &part.ends {
                let from = past.ends.insert(end.partition, end.upper).unwrap_or_default();
                let spans = past.asked.entry(end.partition).or_default();
                add(spans, (from, end.upper, part.asked));
            }
            for Unregistered { partition, schema, from, upto, why } in &part.unregistered {
                let spans = past.missing.entry((*partition, *schema)).or_default();
                add(spans, (*from, *upto, why.clone()));
            }
        }
        past
    }

    /// What was decided of a record and its schema, that of its value or of its key.
    pub(super) fn decided(
        &self,
        (partition, offset): (PartitionId, u64),
        (asks, schema): (Asked, u32),
    ) -> Decided<'_> {
        if self.ends.get(&partition).is_none_or(|end| offset >= *end) {
            return Decided::Open;
        }
        if let Some(why) = at(self.missing.get(&(partition, schema)), offset).next() {
            return Decided::Missing(why);
        }
        let asked = at(self.asked.get(&partition), offset).any(|asked| asked.covers(asks));
        if asked { Decided::There } else { Decided::Open }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::PartitionEnd;

    #[test]
    fn what_was_decided_holds_for_what_was_read() {
        let [a, b] = [PartitionId::new(0, 0), PartitionId::new(0, 1)];
        let end = |partition, upper| PartitionEnd { partition, upper, records: 1, idle: false };
        let lacks = |partition, schema, from, upto| {
            let why = "none".to_owned();
            Unregistered { partition, schema, from, upto, why }
        };
        let first = KafkaPart {
            partitions: vec![(a, 5), (b, 2)],
            ends: vec![end(a, 8), end(b, 4)],
            asked: Asked::VALUES,
            unregistered: vec![lacks(a, 7, 6, 8)],
            ..KafkaPart::default()
        };
        // Keys are asked for, too, from here on.
        let asked = Asked { values: true, keys: true };
        let second = KafkaPart { ends: vec![end(a, 10)], asked, ..KafkaPart::default() };
        let third = KafkaPart {
            ends: vec![end(a, 12), end(b, 6)],
            asked,
            unregistered: vec![lacks(a, 7, 10, 11), lacks(b, 8, 4, 6)],
            ..KafkaPart::default()
        };
        let all = [&first, &second, &third];
        let missing = |past: &Past, partition, schema| -> Vec<u64> {
            let is_missing = |offset: &u64| {
                let decided = past.decided((partition, *offset), (Asked::VALUES, schema));
                decided == Decided::Missing("none")
            };
            (0..20).filter(is_missing).collect()
        };
        let past = Past::of(&all);
        assert_eq!(missing(&past, a, 7), [6, 7, 10]);
        assert_eq!(missing(&past, b, 8), [4, 5]);
        assert!(missing(&past, a, 8).is_empty() && missing(&past, b, 7).is_empty());
        let (values, keys) = ((Asked::VALUES, 7), (Asked::KEYS, 7));
        assert_eq!(past.decided((a, 8), values), Decided::There);
        assert_eq!(past.decided((a, 12), values), Decided::Open);
        assert_eq!(past.decided((PartitionId::new(1, 0), 0), values), Decided::Open);
        // What was not asked for may not have been there.
        assert_eq!(past.decided((a, 5), keys), Decided::Open);
        assert_eq!(past.decided((a, 8), keys), Decided::There);
        // Epochs that go on from each other are one span.
        let spans: Vec<_> = past.asked[&a].iter().map(|(from, upto, _)| (*from, *upto)).collect();
        assert_eq!(spans, [(5, 8), (8, 12)]);
        // What stands for the first epochs is not read again.
        let sum = KafkaPart::sum(&[&first, &second]);
        assert_eq!(missing(&Past::of(&[&sum, &third]), a, 7), [10]);
    }
}
