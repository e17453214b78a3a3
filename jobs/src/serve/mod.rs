//! What a running job shows over HTTP: `/metrics`, `/status`, `/healthz` and `/readyz`.

mod board;
mod http;
mod status;
mod text;

pub use board::{
    Board, CHANGELOGS, Figures, FileFigures, Histogram, PartitionFigures, SinkFigures,
    SnapshotFigures, SourceFigures, TABLES, TraceFigures,
};
pub use http::{Server, get};
pub use status::{State, lines};
