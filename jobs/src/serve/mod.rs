//! What a running job shows over HTTP: `/metrics`, `/status`, `/healthz` and `/readyz`.

mod board;
mod http;
mod status;
mod text;

pub use board::{
    ARCHIVE, Board, CHANGELOGS, Figures, FileFigures, Histogram, NOT_TOPICS, PartitionFigures,
    SinkFigures, SnapshotFigures, SourceFigures, TABLES, TraceFigures,
};
pub use http::{Server, get};
pub use status::{State, lines};
