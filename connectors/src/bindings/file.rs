//! Bindings in a file, for one process.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use super::{Binding, BindingError, BindingLog, Logged};
use crate::durable;
use crate::frame::{Read, frame, read};

/// What stands at the beginning of the file: its name and the version of the layout.
const HEADER: &[u8; 8] = b"braidbl3";

/// An append-only file of bindings, locked while it is open.
#[derive(Debug)]
pub struct FileBindingLog {
    path: PathBuf,
    file: File,
    /// Its length.
    end: u64,
}

impl FileBindingLog {
    /// Opens the log, creating it if it is not there, and reads its bindings after `beginning`, or
    /// all. An end that was not written whole is cut off: its records never entered the graph.
    pub fn open(
        path: &Path,
        beginning: Option<&Logged>,
    ) -> Result<(Self, Vec<Logged>), BindingError> {
        let fail = failing(path);
        if let Some(folder) = path.parent() {
            durable::create_folder(folder).map_err(&fail)?;
        }
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let file = options.open(path).map_err(&fail)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(BindingError::Held { path: path.into() }),
            Err(TryLockError::Error(e)) => return Err(fail(e)),
        }
        let mut log = Self { path: path.into(), file, end: 0 };
        // What an earlier run was killed at may be read and not be on the disk yet: its records are
        // about to be used.
        log.file.sync_all().map_err(&fail)?;
        if let Some(beginning) = beginning
            && let Some(bindings) = log.read_after(beginning)?
        {
            return Ok((log, bindings));
        }
        let bindings = log.read()?;
        if log.end == 0 {
            log.file.write_all(HEADER).map_err(&fail)?;
            log.file.sync_all().map_err(&fail)?;
            durable::sync_folder(path).map_err(fail)?;
            log.end = HEADER.len() as u64;
        }
        Ok((log, bindings))
    }

    /// The bindings of a log that another process may be writing.
    pub fn peek(path: &Path) -> Result<Vec<Binding>, BindingError> {
        Ok(Self::peek_logged(path)?.into_iter().map(|logged| logged.binding).collect())
    }

    /// As [`FileBindingLog::peek`], and where each is.
    pub fn peek_logged(path: &Path) -> Result<Vec<Logged>, BindingError> {
        let bytes = std::fs::read(path).map_err(failing(path))?;
        Ok(parse(path, &bytes, 0)?.0)
    }

    fn bytes_from(&mut self, at: u64) -> std::io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.file.seek(SeekFrom::Start(at))?;
        self.file.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// `beginning` and what comes after it; `None` if it does not stand for the beginning of this
    /// log.
    fn read_after(&mut self, beginning: &Logged) -> Result<Option<Vec<Logged>>, BindingError> {
        let length = self.file.metadata().map_err(failing(&self.path))?.len();
        if beginning.at >= length {
            return Ok(None);
        }
        let bytes = self.bytes_from(beginning.at).map_err(failing(&self.path))?;
        // Where there is another log, there need not be a binding.
        let read = parse(&self.path, &bytes, beginning.at);
        let Some((mut bindings, whole)) = read.ok().filter(|_| beginning.at > 0) else {
            return Ok(None);
        };
        match bindings.first_mut().filter(|first| beginning.ends_with(first.at, &first.binding)) {
            Some(first) => first.clone_from(beginning),
            None => return Ok(None),
        }
        self.cut(whole)?;
        Ok(Some(bindings))
    }

    /// Cuts off what is behind the last binding.
    fn cut(&mut self, end: u64) -> Result<(), BindingError> {
        let cut = self.file.set_len(end).and_then(|()| self.file.seek(SeekFrom::End(0)));
        self.end = cut.map_err(failing(&self.path))?;
        Ok(())
    }
}

fn failing(path: &Path) -> impl Fn(std::io::Error) -> BindingError {
    |e| BindingError::Disk { path: path.into(), message: e.to_string() }
}

/// The bindings in a log's bytes from `from` on, and where they end.
fn parse(path: &Path, log: &[u8], from: u64) -> Result<(Vec<Logged>, u64), BindingError> {
    let damaged = |at: usize| BindingError::Damaged { path: path.into(), at: from + at as u64 };
    let mut at = 0;
    if from == 0 {
        if log.len() < HEADER.len() && HEADER.starts_with(log) {
            return Ok((Vec::new(), 0));
        }
        if !log.starts_with(HEADER) {
            let name = &HEADER[..HEADER.len() - 1];
            let other = || BindingError::Version { path: path.into() };
            return Err(if log.starts_with(name) { other() } else { damaged(0) });
        }
        at = HEADER.len();
    }
    let mut bindings = Vec::new();
    loop {
        match read(log, at) {
            Read::Frame(bytes, next) => {
                let binding = bincode::deserialize(bytes).map_err(|_| damaged(at))?;
                bindings.push(Logged { at: from + at as u64, binding });
                at = next;
            }
            Read::End | Read::Torn => return Ok((bindings, from + at as u64)),
            Read::Damaged => return Err(damaged(at)),
        }
    }
}

