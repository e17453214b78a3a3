//! Whether output topics have what the claim says they have.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer as _;

use super::hanging::{asking, end_offsets};
use super::producer::{Ends, Fault};
use super::progress::Claim;
use super::{KafkaError, KafkaSinkSpec};

/// How often leaders that don't answer are asked.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A claim with where partitions end now.
pub(super) fn with_ends(
    spec: &KafkaSinkSpec,
    mut claim: Claim,
    ends: &Ends,
) -> Result<Claim, Fault> {
    for ((topic, partition), end) in ends {
        let known = claim.ends.get_mut(topic);
        if let Some(place) = known.and_then(|known| known.get_mut(*partition as usize)) {
            if *end < *place {
                return Err(Fault::Stop(lost(spec, (topic, *partition), (*place, *end))));
            }
            *place = *end;
        }
    }
    Ok(claim)
}

/// Checks that topics still have what the claim says they have: they may have been removed and
/// created again, or cut off by brokers that lost records.
pub(super) fn whole(spec: &KafkaSinkSpec, claim: &Claim) -> Result<(), KafkaError> {
    let mut known: BTreeMap<(String, i32), u64> = BTreeMap::new();
    for (topic, ends) in &claim.ends {
        for (partition, end) in (0..).zip(ends).filter(|(_, end)| **end > 0) {
            known.insert((topic.clone(), partition), *end);
        }
    }
    if known.is_empty() {
        return Ok(());
    }
    let client = asking(&spec.client, &spec.what(), "read_uncommitted")?;
    let partitions: Vec<(String, i32)> = known.keys().cloned().collect();
    let begun = Instant::now();
    let found = loop {
        let cause = match end_offsets(&client, &partitions) {
            Ok(found) if found.iter().all(Option::is_some) => break found,
            Ok(_) => "not all leaders of its topics answer".to_owned(),
            Err(error) => client.context().cause(&error),
        };
        if begun.elapsed() >= spec.patience {
            let (what, brokers) = (spec.what(), spec.client.brokers.clone());
            return Err(KafkaError::Unreachable { what, brokers, cause });
        }
        std::thread::sleep(LOOK_EVERY);
    };
    for (((topic, partition), said), found) in known.iter().zip(found) {
        if let Some(found) = found.filter(|found| found < said) {
            return Err(lost(spec, (topic, *partition), (*said, found)));
        }
    }
    Ok(())
}

/// The error for a partition that ends before what was written to it.
fn lost(
    spec: &KafkaSinkSpec,
    (topic, partition): (&str, i32),
    (said, found): (u64, u64),
) -> KafkaError {
    let detail = format!(
        "it was written up to offset {said} and ends at {found}, so rows are missing; remove all \
         topics of the prefix to have everything written anew, or use another prefix"
    );
    let (what, topic) = (spec.what(), topic.to_owned());
    KafkaError::Gone { what, topic, partition, detail, first: None }
}
