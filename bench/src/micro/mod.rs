//! Benchmarks of single cores.

mod connectivity;
mod decode;
mod dedup;
mod growth;
mod latency;
mod people;

pub use connectivity::CONNECTIVITY;
pub use decode::DECODE;
pub use dedup::DEDUP;
pub use growth::GROWTH;
pub use latency::LATENCY;
pub use people::PEOPLE;
