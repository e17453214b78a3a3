//! Frames of what must survive a crash: length, checksum, bytes. Recognises a torn end.

use std::io::{self, Read as _};

/// Bytes of a frame at most: what says more is damaged, and is not waited for in memory.
const BYTES_MAX: usize = 1 << 30;

/// Frames of at most so many bytes are looked for at every place behind one that is not whole, and
/// larger ones as long as no more than so many bytes are summed up for them: what was torn may be
/// large, and much in it may look like the head of a large frame.
const SMALL: usize = 4096;
const SUMMED_MAX: usize = 2 << 30;

/// One frame around some bytes.
pub fn frame(bytes: &[u8]) -> Vec<u8> {
    let mut framed = Vec::with_capacity(bytes.len() + 8);
    framed.extend((bytes.len() as u32).to_le_bytes());
    framed.extend(checksum(bytes).to_le_bytes());
    framed.extend(bytes);
    framed
}

/// The length counts too: a wrong one must not pass for another frame.
fn checksum(bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&(bytes.len() as u32).to_le_bytes());
    hasher.update(bytes);
    hasher.finalize()
}

/// What a log holds.
#[derive(PartialEq, Eq, Debug)]
pub enum Read<'a> {
    /// A frame's bytes, and where the next one begins.
    Frame(&'a [u8], usize),
    /// Nothing more.
    End,
    /// The last frame was not written whole: there is nothing whole behind it.
    Torn,
    /// A frame is wrong, and there is something behind it.
    Damaged,
}

/// Reads the frame at `at`. What is torn has nothing whole behind it: a wrong length hides frames
/// that are good.
pub fn read(log: &[u8], at: usize) -> Read<'_> {
    if at == log.len() {
        return Read::End;
    }
    if let Some((bytes, next)) = whole(log, at) {
        return Read::Frame(bytes, next);
    }
    // Blocks of one write may reach the disk in any order: the last frame may be torn inside, and
    // where the block with its head is not there are zeros, which no frame begins with.
    let lacks_head = log[at..].iter().take(8).all(|&byte| byte == 0);
    let is_last = lacks_head || end(log, at).is_none_or(|end| end >= log.len());
    if is_last && !holds_whole(log, at + 1, SUMMED_MAX) { Read::Torn } else { Read::Damaged }
}

/// Whether a whole frame stands somewhere from a place on. `left` is how many bytes are summed up
/// for large ones.
fn holds_whole(log: &[u8], from: usize, mut left: usize) -> bool {
    (from..log.len()).any(|at| {
        let Some(length) = word(log, at).map(|length| length as usize) else { return false };
        if length > SMALL && length <= log.len() - at {
            let enough = left >= length;
            left -= length.min(left);
            return enough && whole(log, at).is_some();
        }
        whole(log, at).is_some()
    })
}

/// The number at a place.
fn word(log: &[u8], at: usize) -> Option<u32> {
    let bytes = log.get(at..at + 4)?;
    Some(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
}

/// Where the frame at `at` ends, if it is as long as it says; `None` if its head is not whole.
fn end(log: &[u8], at: usize) -> Option<usize> {
    word(log, at + 4)?;
    Some(at + 8 + word(log, at)? as usize)
}

/// The bytes of the frame at `at`, if it is whole, and where the next one begins.
fn whole(log: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let end = end(log, at)?;
    let bytes = log.get(at + 8..end)?;
    (word(log, at + 4)? == checksum(bytes)).then_some((bytes, end))
}

/// Reads the next frame of a file that was written whole; `None` at its end.
///
/// # Errors
///
/// [`io::ErrorKind::InvalidData`] where no frame stands, or half of one.
pub fn next(input: &mut impl io::Read) -> io::Result<Option<Vec<u8>>> {
    let mut head = Vec::with_capacity(8);
    input.by_ref().take(8).read_to_end(&mut head)?;
    let damaged = || io::Error::new(io::ErrorKind::InvalidData, "a frame is damaged");
    let (length, sum) = match head[..] {
        [] => return Ok(None),
        [a, b, c, d, e, f, g, h] => {
            (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]))
        }
        _ => return Err(damaged()),
    };
    let length = length as usize;
    if length > BYTES_MAX {
        return Err(damaged());
    }
    let mut bytes = Vec::with_capacity(length);
    input.by_ref().take(length as u64).read_to_end(&mut bytes)?;
    let whole = bytes.len() == length && checksum(&bytes) == sum;
    whole.then_some(Some(bytes)).ok_or_else(damaged)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What looks like large frames again and again does not take its square of time.
    #[test]
    fn large_frames_are_looked_for_within_bounds() {
        let large = frame(&[7; SMALL + 1]);
        let looks = (SMALL as u32 + 9).to_le_bytes().repeat(3_000);
        let log = [&looks[..], &large].concat();
        assert!(holds_whole(&log, 0, SUMMED_MAX));
        assert!(!holds_whole(&log, 0, 2_000 * SMALL));
        assert!(holds_whole(&[&log[..], &frame(&[7; SMALL])].concat(), 0, 0));
    }

    /// What a power cut leaves of an append: the file is longer, and its blocks are not all there.
    #[test]
    fn an_end_without_its_head_is_torn() {
        let log = [frame(b"the first"), frame(&[7; 300])].concat();
        let last = frame(b"the first").len();
        for zeros in [1, 7, 8, 9, 4096] {
            let longer = [&log[..], &vec![0; zeros]].concat();
            assert_eq!(read(&longer, log.len()), Read::Torn, "{zeros}");
        }
        let mut headless = log.clone();
        headless[last..last + 100].fill(0);
        assert_eq!(read(&headless, last), Read::Torn);
        let behind = [headless, frame(b"whole")].concat();
        assert_eq!(read(&behind, last), Read::Damaged);
        assert!(checksum(b"") != 0, "no frame is all zeros");
    }

    /// The end of a log is torn, wherever it is cut; a wrong length in its middle is damage.
    #[test]
    fn a_wrong_length_before_a_whole_frame_is_no_torn_end() {
        let frames = [frame(b"the first"), frame(b""), frame(&[0; 300]), frame(b"the last")];
        let log = frames.concat();
        let starts: Vec<usize> =
            (0..4).map(|n| frames[..n].iter().map(Vec::len).sum::<usize>()).collect();
        for (number, start) in starts.iter().enumerate() {
            let end = start + frames[number].len();
            assert_eq!(read(&log, *start), Read::Frame(&frames[number][8..], end));
            for cut in *start..end {
                let expected = if cut == *start { Read::End } else { Read::Torn };
                assert_eq!(read(&log[..cut], *start), expected, "cut at {cut}");
            }
            let exactly = (log.len() - start - 8) as u32;
            for length in [1, exactly - 1, exactly, exactly + 1, u32::MAX] {
                let mut wrong = log.clone();
                wrong[*start..start + 4].copy_from_slice(&length.to_le_bytes());
                if wrong == log {
                    continue;
                }
                let last = number == 3 && length >= exactly;
                let expected = if last { Read::Torn } else { Read::Damaged };
                assert_eq!(read(&wrong, *start), expected, "frame {number} of {length}");
            }
        }
    }
}
