//! How far a source is that nobody reads at the moment.

use std::time::Duration;

use rdkafka::Offset;

use super::control::Control;
use super::listing::{Listing, PartitionId};
use super::{KafkaError, KafkaPart, KafkaSpec, OpenTransaction, PartitionStatus};

/// Asks the brokers about the partitions of a source that has read these epochs. Those that it does
/// not know yet are listed as not begun.
///
/// # Errors
/// Brokers that don't answer, properties that can't be set.
pub fn look(spec: &KafkaSpec, recorded: &[&KafkaPart]) -> Result<Vec<PartitionStatus>, KafkaError> {
    let control = Control::open(spec)?;
    let (listing, next) = (Listing::begin(recorded), Listing::ends(recorded));
    let topics = control.topics().map_err(|error| control.unreachable(&error))?;
    let mut names: Vec<&str> = listing.topics.iter().map(|entry| &*entry.name).collect();
    for topic in &topics {
        if !names.contains(&&*topic.name) {
            names.push(&topic.name);
        }
    }
    let mut asked: Vec<(PartitionId, &str, i32)> = Vec::new();
    for (place, name) in names.iter().enumerate() {
        let leaders = topics.iter().find(|topic| topic.name == *name).map(|topic| &topic.leaders);
        for (number, leader) in (0..).zip(leaders.into_iter().flatten()) {
            asked.push((PartitionId::new(place, number), name, *leader));
        }
    }
    let (low, _) = control.offsets(&asked, Offset::Beginning);
    let (end, _) = control.offsets(&asked, Offset::End);
    let stable = control.stable(&asked)?;
    let status = |(partition, topic, _): &(PartitionId, &str, i32)| {
        let (low, end) = (low.get(partition).copied(), end.get(partition).copied());
        let first = listing.next.get(partition).copied().or(low).unwrap_or(0);
        let next = next.get(partition).copied().unwrap_or(first);
        let (topic, number) = ((*topic).to_owned(), partition.number());
        let stable = stable.get(partition).copied().filter(|stable| Some(*stable) < end);
        PartitionStatus {
            id: *partition,
            topic: topic.clone(),
            partition: number,
            next,
            end,
            reachable: end.is_some(),
            idle: end.is_some_and(|end| next >= end),
            bytes_queued: 0,
            first,
            low,
            // Since when is not known.
            open: stable.map(|offset| OpenTransaction {
                topic,
                partition: number,
                offset,
                open: Duration::ZERO,
            }),
        }
    };
    Ok(asked.iter().map(status).collect())
}
