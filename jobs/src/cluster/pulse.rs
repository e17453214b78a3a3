//! Connections for records that show whether they are alive.
//!
//! Two processes may hear each other on their control connection while another one between them is
//! cut without a word: by a firewall that has forgotten it, by a proxy that swallows what it is
//! given. So each connection shows by itself that it is alive. What is written goes in frames, each
//! with its length before it; a frame of length 0 is a *beat*, which either side sends where it has
//! nothing else to send. Who waits for a frame and gets none for `silence` finds the connection
//! broken. Who is behind with its work does not wait, so it finds what has come meanwhile.

use std::io::{self, IoSlice, Read, Write};
use std::net::Shutdown;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use timely::communication::allocator::zero_copy::stream::Stream;

use super::wire::{Wire, timed_out};

/// Bytes of a frame at most: what timely writes at once, and more.
const FRAME_BYTES_MAX: usize = 1 << 20;
/// Bytes of the length before a frame.
const HEAD_BYTES: usize = 4;
/// Beats in the time that may pass without any.
const BEATS: u32 = 5;

/// A connection that shows whether it is alive. One clone reads and one writes, as timely does.
#[derive(Debug)]
pub(super) struct Pulsed {
    reader: Wire,
    /// Bytes of the frame that is being read.
    left: usize,
    silence: Duration,
    sending: Arc<Sending>,
}

/// The side that writes: what is sent, and beats where nothing is.
#[derive(Debug)]
struct Sending {
    writer: Mutex<Wire>,
    /// Whether anything was sent since the last beat was due.
    sent: AtomicBool,
}

impl Sending {
    fn writer(&self) -> MutexGuard<'_, Wire> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a frame; without bytes it is a beat.
    fn frame(&self, bytes: &[u8]) -> io::Result<()> {
        let head = (bytes.len() as u32).to_le_bytes();
        let mut writer = self.writer();
        self.sent.store(true, Ordering::Release);
        // In one go as far as the system takes it.
        let written = match writer.write_vectored(&[IoSlice::new(&head), IoSlice::new(bytes)]) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            other => other?,
        };
        if written < HEAD_BYTES {
            writer.write_all(&head[written..])?;
        }
        writer.write_all(&bytes[written.saturating_sub(HEAD_BYTES).min(bytes.len())..])
    }

    /// Sends beats until nobody holds the connection any more, or it has ended.
    fn beat(sending: &Weak<Self>, every: Duration) {
        loop {
            thread::sleep(every);
            let Some(sending) = sending.upgrade() else { return };
            if !sending.sent.swap(false, Ordering::AcqRel) && sending.frame(&[]).is_err() {
                return;
            }
            // The beat itself is no reason to leave out the next one.
            sending.sent.store(false, Ordering::Release);
        }
    }
}

impl Pulsed {
    /// From now on the connection carries frames, on both of its sides.
    pub(super) fn new(wire: Wire, silence: Duration) -> io::Result<Self> {
        wire.set_read_patience(Some(silence))?;
        let writer = Mutex::new(wire.try_clone()?);
        let sending = Arc::new(Sending { writer, sent: AtomicBool::new(false) });
        let (beating, every) = (Arc::downgrade(&sending), silence / BEATS);
        thread::Builder::new()
            .name("pulse".to_owned())
            .spawn(move || Sending::beat(&beating, every))?;
        Ok(Self { reader: wire, left: 0, silence, sending })
    }

    /// Reads some bytes; 0 at the end.
    fn some(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.reader.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if timed_out(&error) => {
                    let words = format!("nothing came for {} s", self.silence.as_secs_f64());
                    return Err(io::Error::new(io::ErrorKind::TimedOut, words));
                }
                other => return other,
            }
        }
    }
}

impl Read for Pulsed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        while self.left == 0 {
            let (mut head, mut have) = ([0; HEAD_BYTES], 0);
            while have < HEAD_BYTES {
                match self.some(&mut head[have..])? {
                    0 if have == 0 => return Ok(0),
                    0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                    read => have += read,
                }
            }
            self.left = u32::from_le_bytes(head) as usize;
        }
        let most = buffer.len().min(self.left);
        match self.some(&mut buffer[..most])? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            read => {
                self.left -= read;
                Ok(read)
            }
        }
    }
}

impl Write for Pulsed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let bytes = &bytes[..bytes.len().min(FRAME_BYTES_MAX)];
        if !bytes.is_empty() {
            self.sending.frame(bytes)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for Pulsed {
    fn try_clone(&self) -> io::Result<Self> {
        let (left, silence, sending) = (self.left, self.silence, Arc::clone(&self.sending));
        Ok(Self { reader: self.reader.try_clone()?, left, silence, sending })
    }

    fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.reader.set_nonblocking(nonblocking)
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        // Not in the middle of a beat.
        self.sending.writer().shutdown(how)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    const SHORT: Duration = Duration::from_millis(100);
    /// Longer than any test takes.
    const LONG: Duration = Duration::from_hours(1);

    fn pair(silence: Duration) -> (Pulsed, UnixStream) {
        let (near, far) = UnixStream::pair().unwrap();
        (Pulsed::new(Wire::Local(near), silence).unwrap(), far)
    }

    /// Frames of any size, with beats between them, are the bytes that were written.
    #[test]
    fn what_is_written_is_read() {
        let (mut near, far) = pair(LONG);
        let mut far = Pulsed::new(Wire::Local(far), LONG).unwrap();
        let sizes = [1, 3, 4, 5, 4096, FRAME_BYTES_MAX - 1, FRAME_BYTES_MAX, 3 * FRAME_BYTES_MAX];
        let bytes = |size: usize| (0..size).map(|n| (n * 7 + size) as u8).collect::<Vec<u8>>();
        let writing = thread::spawn(move || {
            for size in sizes {
                near.sending.frame(&[]).unwrap();
                near.write_all(&bytes(size)).unwrap();
            }
            near.shutdown(Shutdown::Write).unwrap();
        });
        for size in sizes {
            let mut read = vec![0; size];
            far.read_exact(&mut read).unwrap();
            assert!(read == bytes(size), "{size}");
        }
        assert_eq!(far.read(&mut [0]).unwrap(), 0, "the end, and beats before it");
        writing.join().unwrap();
    }

    #[test]
    fn where_nothing_is_written_there_are_beats() {
        let (mut near, mut far) = pair(SHORT);
        let mut beat = [7; HEAD_BYTES];
        for _ in 0..3 {
            far.read_exact(&mut beat).unwrap();
            assert_eq!(beat, [0; HEAD_BYTES]);
        }
        near.write_all(&[9]).unwrap();
        let mut frame = beat;
        while frame == [0; HEAD_BYTES] {
            far.read_exact(&mut frame).unwrap();
        }
        assert_eq!(frame, [1, 0, 0, 0], "a frame among beats");
    }

    #[test]
    fn a_connection_without_beats_is_broken() {
        let (mut near, mut far) = pair(SHORT);
        far.write_all(&[1, 0, 0, 0, 9]).unwrap();
        let mut read = [0];
        near.read_exact(&mut read).unwrap();
        assert_eq!(read, [9]);
        let error = near.read(&mut read).unwrap_err();
        assert_eq!(error.to_string(), "nothing came for 0.1 s");
        far.write_all(&[2, 0, 0, 0, 9]).unwrap();
        far.shutdown(Shutdown::Write).unwrap();
        near.read_exact(&mut read).unwrap();
        assert_eq!(near.read(&mut read).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
