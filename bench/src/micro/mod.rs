//! Benchmarks of single cores.

mod bindings;
pub(crate) mod connectivity;
mod decode;
mod dedup;
mod funnels;
mod growth;
mod latency;
mod people;

pub use bindings::BINDINGS;
pub use connectivity::CONNECTIVITY;
pub use decode::DECODE;
pub use dedup::DEDUP;
pub use funnels::FUNNELS;
pub use growth::GROWTH;
pub use latency::LATENCY;
pub use people::PEOPLE;
