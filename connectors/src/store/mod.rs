//! Object stores: S3 and what speaks like it, Google Cloud Storage, Azure.
//!
//! An object is there as a whole or not at all, so nothing needs another name until it is written.
//! Large ones are sent in parts and read in ranges, each a request of its own that is repeated when
//! it fails: no connection has to last as long as an object is large.

mod error;
mod reader;
mod spec;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::Read as _;
use std::path::Path as FilePath;
use std::sync::Arc;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt as _, PutMode, PutPayload, WriteMultipart};
use tokio::runtime::{Builder, Runtime};

pub use self::error::StoreError;
pub use self::reader::ObjectReader;
pub use self::spec::StoreSpec;

/// Bytes of a part of a large object, which is also what is read at once: few enough to be on their
/// way in seconds, and 10,000 parts, more than which S3 does not take, are 80 GB.
const PART_BYTES: usize = 8 << 20;
/// Parts on their way at once.
const PARTS_AT_ONCE: usize = 4;
/// Objects that are copied or removed at once.
const OBJECTS_AT_ONCE: usize = 8;
/// What is read in one piece has this many bytes at most.
const WHOLE_BYTES_MAX: u64 = 1 << 30;

/// A place in an object store. Names of objects are relative to it.
#[derive(Clone, Debug)]
pub struct Store {
    url: String,
    prefix: Path,
    objects: Arc<dyn ObjectStore>,
    runtime: Arc<Runtime>,
}

impl Store {
    /// Opens a place, without connecting.
    ///
    /// # Errors
    ///
    /// What [`StoreSpec::check`] says.
    pub fn open(spec: &StoreSpec) -> Result<Self, StoreError> {
        let (objects, prefix) = spec.build()?;
        Self::over(objects, prefix, &spec.url)
    }

    /// A place in a store that is open.
    ///
    /// # Errors
    ///
    /// No thread can be started.
    pub fn over(
        objects: Arc<dyn ObjectStore>,
        prefix: Path,
        url: &str,
    ) -> Result<Self, StoreError> {
        let threads = Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let url = url.trim_end_matches('/').to_owned();
        let runtime = threads
            .map_err(|e| StoreError::Away { object: url.clone(), message: e.to_string() })?;
        Ok(Self { url, prefix, objects, runtime: Arc::new(runtime) })
    }

    /// The URL of an object, or of the place if the name is empty.
    pub fn url(&self, name: &str) -> String {
        if name.is_empty() { self.url.clone() } else { format!("{}/{name}", self.url) }
    }

    fn path(&self, name: &str) -> Path {
        name.split('/').fold(self.prefix.clone(), Path::join)
    }

    fn fail(&self, name: &str) -> impl Fn(Error) -> StoreError {
        let object = self.url(name);
        move |error| StoreError::new(&object, &error)
    }

    /// The names of the folders of the place, in order.
    ///
    /// # Errors
    ///
    /// A store that can't be reached or doesn't let us in, as with all that follows.
    pub fn folders(&self) -> Result<Vec<String>, StoreError> {
        let listed = self.objects.list_with_delimiter(Some(&self.prefix));
        let listed = self.runtime.block_on(listed);
        // Where there is nothing, there are no folders: what is not there is the bucket.
        let listed = listed.map_err(|error| StoreError::of_place(&self.url, &error))?;
        let name = |path: &Path| path.filename().map(str::to_owned);
        let mut names: Vec<String> = listed.common_prefixes.iter().filter_map(name).collect();
        names.sort();
        Ok(names)
    }

    /// The names of the objects in a folder, in order.
    pub fn list(&self, folder: &str) -> Result<Vec<String>, StoreError> {
        let listed = self.objects.list(Some(&self.path(folder))).try_collect::<Vec<_>>();
        let listed = self.runtime.block_on(listed).map_err(self.fail(folder))?;
        let name = |path: &Path| path.filename().map(str::to_owned);
        let mut names: Vec<String> =
            listed.iter().filter_map(|meta| name(&meta.location)).collect();
        names.sort();
        Ok(names)
    }

    /// Whether an object is there.
    pub fn has(&self, name: &str) -> Result<bool, StoreError> {
        match self.runtime.block_on(self.objects.head(&self.path(name))) {
            Ok(_) => Ok(true),
            Err(Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(self.fail(name)(error)),
        }
    }

    /// The bytes of a small object; `None` if it is not there.
    ///
    /// # Errors
    ///
    /// Also one of more than a gigabyte.
    pub fn get(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let get = async {
            let found = self.objects.get(&self.path(name)).await?;
            if found.meta.size > WHOLE_BYTES_MAX {
                return Ok(None);
            }
            found.bytes().await.map(Some)
        };
        match self.runtime.block_on(get) {
            Ok(Some(bytes)) => Ok(Some(bytes.to_vec())),
            Ok(None) => Err(StoreError::TooLarge { object: self.url(name) }),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.fail(name)(error)),
        }
    }

