//! Bindings in a file, for one process.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use super::{Binding, BindingError, BindingLog};
use crate::durable;
use crate::frame::{Read, frame, read};

/// What stands at the beginning of the file: its name and the version of the layout.
const HEADER: &[u8; 8] = b"braidbl2";

/// An append-only file of bindings, locked while it is open.
#[derive(Debug)]
pub struct FileBindingLog {
    path: PathBuf,
    file: File,
}

impl FileBindingLog {
    /// Opens the log, creating it if it is not there, and reads its bindings. An end that was not
    /// written whole is cut off: its records never entered the graph.
    pub fn open(path: &Path) -> Result<(Self, Vec<Binding>), BindingError> {
        let fail =
            |e: std::io::Error| BindingError::Disk { path: path.into(), message: e.to_string() };
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(fail)?;
        }
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(fail)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(BindingError::Held { path: path.into() }),
            Err(TryLockError::Error(e)) => return Err(fail(e)),
        }
        let mut log = Vec::new();
        file.read_to_end(&mut log).map_err(fail)?;
        let (bindings, whole) = parse(path, &log)?;
        file.set_len(whole as u64).map_err(fail)?;
        file.seek(SeekFrom::End(0)).map_err(fail)?;
        if whole == 0 {
            file.write_all(HEADER).map_err(fail)?;
            file.sync_all().map_err(fail)?;
            durable::sync_folder(path).map_err(fail)?;
        }
        Ok((Self { path: path.into(), file }, bindings))
    }
}

impl FileBindingLog {
    /// The bindings of a log that another process may be writing.
    pub fn peek(path: &Path) -> Result<Vec<Binding>, BindingError> {
        let log = std::fs::read(path)
            .map_err(|e| BindingError::Disk { path: path.into(), message: e.to_string() })?;
        Ok(parse(path, &log)?.0)
    }
}

/// The bindings in a log's bytes, and how many bytes they take.
fn parse(path: &Path, log: &[u8]) -> Result<(Vec<Binding>, usize), BindingError> {
    let damaged = |at: usize| BindingError::Damaged { path: path.into(), at: at as u64 };
    if log.len() < HEADER.len() && HEADER.starts_with(log) {
        return Ok((Vec::new(), 0));
    }
    if !log.starts_with(HEADER) {
        return Err(damaged(0));
    }
    let (mut bindings, mut at) = (Vec::new(), HEADER.len());
    loop {
        match read(log, at) {
            Read::Frame(bytes, next) => {
                bindings.push(bincode::deserialize(bytes).map_err(|_| damaged(at))?);
                at = next;
            }
            Read::End | Read::Torn => return Ok((bindings, at)),
            Read::Damaged => return Err(damaged(at)),
        }
    }
}

impl BindingLog for FileBindingLog {
    fn append(&mut self, binding: &Binding) -> Result<(), BindingError> {
        let fail = |message: String| BindingError::Disk { path: self.path.clone(), message };
        let bytes = bincode::serialize(binding).map_err(|e| fail(e.to_string()))?;
        let written = self.file.write_all(&frame(&bytes)).and_then(|()| self.file.sync_data());
        written.map_err(|e| fail(e.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::SourceEnd;
    use super::*;
    use crate::file::Position;

    fn binding(epoch: u64) -> Binding {
        let upper = Position { file: 0, record: epoch * 7 };
        Binding {
            epoch,
            generation: 1,
            wall_time: 5,
            sources: vec![SourceEnd { upper, at_end: false }],
            files: Vec::new(),
            kafka: Vec::new(),
            job: "job".into(),
        }
    }

    fn log_of(count: u64) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bindings");
        let (mut log, _) = FileBindingLog::open(&path).unwrap();
        for epoch in 1..=count {
            log.append(&binding(epoch)).unwrap();
        }
        drop(log);
        std::fs::read(&path).unwrap()
    }

    /// Whatever a crash leaves of the file, what is read is what was written up to some append.
    #[test]
    fn every_prefix_reopens_to_a_prefix() {
        let bytes = log_of(4);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bindings");
        let mut seen = 0;
        for cut in 0..=bytes.len() {
            std::fs::write(&path, &bytes[..cut]).unwrap();
            let (mut log, bindings) = FileBindingLog::open(&path).unwrap();
            let expected: Vec<Binding> = (1..=bindings.len() as u64).map(binding).collect();
            assert_eq!(bindings, expected);
            assert!(bindings.len() >= seen);
            seen = bindings.len();
            // What is appended after a torn end is read again.
            log.append(&binding(99)).unwrap();
            drop(log);
            assert_eq!(FileBindingLog::open(&path).unwrap().1.last(), Some(&binding(99)));
        }
        assert_eq!(seen, 4);
    }

    /// A flipped bit is never taken for a binding: it is a torn end, or damage.
    #[test]
    fn flipped_bits_are_recognised() {
        let bytes = log_of(3);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bindings");
        for place in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[place] ^= 1;
            std::fs::write(&path, &flipped).unwrap();
            if let Ok((_, bindings)) = FileBindingLog::open(&path) {
                let expected: Vec<Binding> = (1..=bindings.len() as u64).map(binding).collect();
                assert!(bindings.len() < 3 && bindings == expected, "byte {place}");
            }
        }
    }

    #[test]
    fn a_second_run_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bindings");
        let held = FileBindingLog::open(&path).unwrap();
        assert!(matches!(FileBindingLog::open(&path), Err(BindingError::Held { .. })));
        drop(held);
        assert!(FileBindingLog::open(&path).is_ok());
    }
}
