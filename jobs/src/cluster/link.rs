//! Records from process 0 to the workers of another process, and what comes of them back to it.
//!
//! On both sides a thread stands for the other process: the supervisor's inboxes and the sink's
//! channel don't know that a worker is elsewhere. Each worker's words arrive in the order in which
//! it said them, so whatever it hands out of an epoch is there before its word that the epoch is
//! closed.

use std::io::{self, BufReader, BufWriter, Write as _};
use std::net::Shutdown;

use crossbeam_channel::{Receiver, TryRecvError};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use timely::communication::allocator::zero_copy::stream::Stream;

/// Bytes that are written at once.
const BUFFER_BYTES: usize = 256 << 10;

/// One message, or the end of all: a connection that ends without it is broken.
#[derive(Serialize, Deserialize)]
enum Item<T> {
    One(T),
    End,
}

/// Sends everything that comes, until all senders have hung up.
pub(super) fn forward<T: Serialize>(wire: impl Stream, messages: &Receiver<T>) -> io::Result<()> {
    let mut writer = BufWriter::with_capacity(BUFFER_BYTES, wire);
    loop {
        let next = match messages.try_recv() {
            Err(TryRecvError::Empty) => {
                writer.flush()?;
                messages.recv().ok()
            }
            other => other.ok(),
        };
        let item = next.map_or(Item::End, Item::One);
        bincode::serialize_into(&mut writer, &item).map_err(io::Error::other)?;
        if matches!(item, Item::End) {
            writer.flush()?;
            return writer.get_ref().shutdown(Shutdown::Write);
        }
    }
}

/// Hands on everything that is sent, until its end.
pub(super) fn hand_on<T: DeserializeOwned>(
    wire: impl Stream,
    mut to: impl FnMut(T),
) -> io::Result<()> {
    let mut reader = BufReader::with_capacity(BUFFER_BYTES, wire);
    loop {
        match bincode::deserialize_from(&mut reader).map_err(io::Error::other)? {
            Item::One(message) => to(message),
            Item::End => return Ok(()),
        }
    }
}

/// Messages for the workers of one process: the worker's place in it, and the message.
pub(crate) type Addressed<T> = (u32, T);

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;
    use std::thread;

    use crossbeam_channel::unbounded;

    use super::super::wire::Wire;
    use super::*;

    #[test]
    fn all_arrives_in_order_and_then_the_end() {
        let (near, far) = UnixStream::pair().unwrap();
        let (sender, receiver) = unbounded();
        let sending = thread::spawn(move || forward(Wire::Local(near), &receiver).unwrap());
        (0..10_000_u64).for_each(|n| sender.send(n).unwrap());
        drop(sender);
        let mut seen = Vec::new();
        hand_on(Wire::Local(far), |n: u64| seen.push(n)).unwrap();
        sending.join().unwrap();
        assert_eq!(seen, (0..10_000).collect::<Vec<u64>>());
    }

    #[test]
    fn an_end_that_nobody_said_is_an_error() {
        let (near, far) = UnixStream::pair().unwrap();
        let mut bytes = bincode::serialize(&Item::One(7_u64)).unwrap();
        bytes.push(0);
        io::Write::write_all(&mut { near }, &bytes).unwrap();
        let mut seen = Vec::new();
        hand_on(Wire::Local(far), |n: u64| seen.push(n)).unwrap_err();
        assert_eq!(seen, [7]);
    }
}
