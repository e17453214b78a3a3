//! A connection with another process, and messages on it.

use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use timely::communication::allocator::zero_copy::stream::Stream;

/// Bytes of a message at most: those that are sent before anything is known of the other side are
/// small, and so are those of control.
const MESSAGE_BYTES_MAX: u32 = 1 << 20;

/// A connection: the socket itself, or, with TLS, the near end of a pair whose far end is pumped
/// (`tls`).
#[derive(Debug)]
pub(super) enum Wire {
    Tcp(TcpStream),
    Local(UnixStream),
}

impl Wire {
    /// For how long a read waits; `None` for ever.
    pub(super) fn set_read_patience(&self, time: Option<Duration>) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.set_read_timeout(time),
            Self::Local(stream) => stream.set_read_timeout(time),
        }
    }

    /// For how long a read or a write waits; `None` for ever.
    pub(super) fn set_patience(&self, time: Option<Duration>) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => {
                stream.set_read_timeout(time).and_then(|()| stream.set_write_timeout(time))
            }
            Self::Local(stream) => {
                stream.set_read_timeout(time).and_then(|()| stream.set_write_timeout(time))
            }
        }
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Local(stream) => stream.read(buffer),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Local(stream) => stream.write(bytes),
        }
    }

    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write_vectored(parts),
            Self::Local(stream) => stream.write_vectored(parts),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for Wire {
    fn try_clone(&self) -> io::Result<Self> {
        match self {
            Self::Tcp(stream) => stream.try_clone().map(Self::Tcp),
            Self::Local(stream) => stream.try_clone().map(Self::Local),
        }
    }

    fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.set_nonblocking(nonblocking),
            Self::Local(stream) => stream.set_nonblocking(nonblocking),
        }
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.shutdown(how),
            Self::Local(stream) => stream.shutdown(how),
        }
    }
}

/// What went wrong with a message's form.
fn malformed(error: impl std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error.to_string())
}

/// Writes one message.
pub(super) fn send(writer: &mut impl Write, message: &impl Serialize) -> io::Result<()> {
    let bytes = bincode::serialize(message).map_err(malformed)?;
    let mut framed = Vec::with_capacity(bytes.len() + 4);
    framed.extend((bytes.len() as u32).to_le_bytes());
    framed.extend(bytes);
    writer.write_all(&framed)
}

/// Reads one message.
pub(super) fn receive<T: DeserializeOwned>(reader: &mut impl Read) -> io::Result<T> {
    let mut length = [0; 4];
    reader.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length);
    if length > MESSAGE_BYTES_MAX {
        return Err(malformed(format!("a message of {length} bytes")));
    }
    let mut bytes = vec![0; length as usize];
    reader.read_exact(&mut bytes)?;
    bincode::deserialize(&bytes).map_err(malformed)
}

/// Whether a read or a write has waited too long.
pub(super) fn timed_out(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// Whether nothing came yet: in time, or because of a signal.
pub(super) fn nothing_yet(error: &io::Error) -> bool {
    timed_out(error) || error.kind() == io::ErrorKind::Interrupted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_cross() {
        let mut bytes = Vec::new();
        send(&mut bytes, &(7u32, "seven")).unwrap();
        send(&mut bytes, &vec![1u64, 2]).unwrap();
        let mut reader = &bytes[..];
        assert_eq!(receive::<(u32, String)>(&mut reader).unwrap(), (7, "seven".to_owned()));
        assert_eq!(receive::<Vec<u64>>(&mut reader).unwrap(), [1, 2]);
        assert!(receive::<u8>(&mut reader).is_err());
    }

    /// Nothing that a stranger sends is more than an error.
    #[test]
    fn noise_is_an_error() {
        for noise in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[255; 64], &[8, 0, 0, 0, 255, 255], b""] {
            assert!(receive::<String>(&mut &noise[..]).is_err());
            assert!(receive::<Vec<(String, u64)>>(&mut &noise[..]).is_err());
        }
    }
}
