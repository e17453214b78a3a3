//! Frames of a log: length, checksum, bytes. Recognises a torn end.

/// What stands at the beginning of a log: its name and the version of the layout.
pub(super) const HEADER: &[u8; 8] = b"braidbl2";

/// One frame around some bytes.
pub(super) fn frame(bytes: &[u8]) -> Vec<u8> {
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
pub(super) enum Read<'a> {
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
pub(super) fn read(log: &[u8], at: usize) -> Read<'_> {
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
