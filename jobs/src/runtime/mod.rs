//! Runs a job: reads sources, mints epochs, drives the workers and the sink.
//!
//! One thread, the caller's, is the supervisor: it reads records, writes and syncs the binding of
//! each epoch, and only then hands the records to the workers. The workers decode and compute; one
//! thread collects rows, one writes them to tables, and one for each set of topics writes those,
//! each at its own pace. A run that was killed begins with the bindings: the same records go to the
//! same epochs again, and tables pass over what they have committed.
//!
//! With several processes (`cluster`) all this is process 0; of the others only the workers run.

mod archive;
mod became;
mod bound;
mod errors;
mod feeding;
mod gather;
mod gone;
pub mod job_file;
mod member;
mod minting;
mod outlook;
mod output;
pub mod plan;
mod progress;
mod retention;
mod shown;
mod sink;
mod snapshots;
mod summary;
mod supervisor;
mod tables;
mod threads;
mod topics;
mod upgrade;
mod worker;
mod workers;

pub use archive::open_archive;
pub use bound::{peek, peek_logged};
pub use errors::{DISK_FULL, RunError};
pub use feeding::now;
pub use member::serve;
pub use outlook::{JobChange, Outlook, outlook, sections_changed};
pub use plan::{ArchivePlan, Plan};
pub use progress::{Extent, Progress, Silent, Terminal};
pub use snapshots::{REPLAYS, place as snapshots_of, within as snapshots_within};
pub use summary::{FunnelStep, FunnelSummary, FunnelValue, Summary, grouped, span};
pub use supervisor::{Around, Past, change, rerun, run, run_held, run_until};
pub use upgrade::kept as job_text_of;

/// How a job is run, beyond what its file says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RunOptions {
    /// Worker threads.
    pub workers: usize,
    /// Records in an epoch at most; `None` for what the job file says.
    pub epoch_records: Option<usize>,
}
