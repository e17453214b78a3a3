//! What two processes say to each other before anything else, and what may differ.
//!
//! The one that connects sends a preamble and a [`Hello`]; the other answers with its own preamble
//! and an [`Answer`]. The preamble has the same form in every version of braid, so that two
//! versions can at least say that they are two.

use std::io::{self, Read, Write};

use operators::shard::place;
use serde::{Deserialize, Serialize};

/// What every preamble begins with.
const MAGIC: &[u8; 7] = b"braidcl";
/// Goes up when what follows the preamble changes.
const PROTOCOL: u8 = 2;
/// The version of this braid.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What a connection is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) enum Kind {
    /// Heartbeats, and what processes tell each other.
    Control,
    /// Between the workers.
    Data,
    /// Records from process 0, and what comes of them to it.
    Link,
}

/// One life of the cluster.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Session {
    /// Which run of the job it is.
    pub generation: u64,
    /// Tells it from another one that had the same number and bound nothing.
    pub(super) mark: u64,
}

/// Who connects, to whom, and what both must have in common.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Hello {
    pub kind: Kind,
    pub from: u32,
    pub to: u32,
    /// Hash of the job.
    pub job: String,
    pub processes: u32,
    /// Worker threads of each process.
    pub workers: u32,
    /// Where a fixed value is placed: differs where builds place data differently.
    pub placement: u64,
    /// None before process 0 has said it.
    pub session: Option<Session>,
}

/// What the one that was called says.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Answer {
    /// Its own words.
    pub hello: Hello,
    pub verdict: Verdict,
}

/// Whether two processes go together.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) enum Verdict {
    /// They do.
    Welcome,
    /// They differ in something that both must have in common.
    Differs,
    /// Another process has this place, and is alive.
    Taken,
    /// It doesn't know the session yet.
    Wait,
    /// It is in another session.
    Stale,
}

/// Where a fixed value is placed.
pub(super) fn placement() -> u64 {
    place(&("braid", 7_u64, 11_u128))
}

impl Hello {
    /// What differs from `theirs` that must not, and what to do about it.
    pub(super) fn differences(&self, theirs: &Self) -> Vec<String> {
        let mut found = Vec::new();
        if self.processes != theirs.processes {
            let (here, there) = (self.processes, theirs.processes);
            found.push(format!("-n is {here} here and {there} there; give both the same"));
        }
        if self.workers != theirs.workers {
            let (here, there) = (self.workers, theirs.workers);
            found.push(format!("-w is {here} here and {there} there; give both the same"));
        }
        if self.job != theirs.job {
            let (here, there) = (short(&self.job), short(&theirs.job));
            found.push(format!(
                "the job file (or its erased list) is another one, {here} here and {there} there; \
                 copy one to both machines"
            ));
        }
        if self.placement != theirs.placement {
            found.push("it is another build of braid; run the same on both machines".to_owned());
        }
        if found.is_empty() && (self.from != theirs.to || self.to != theirs.from) {
            found.push(format!(
                "it takes this process for {} and itself for {}, where {} and {} were meant; the \
                 lines of all hostfiles must have the same order, and -p must be the line's number",
                theirs.to, theirs.from, self.from, self.to
            ));
        }
        found
    }
}

fn short(hash: &str) -> &str {
    hash.get(..8).unwrap_or(hash)
}

/// Sends the preamble.
pub(super) fn send_preamble(writer: &mut impl Write) -> io::Result<()> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend([PROTOCOL, VERSION.len() as u8]);
    bytes.extend(VERSION.as_bytes());
    writer.write_all(&bytes)
}

/// Reads the other's preamble: what is wrong with it, if anything.
pub(super) fn read_preamble(reader: &mut impl Read) -> io::Result<Result<(), String>> {
    let mut first = [0; 9];
    // The first two bytes by themselves: something else may send no more.
    reader.read_exact(&mut first[..2])?;
    if first[1] == 3 && [0x15, 0x16].contains(&first[0]) {
        let words = "it speaks TLS and this process does not; give both [cluster.tls], or neither";
        return Ok(Err(words.to_owned()));
    }
    if first[..2] != MAGIC[..2] {
        return Ok(Err("it is not braid".to_owned()));
    }
    reader.read_exact(&mut first[2..])?;
    if first[..7] != MAGIC[..] {
        return Ok(Err("it is not braid".to_owned()));
    }
    let mut version = vec![0; usize::from(first[8])];
    reader.read_exact(&mut version)?;
    if first[7] != PROTOCOL || version != VERSION.as_bytes() {
        let theirs = String::from_utf8_lossy(&version);
        return Ok(Err(format!(
            "it is braid {theirs}, this process {VERSION}; run the same version on all machines"
        )));
    }
    Ok(Ok(()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello() -> Hello {
        Hello {
            kind: Kind::Control,
            from: 1,
            to: 0,
            job: "0123456789".to_owned(),
            processes: 3,
            workers: 2,
            placement: placement(),
            session: None,
        }
    }

    #[test]
    fn each_difference_is_named() {
        let theirs = || Hello { from: 0, to: 1, ..hello() };
        assert_eq!(hello().differences(&theirs()), [""; 0]);
        for (other, word) in [
            (Hello { processes: 2, ..theirs() }, "-n is 3 here and 2 there"),
            (Hello { workers: 1, ..theirs() }, "-w is 2 here and 1 there"),
            (Hello { job: "x".to_owned(), ..theirs() }, "01234567 here and x there"),
            (Hello { placement: 0, ..theirs() }, "another build"),
            (Hello { from: 2, ..theirs() }, "same order"),
        ] {
            let found = hello().differences(&other);
            assert!(found.len() == 1 && found[0].contains(word), "{found:?}");
        }
    }

    #[test]
    fn a_preamble_is_read_or_refused() {
        let mut bytes = Vec::new();
        send_preamble(&mut bytes).unwrap();
        assert_eq!(read_preamble(&mut &bytes[..]).unwrap(), Ok(()));
        bytes[9] ^= 1;
        assert!(read_preamble(&mut &bytes[..]).unwrap().unwrap_err().contains("same version"));
        let other = read_preamble(&mut &b"GET / HTTP/1.1"[..]).unwrap();
        assert_eq!(other, Err("it is not braid".to_owned()));
        let tls = read_preamble(&mut &[0x16, 3, 1, 0][..]).unwrap();
        assert!(tls.unwrap_err().contains("TLS"));
        assert!(read_preamble(&mut &bytes[..5]).is_err());
    }
}
