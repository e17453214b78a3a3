//! What earlier runs decided of records that are read again, where the records alone don't say it:
//! which of their schemas the registry did not have. It may have them now, and yet an epoch has the
//! same events again.

use std::collections::BTreeMap;

use super::listing::{Listing, PartitionId};
use super::{KafkaPart, Unregistered};

/// The recorded epochs of a source.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Past {
    /// Where the records of each partition end that were read before.
    ends: BTreeMap<PartitionId, u64>,
    /// Schemas that were not there, each with the offsets where it was missed.
    missing: BTreeMap<(PartitionId, u32), Vec<(u64, u64, String)>>,
}

/// What was decided of a record that has a schema.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Decided<'a> {
    /// Nothing: no earlier run has read it.
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
                past.ends.insert(end.partition, end.upper);
            }
            for Unregistered { partition, schema, from, upto, why } in &part.unregistered {
                let spans = past.missing.entry((*partition, *schema)).or_default();
                spans.push((*from, *upto, why.clone()));
            }
        }
        past
    }

    /// What was decided of a record and its schema.
    pub(super) fn decided(&self, partition: PartitionId, offset: u64, schema: u32) -> Decided<'_> {
        if self.ends.get(&partition).is_none_or(|end| offset >= *end) {
            return Decided::Open;
        }
        let spans = self.missing.get(&(partition, schema));
        let mut spans = spans.into_iter().flatten();
        let span = spans.find(|(from, upto, _)| (*from..*upto).contains(&offset));
        span.map_or(Decided::There, |(_, _, why)| Decided::Missing(why))
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
            unregistered: vec![lacks(a, 7, 6, 8)],
            ..KafkaPart::default()
        };
        let second = KafkaPart { ends: vec![end(a, 10)], ..KafkaPart::default() };
        let third = KafkaPart {
            ends: vec![end(a, 12), end(b, 6)],
            unregistered: vec![lacks(a, 7, 10, 11), lacks(b, 8, 4, 6)],
            ..KafkaPart::default()
        };
        let all = [&first, &second, &third];
        let missing = |past: &Past, partition, schema| -> Vec<u64> {
            let is_missing =
                |offset: &u64| past.decided(partition, *offset, schema) == Decided::Missing("none");
            (0..20).filter(is_missing).collect()
        };
        let past = Past::of(&all);
        assert_eq!(missing(&past, a, 7), [6, 7, 10]);
        assert_eq!(missing(&past, b, 8), [4, 5]);
        assert!(missing(&past, a, 8).is_empty() && missing(&past, b, 7).is_empty());
        assert_eq!(past.decided(a, 8, 7), Decided::There);
        assert_eq!(past.decided(a, 12, 7), Decided::Open);
        assert_eq!(past.decided(PartitionId::new(1, 0), 0, 7), Decided::Open);
        // What stands for the first epochs is not read again.
        let sum = KafkaPart::sum(&[&first, &second]);
        assert_eq!(missing(&Past::of(&[&sum, &third]), a, 7), [10]);
    }
}