impl Drop for FileBindingLog {
    /// The lock goes when the log does, and not only when the last who has the file has closed it:
    /// a process that another thread is starting has it until it is another program.
    fn drop(&mut self) {
        // Closing the file does the same, at the latest.
        let _ = self.file.unlock();
    }
}

impl BindingLog for FileBindingLog {
    fn append_all(&mut self, bindings: &[Binding]) -> Result<Vec<u64>, BindingError> {
        let fail = |message: String| BindingError::Disk { path: self.path.clone(), message };
        let (mut framed, mut places) = (Vec::new(), Vec::new());
        for binding in bindings {
            let bytes = bincode::serialize(binding).map_err(|e| fail(e.to_string()))?;
            places.push(self.end + framed.len() as u64);
            framed.extend(frame(&bytes));
        }
        let written = self.file.write_all(&framed).and_then(|()| self.file.sync_data());
        written.map_err(|e| fail(e.to_string()))?;
        self.end += framed.len() as u64;
        Ok(places)
    }

    fn read(&mut self) -> Result<Vec<Logged>, BindingError> {
        let bytes = self.bytes_from(0).map_err(failing(&self.path))?;
        let (bindings, whole) = parse(&self.path, &bytes, 0)?;
        self.cut(whole)?;
        Ok(bindings)
    }
}

#[cfg(test)]
mod tests {
    use super::super::SourceEnd;
    use super::*;
    use crate::file::Position;

    fn binding(epoch: u64) -> Binding {
        let upper = Position { file: 0, record: epoch * 7 };
        let sources = vec![SourceEnd { upper, at_end: false }];
        Binding { sources, ..Binding::new(epoch, 1, 5, "job") }
    }

    /// A log of so many bindings in a folder, and where each is.
    fn log_of(count: u64) -> (tempfile::TempDir, PathBuf, Vec<u64>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bindings");
        let (mut log, _) = FileBindingLog::open(&path, None).unwrap();
        let places = (1..=count).map(|epoch| log.append(&binding(epoch)).unwrap()).collect();
        (folder, path, places)
    }

    fn bytes_of(count: u64) -> Vec<u8> {
        std::fs::read(log_of(count).1).unwrap()
    }

    fn open(path: &Path) -> Result<(FileBindingLog, Vec<Binding>), BindingError> {
        let (log, bindings) = FileBindingLog::open(path, None)?;
        Ok((log, bindings.into_iter().map(|logged| logged.binding).collect()))
    }

    /// Whatever a crash leaves of the file, what is read is what was written up to some append.
    #[test]
    fn every_prefix_reopens_to_a_prefix() {
        let bytes = bytes_of(4);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bindings");
        let mut seen = 0;
        for cut in 0..=bytes.len() {
            std::fs::write(&path, &bytes[..cut]).unwrap();
            let (mut log, bindings) = open(&path).unwrap();
            let expected: Vec<Binding> = (1..=bindings.len() as u64).map(binding).collect();
            assert_eq!(bindings, expected);
            assert!(bindings.len() >= seen);
            seen = bindings.len();
            // What is appended after a torn end is read again.
            log.append(&binding(99)).unwrap();
            drop(log);
            assert_eq!(open(&path).unwrap().1.last(), Some(&binding(99)));
        }
        assert_eq!(seen, 4);
    }

    /// Bindings that are added in one go stand as those that are added one after the other.
    #[test]
    fn several_at_once_are_as_one_by_one() {
        let (_folder, path, places) = log_of(5);
        let folder = tempfile::tempdir().unwrap();
        let (mut log, _) = FileBindingLog::open(&folder.path().join("bindings"), None).unwrap();
        let all: Vec<Binding> = (1..=5).map(binding).collect();
        let mut at_once = log.append_all(&all[..3]).unwrap();
        at_once.extend(log.append_all(&[]).unwrap());
        at_once.extend(log.append_all(&all[3..]).unwrap());
        assert_eq!(at_once, places);
        let bytes = std::fs::read(folder.path().join("bindings")).unwrap();
        assert_eq!(bytes, std::fs::read(path).unwrap());
    }

