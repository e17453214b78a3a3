//! Frames of what must survive a crash: length, checksum, bytes. Recognises a torn end.

use std::io::{self, Read as _};

/// Bytes of a frame at most: what says more is damaged, and is not waited for in memory.
const BYTES_MAX: usize = 1 << 30;

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
    /// The last frame was not written whole.
    Torn,
    /// A frame is wrong, and there is something behind it.
    Damaged,
}

/// Reads the frame at `at`.
pub fn read(log: &[u8], at: usize) -> Read<'_> {
    let rest = &log[at..];
    if rest.is_empty() {
        return Read::End;
    }
    let word = |from: usize| {
        let bytes = rest.get(from..from + 4)?;
        Some(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    };
    let (Some(length), Some(sum)) = (word(0), word(4)) else { return Read::Torn };
    let end = 8 + length as usize;
    match rest.get(8..end) {
        None => Read::Torn,
        Some(bytes) if checksum(bytes) == sum => Read::Frame(bytes, at + end),
        // Blocks of one write may reach the disk in any order: the last frame may be torn inside.
        Some(_) if end == rest.len() => Read::Torn,
        Some(_) => Read::Damaged,
    }
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
