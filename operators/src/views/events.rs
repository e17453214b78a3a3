//! The list of events.

use std::sync::Arc;

use crate::model::{Cells, Event, Row, Token};

/// An event as a row of the table `view`, with its person if it has one.
pub fn event_row(view: u16, event: &Arc<Event>, person: Option<Token>) -> Row {
    // Of copies of one time any may be the one that counts.
    let (event, final_at) = (Arc::clone(event), event.key.time.saturating_add(1));
    let cells = match person {
        Some(person) => Cells::Event(event, person),
        None => Cells::Nobody(event),
    };
    Row { view, cells, final_at }
}
