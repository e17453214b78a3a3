//! A real Apache Kafka for tests: started from its Maven artifacts, killed and restarted at will.
//!
//! - [`Cluster::start`] starts brokers of its own; [`shared`] is one broker for all tests of a
//!   process, or the one that `BRAID_TEST_BROKERS` names.
//! - A broker ends when the process that started it ends, however that ends.
//! - Nothing is skipped: without Java or Maven the test fails and says what to install.
//! - Topics, groups and transactional ids are a test's own by [`unique`].

mod braid;
mod client;
mod cluster;
mod counter;
mod jars;
pub mod measured;
mod node;
mod registry;
mod secrets;
mod story;

pub use braid::Braid;
pub use client::{Message, Writer, config, read_all, read_ended, read_until};
pub use cluster::{Broker, Cluster, Options};
pub use counter::{Counter, schema as counter_schema};
pub use registry::Registry;
pub use secrets::Secrets;
pub use story::Story;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long a test waits for something that must happen; generous, for machines are busy.
pub const PATIENCE: Duration = Duration::from_mins(2);

/// The broker that the tests of this process share.
pub fn shared() -> &'static Broker {
    static BROKER: OnceLock<Broker> = OnceLock::new();
    BROKER.get_or_init(|| match std::env::var("BRAID_TEST_BROKERS") {
        Ok(brokers) => Broker::at(&brokers),
        // Never dropped: the broker ends with the process.
        Err(_) => Cluster::start(1).into_broker(),
    })
}

/// A name that no other test and no other run uses.
pub fn unique(name: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let time = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let time = time.map_or(0, |time| time.as_millis());
    format!("{name}-{}-{time:x}-{number}", std::process::id())
}

/// Waits until `done` gives something.
///
/// # Panics
/// When nothing comes for [`PATIENCE`]; says what was waited for.
pub fn wait<T>(what: &str, mut done: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(result) = done() {
            return result;
        }
        assert!(begun.elapsed() < PATIENCE, "waited {PATIENCE:?} for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
