//! What a running job shows: `/metrics`, `/healthz` and `/readyz` over HTTP.

mod board;
mod http;
mod text;

pub use board::{Board, Figures, Histogram, SinkFigures, SnapshotFigures, SourceFigures};
pub use http::Server;
