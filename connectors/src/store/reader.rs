//! Reads an object as if it were a file.

use std::io::{self, Read};
use std::sync::Arc;

use bytes::{Buf as _, Bytes};
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt as _};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use super::{PART_BYTES, Store};

/// The bytes of an object, range by range. While one is used, the next is on its way.
#[derive(Debug)]
pub struct ObjectReader {
    objects: Arc<dyn ObjectStore>,
    runtime: Arc<Runtime>,
    path: Path,
    /// Where the range begins that has not been asked for.
    at: u64,
    end: u64,
    now: Bytes,
    next: Option<JoinHandle<Result<Bytes, Error>>>,
}

impl ObjectReader {
    pub(super) fn new(store: &Store, path: Path, bytes: u64) -> Self {
        let (objects, runtime) = (Arc::clone(&store.objects), Arc::clone(&store.runtime));
        let mut reader =
            Self { objects, runtime, path, at: 0, end: bytes, now: Bytes::new(), next: None };
        reader.ask();
        reader
    }

    /// Its length.
    pub fn length(&self) -> u64 {
        self.end
    }

    fn ask(&mut self) {
        let range = self.at..self.end.min(self.at + PART_BYTES as u64);
        self.at = range.end;
        if !range.is_empty() {
            let (objects, path) = (Arc::clone(&self.objects), self.path.clone());
            let get = async move { objects.get_range(&path, range).await };
            self.next = Some(self.runtime.spawn(get));
        }
    }
}

impl Read for ObjectReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !self.now.has_remaining()
            && let Some(next) = self.next.take()
        {
            let got = self.runtime.block_on(next).map_err(io::Error::other)?;
            self.now = got.map_err(io::Error::other)?;
            self.ask();
        }
        let count = buffer.len().min(self.now.remaining());
        self.now.copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }
}
