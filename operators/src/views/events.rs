//! The list of events.

use std::sync::Arc;

use crate::model::{Cells, Event, Row, Token};

/// An event as a row of the table `view`, with its person if it has one.
pub fn event_row(view: u16, event: &Arc<Event>, person: Option<Token>) -> Row {
    let final_at = event.key.time;
    Row { view, cells: Cells::Event(Arc::clone(event), person), final_at }
}
