//! Reading the records of an epoch from several sources.

use connectors::file::RawBatch;
use replay::history::Source;

use super::RunError;

/// Records handed to a worker at once: enough to outweigh the hand-over.
pub(super) const BATCH_RECORDS: usize = 4096;

/// Reads records of one epoch until no source has any. Those before an error count: they are good,
/// and what is bound is not lost.
///
/// Of sources with an end the one is read of whose new records the least is behind: what they
/// export is most often of the same time, and a person's events then come more or less in their
/// order, which costs less than to correct what was computed of half of them. Others have their
/// turn as they come. So do those of which all seems to be behind: the watermark waits for each
/// until it is known to be at its end.
pub(super) fn gather(sources: &mut [Source], size: usize) -> (Vec<RawBatch>, Option<RunError>) {
    let (mut batches, mut left) = (Vec::new(), size);
    let share = (size / sources.len().max(1)).clamp(1, BATCH_RECORDS);
    let open = sources.iter().filter(|source| !source.at_end());
    let largest = open.map(Source::bytes_new).max().unwrap_or(0);
    let mut ended = vec![false; sources.len()];
    while left > 0 && ended.contains(&false) {
        let least = least_done(sources, &ended);
        for (place, source) in sources.iter_mut().enumerate() {
            let bounded = source.is_bounded();
            let waits = bounded && least != Some(place) && source.done() < 1.0;
            if left == 0 || ended[place] || waits {
                continue;
            }
            let part = if bounded { part(source.bytes_new(), largest, share) } else { share };
            match source.next(part.min(left)) {
                Ok(Some(batch)) => {
                    left -= batch.len();
                    batches.push(batch);
                }
                Ok(None) => ended[place] = true,
                Err(error) => return (batches, Some(error.into())),
            }
        }
    }
    (batches, None)
}

/// Of the sources with an end that are not there, the one of which the least is behind.
fn least_done(sources: &[Source], ended: &[bool]) -> Option<usize> {
    let places = (0..sources.len()).filter(|&at| sources[at].is_bounded() && !ended[at]);
    places.min_by(|&a, &b| sources[a].done().total_cmp(&sources[b].done()))
}

/// Records that a source is read by at once, so that all of them go on by about as much of what
/// they have that is new: of the largest it is `share`.
fn part(bytes: u64, largest: u64, share: usize) -> usize {
    let part = share as u128 * u128::from(bytes) / u128::from(largest.max(1));
    (part as usize).clamp((share / 16).max(1), share.max(1))
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;
    use std::fs;
    use std::path::Path;

    use connectors::file::{Compression, FileSpec};
    use replay::history::SourceSpec;

    use super::*;

    /// A source of one file with so many lines.
    fn source(folder: &Path, source: u16, lines: usize, compression: Compression) -> Source {
        let mut text = String::new();
        for line in 0..lines {
            writeln!(text, "{{\"messageId\":\"m{line:06}\"}}").unwrap();
        }
        let mut bytes = text.into_bytes();
        if compression == Compression::Zstd {
            bytes = zstd::encode_all(bytes.as_slice(), 1).unwrap();
        }
        let packed = if compression == Compression::Zstd { ".zst" } else { "" };
        let name = format!("{source}.ndjson{packed}");
        fs::write(folder.join(&name), bytes).unwrap();
        let spec = FileSpec::new(&format!("s{source}"), source, folder, &[&name]);
        Source::open(&SourceSpec::Files(spec), &[], 0).unwrap()
    }

    /// Of sources of any size about as much is behind at any time, and nothing is left out.
    #[test]
    fn sources_come_to_their_ends_together() {
        let folder = tempfile::tempdir().unwrap();
        let sizes = [100_000, 20, 3_000, 40_000];
        let mut sources: Vec<Source> = (0..)
            .zip(sizes)
            .map(|(place, lines)| {
                let packed = if place == 3 { Compression::Zstd } else { Compression::Plain };
                source(folder.path(), place, lines, packed)
            })
            .collect();
        let mut read = [0; 4];
        loop {
            let (batches, failed) = gather(&mut sources, 7_000);
            assert!(failed.is_none());
            if batches.is_empty() {
                break;
            }
            for batch in &batches {
                read[usize::from(batch.source)] += batch.len();
            }
            let [large, small] = [0, 2].map(|at: usize| read[at] as f64 / sizes[at] as f64);
            // A small source goes on by a sixteenth of what a large one does, or by more.
            assert!((large - small).abs() < 0.1, "{large} {small}");
        }
        assert_eq!(read, sizes);
        assert!(sources.iter().all(Source::at_end));
    }

    /// A source that has nothing, or nothing more, is known to be at its end while others go on:
    /// until then it would hold back the watermark.
    #[test]
    fn a_source_without_more_is_at_its_end_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let mut sources: Vec<Source> = (0..)
            .zip([100_000, 20, 0, 3])
            .map(|(place, lines)| source(folder.path(), place, lines, Compression::Plain))
            .collect();
        let mut read = 0;
        for _ in 0..2 {
            read += gather(&mut sources, 7_000).0.iter().map(RawBatch::len).sum::<usize>();
        }
        assert_eq!(read, 14_000);
        let ends: Vec<bool> = sources.iter().map(Source::at_end).collect();
        assert_eq!(ends, [false, true, true, true]);
    }
}