    /// Reads an object from its beginning, in bounded memory.
    ///
    /// # Errors
    ///
    /// [`StoreError::Missing`] if it is not there.
    pub fn read(&self, name: &str) -> Result<ObjectReader, StoreError> {
        let path = self.path(name);
        let meta = self.runtime.block_on(self.objects.head(&path)).map_err(self.fail(name))?;
        Ok(ObjectReader::new(self, path, meta.size))
    }

    /// Writes a small object, in the place of one that is there.
    pub fn put(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let (path, payload) = (self.path(name), PutPayload::from(bytes.to_vec()));
        self.runtime.block_on(self.objects.put(&path, payload)).map(|_| ()).map_err(self.fail(name))
    }

    /// Writes a small object if there is none of its name, and says whether it did. If an answer
    /// was lost on its way, it may say no of what it has written itself.
    pub fn put_new(&self, name: &str, bytes: &[u8]) -> Result<bool, StoreError> {
        let path = self.path(name);
        let put = self.objects.put_opts(&path, bytes.to_vec().into(), PutMode::Create.into());
        match self.runtime.block_on(put) {
            Ok(_) => Ok(true),
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => Ok(false),
            // Where a store knows no conditions, whoever comes last wins.
            Err(Error::NotImplemented { .. }) => self.put(name, bytes).map(|()| true),
            Err(error) => Err(self.fail(name)(error)),
        }
    }

    /// Writes what is in a file as an object.
    ///
    /// # Errors
    ///
    /// [`StoreError::File`] if the file can't be read.
    pub fn put_file(&self, name: &str, file: &FilePath) -> Result<(), StoreError> {
        let fail =
            |e: std::io::Error| StoreError::File { path: file.to_owned(), message: e.to_string() };
        let mut input = File::open(file).map_err(fail)?;
        let mut part = || {
            let mut bytes = Vec::new();
            input.by_ref().take(PART_BYTES as u64).read_to_end(&mut bytes).map_err(fail)?;
            Ok::<_, StoreError>(bytes)
        };
        let first = part()?;
        if first.len() < PART_BYTES {
            return self.put(name, &first);
        }
        let path = self.path(name);
        let _inside = self.runtime.enter(); // parts are sent by tasks
        let upload = self.runtime.block_on(self.objects.put_multipart(&path));
        let upload = upload.map_err(self.fail(name))?;
        let mut writer = WriteMultipart::new_with_chunk_size(upload, PART_BYTES);
        let mut next = first;
        while !next.is_empty() {
            let sent = self.runtime.block_on(writer.wait_for_capacity(PARTS_AT_ONCE));
            let more = sent.map_err(self.fail(name)).and_then(|()| {
                writer.put(std::mem::take(&mut next).into());
                part()
            });
            match more {
                Ok(more) => next = more,
                Err(error) => {
                    // Parts that are left cost only space, and a rule of the bucket removes them.
                    let _ = self.runtime.block_on(writer.abort());
                    return Err(error);
                }
            }
        }
        self.runtime.block_on(writer.finish()).map(|_| ()).map_err(self.fail(name))
    }

    /// Copies objects within the store: each first name to the second.
    pub fn copy(&self, names: &[(String, String)]) -> Result<(), StoreError> {
        let copies = names.iter().map(|(from, to)| async move {
            let copied = self.objects.copy(&self.path(from), &self.path(to)).await;
            copied.map_err(self.fail(from))
        });
        let copies = stream::iter(copies).buffer_unordered(OBJECTS_AT_ONCE);
        self.runtime.block_on(copies.try_collect())
    }

    /// Removes objects, as far as they are there, in any order.
    pub fn remove(&self, names: &[String]) -> Result<(), StoreError> {
        let paths: Vec<_> = names.iter().map(|name| Ok(self.path(name))).collect();
        let mut removed = self.objects.delete_stream(stream::iter(paths).boxed());
        self.runtime.block_on(async {
            while let Some(one) = removed.next().await {
                match one {
                    Ok(_) | Err(Error::NotFound { .. }) => {}
                    Err(error) => return Err(self.fail("")(error)),
                }
            }
            Ok(())
        })
    }
}
