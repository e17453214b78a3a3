//! A store that fails once, at each of its calls in turn, before it does what it is asked or after.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use futures::future::ready;
use futures::stream::{BoxStream, StreamExt as _, once};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use super::*;

/// Fails at its call `at`, the first being 1.
#[derive(Debug)]
struct Failing {
    inner: InMemory,
    at: AtomicU64,
    /// Whether it does what it is asked, and only the answer is lost.
    late: bool,
}

impl fmt::Display for Failing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a store that fails")
    }
}

impl Failing {
    /// Whether this call fails.
    fn fails(&self) -> bool {
        let less = |left: u64| left.checked_sub(1);
        self.at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less) == Ok(1)
    }

    async fn call<T>(&self, does: impl Future<Output = Result<T>>) -> Result<T> {
        let fails = self.fails();
        if fails && !self.late {
            return Err(failure());
        }
        let done = does.await;
        if fails { Err(failure()) } else { done }
    }
}

fn failure() -> Error {
    Error::Generic { store: "test", source: "no answer".into() }
}

#[async_trait]
impl ObjectStore for Failing {
    async fn put_opts(&self, at: &Path, what: PutPayload, how: PutOptions) -> Result<PutResult> {
        self.call(self.inner.put_opts(at, what, how)).await
    }

    async fn put_multipart_opts(
        &self,
        at: &Path,
        how: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.call(self.inner.put_multipart_opts(at, how)).await
    }

    async fn get_opts(&self, at: &Path, how: GetOptions) -> Result<GetResult> {
        self.call(self.inner.get_opts(at, how)).await
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        match (self.fails(), self.late) {
            (false, _) => self.inner.delete_stream(paths),
            (true, false) => once(ready(Err(failure()))).boxed(),
            (true, true) => self.inner.delete_stream(paths).map(|_| Err(failure())).boxed(),
        }
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        if self.fails() { once(ready(Err(failure()))).boxed() } else { self.inner.list(prefix) }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.call(self.inner.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, how: CopyOptions) -> Result<()> {
        self.call(self.inner.copy_opts(from, to, how)).await
    }
}

/// Does it again if it fails for a reason that passes, and counts how often it did.
fn again<T>(
    failed: &mut u32,
    mut does: impl FnMut() -> std::result::Result<T, SnapshotError>,
) -> T {
    loop {
        match does() {
            Ok(done) => return done,
            Err(error) => {
                assert!(error.is_passing(), "{error}");
                *failed += 1;
            }
        }
    }
}

/// Two runs, one after the other, with a failure at the call `at`. Whatever fails, each snapshot
/// that was taken is found, and whole. Says whether there were so many calls: some, such as those
/// that tidy up, may fail without a word.
fn story(at: u64, late: bool) -> bool {
    let waiting = TempDir::new().unwrap();
    let failing = Arc::new(Failing { inner: InMemory::new(), at: at.into(), late });
    let objects: Arc<dyn ObjectStore> = Arc::clone(&failing) as _;
    let store = Store::over(objects, "p".into(), "s3://bucket/p").unwrap();
    let place = Place::in_store(store, waiting.path().join("waiting"));
    let mut failed = 0;
    let find = |failed: &mut u32, upto| {
        let found = again(failed, || find(&place, "job", upto, |_| Some(true), |_, _| {}));
        assert!(found.passed_over.is_empty(), "call {at}: {found:?}");
        if let Some(begin) = &found.begin {
            assert_holds(begin, &again(failed, || try_read(begin)));
        }
        found.begin
    };
    for generation in 1..=2 {
        let first = (generation - 1) * 9;
        let mut begin = find(&mut failed, first);
        let shelf = again(&mut failed, || Shelf::open(&place, "job", generation, begin.as_mut()));
        let writer = shelf.writer();
        let mut run = Run { shelf, writer };
        let mut owed = false;
        for epoch in first + 1..=first + 9 {
            // What one could not take, the next takes along.
            owed = match run.try_take(epoch) {
                Ok(_) => {
                    let begin = find(&mut failed, epoch);
                    assert_eq!(begin.map(|begin| begin.manifest.epoch), Some(epoch), "call {at}");
                    false
                }
                Err(error) => {
                    assert!(error.is_passing() && !owed, "call {at}: {error}");
                    failed += 1;
                    true
                }
            };
            failed += u32::from(run.shelf.passed(epoch).is_err());
        }
        if owed {
            run.shelf.take(Vec::new(), taken(first + 9)).unwrap();
        }
        again(&mut failed, || run.shelf.passed(first + 9));
    }
    let begin = find(&mut failed, 18).unwrap();
    assert_eq!(begin.manifest.epoch, 18);
    assert_eq!(again(&mut failed, || place.runs()).len(), 1);
    assert!(failed <= 1);
    failing.at.load(Ordering::Relaxed) == 0
}

#[test]
fn a_store_that_fails_once_at_any_call_costs_no_snapshot() {
    for late in [false, true] {
        let failing = (1..10_000).take_while(|at| story(*at, late)).count();
        assert!(failing > 100, "{failing} calls");
    }
}
