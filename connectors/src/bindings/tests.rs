//! What stands for the beginning of a log says what its bindings say.

use super::*;
use crate::kafka::{PartitionEnd, PartitionId, TopicEntry};

/// A random number generator of a few lines.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) % end
    }
}

/// Bindings of a source of files and of two of topics, to which partitions come now and then.
fn bindings(random: &mut Random, count: u64) -> Vec<Binding> {
    let mut offsets = [Vec::<u64>::new(), Vec::new()];
    let mut files = 0;
    let mut all = Vec::new();
    for epoch in 1..=count {
        let job = format!("job {}", epoch / 7);
        let mut binding = Binding::new(epoch, 1 + epoch / 10, epoch as i64, &job);
        let upper = Position { file: files, record: epoch };
        binding.sources.push(SourceEnd { upper, at_end: random.below(2) == 0 });
        binding.digests.push(random.below(u64::MAX >> 33));
        for (source, offsets) in (1..).zip(&mut offsets) {
            let mut part = KafkaPart::default();
            if random.below(4) == 0 {
                let partition = PartitionId::new(0, offsets.len() as u32);
                if offsets.is_empty() {
                    part.topics.push(TopicEntry { name: "t".to_owned(), id: None });
                }
                offsets.push(random.below(100));
                part.partitions.push((partition, offsets[offsets.len() - 1]));
            }
            for (number, offset) in offsets.iter_mut().enumerate() {
                if random.below(3) == 0 {
                    let records = random.below(9);
                    *offset += records;
                    let partition = PartitionId::new(0, number as u32);
                    let idle = random.below(2) == 0;
                    part.ends.push(PartitionEnd { partition, upper: *offset, records, idle });
                }
            }
            if part != KafkaPart::default() {
                binding.kafka.push((source, part));
            }
        }
        if random.below(5) == 0 {
            files += 1;
        }
        all.push(binding);
    }
    all
}

/// What a source of topics goes on from after some bindings.
fn of_topics(bindings: &[Binding], source: u16) -> KafkaPart {
    let parts = bindings.iter().flat_map(|binding| &binding.kafka);
    let parts: Vec<_> = parts.filter(|(of, _)| *of == source).map(|(_, part)| part).collect();
    KafkaPart::sum(&parts)
}

#[test]
fn a_sum_says_what_its_bindings_say() {
    for seed in 0..50 {
        let all = bindings(&mut Random(seed), 40);
        let mut sum = all[0].clone();
        for upto in 1..=all.len() {
            if upto > 1 {
                sum.extend(all[upto - 1].clone());
            }
            let last = &all[upto - 1];
            assert_eq!((sum.epoch, &sum.sources, &sum.job), (last.epoch, &last.sources, &last.job));
            // Whether the end is read after it or all: sources go on from the same.
            for end in [upto, (upto + 7).min(all.len()), all.len()] {
                let short = [&[sum.clone()], &all[upto..end]].concat();
                for source in [1, 2] {
                    assert_eq!(of_topics(&short, source), of_topics(&all[..end], source));
                }
            }
        }
    }
}

#[test]
fn the_first_epoch_after_an_offset_needs_nothing_before_it() {
    let (mut found, mut missing) = (0, 0);
    for seed in 0..30 {
        let bindings = bindings(&mut Random(seed), 30);
        for (number, offset) in (0..3).flat_map(|number| (0..160).map(move |o| (number, o))) {
            let upper = |source: u16, below: Epoch| {
                let parts = bindings.iter().filter(|b| b.epoch < below).flat_map(|b| &b.kafka);
                let ends = parts.filter(|(of, _)| *of == source).flat_map(|(_, part)| &part.ends);
                ends.filter(|end| end.partition.number() == number).map(|end| end.upper).max()
            };
            let readers: Vec<u16> =
                (1..=2).filter(|source| upper(*source, Epoch::MAX).is_some()).collect();
            let after = |from: &Epoch| readers.iter().all(|s| upper(*s, *from) >= Some(offset));
            let expected = (1..=31).find(after).filter(|_| !readers.is_empty());
            let first = first_after(&bindings, ("t", number), offset);
            assert_eq!(first, expected, "seed {seed}, partition {number}, offset {offset}");
            assert_eq!(first_after(&bindings, ("u", number), offset), None);
            *if first.is_some() { &mut found } else { &mut missing } += 1;
        }
    }
    assert!(found > 1000 && missing > 100, "{found} {missing}");
}
