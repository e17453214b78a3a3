//! The canonical event and the vocabulary that all stages share.
//!
//! Nothing here does anything; see the stage that produces or consumes a type for its behaviour.

mod cause;
mod cell;
mod event;
mod kind;
mod letter;
mod message_id;
mod names;
mod properties;
mod row;
mod token;
mod value;
mod wide;

pub use cause::Cause;
pub use cell::{Cell, CellRef};
pub use event::{Command, CommandKind, Event, EventKey, Idents, Matches, Origin, Special};
pub use kind::EventKind;
pub use letter::{DeadLetter, Reason};
pub use message_id::{MessageId, Uuid};
pub use properties::Properties;
pub use row::{Cells, Change, Column, ColumnType, Row, Status, ViewSchema};
pub use token::{Ident, Secret, Token, message_hash};
pub use value::Value;
pub(crate) use wide::list;
pub use wide::{Overview, Session, Texts};

/// A moment or a span of event time: microseconds, UTC where it is a moment.
pub type Micros = i64;

/// The differential timestamp: a batch of input that becomes visible at once.
pub type Epoch = u64;

/// Microseconds in one second.
pub const SECOND: Micros = 1_000_000;
/// Microseconds in one day.
pub const DAY: Micros = 86_400 * SECOND;