    /// From whichever binding on it is read: what stands for the beginning, and all that follows,
    /// also after a torn end.
    #[test]
    fn the_end_is_read_from_any_binding() {
        let (_folder, path, places) = log_of(6);
        let bytes = std::fs::read(&path).unwrap();
        let mut beginning = Logged { at: places[0], binding: binding(1) };
        for (at, first) in places.iter().zip(1..=6) {
            if first > 1 {
                beginning.extend(Logged { at: *at, binding: binding(first) });
            }
            std::fs::write(&path, [&bytes[..], &bytes[8..20]].concat()).unwrap();
            let (mut log, end) = FileBindingLog::open(&path, Some(&beginning)).unwrap();
            assert_eq!(end[0], beginning);
            let expected: Vec<Binding> = (first + 1..=6).map(binding).collect();
            let later = end[1..].iter().map(|logged| logged.binding.clone());
            assert_eq!(later.collect::<Vec<_>>(), expected);
            assert_eq!(
                end.iter().map(|logged| logged.at).collect::<Vec<_>>(),
                places[first as usize - 1..]
            );
            assert_eq!(log.read().unwrap().len(), 6, "all of it is there");
            let at = log.append(&binding(7)).unwrap();
            assert_eq!(at, bytes.len() as u64);
        }
    }

    /// What stands for the beginning of another log, or of a longer one, is no beginning of this.
    #[test]
    fn all_is_read_where_nothing_is_known_of_the_beginning() {
        let (_folder, path, places) = log_of(6);
        let end = std::fs::metadata(&path).unwrap().len();
        let wrong = [0, 1, 8, places[2] + 1, places[3], end, end + 1, u64::MAX >> 1];
        for at in wrong {
            let beginning = Logged { at, binding: binding(3) };
            let (_, bindings) = FileBindingLog::open(&path, Some(&beginning)).unwrap();
            assert_eq!(bindings.len(), 6, "from {at}");
        }
        let other = Binding { wall_time: 6, ..binding(3) };
        let beginning = Logged { at: places[2], binding: other };
        assert_eq!(FileBindingLog::open(&path, Some(&beginning)).unwrap().1.len(), 6);
    }

    /// A flipped bit is never taken for a binding: it is a torn end, or damage.
    #[test]
    fn flipped_bits_are_recognised() {
        let bytes = bytes_of(3);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bindings");
        for place in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[place] ^= 1;
            std::fs::write(&path, &flipped).unwrap();
            if let Ok((_, bindings)) = open(&path) {
                let expected: Vec<Binding> = (1..=bindings.len() as u64).map(binding).collect();
                assert!(bindings.len() < 3 && bindings == expected, "byte {place}");
            }
        }
    }

    /// A length that has become wrong hides the bindings behind it, which are not cut off.
    #[test]
    fn good_bindings_are_not_cut_off() {
        let (_folder, path, places) = log_of(4);
        let bytes = std::fs::read(&path).unwrap();
        for at in &places[..3] {
            let mut damaged = bytes.clone();
            damaged[*at as usize + 2] ^= 0x40;
            std::fs::write(&path, &damaged).unwrap();
            let error = open(&path).unwrap_err();
            assert!(matches!(error, BindingError::Damaged { at: found, .. } if found == *at));
            assert_eq!(std::fs::read(&path).unwrap(), damaged);
        }
    }

    #[test]
    fn a_log_of_another_version_is_named_so() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bindings");
        std::fs::write(&path, b"braidbl2 and more").unwrap();
        assert!(matches!(open(&path), Err(BindingError::Version { .. })));
        std::fs::write(&path, b"something else").unwrap();
        assert!(matches!(open(&path), Err(BindingError::Damaged { at: 0, .. })));
    }

    #[test]
    fn a_second_run_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bindings");
        let held = open(&path).unwrap();
        assert!(matches!(open(&path), Err(BindingError::Held { .. })));
        drop(held);
        assert!(open(&path).is_ok());
    }

    /// As a process that was begun while the log was open has the file a little longer.
    #[test]
    fn who_has_the_file_does_not_hold_the_log() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bindings");
        let (log, _) = FileBindingLog::open(&path, None).unwrap();
        let inherited = log.file.try_clone().unwrap();
        drop(log);
        assert!(open(&path).is_ok());
        drop(inherited);
    }
}
