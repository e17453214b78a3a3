//! The list of events.

use std::sync::Arc;

use crate::model::{Cell, Event, Row};

/// An event as a row of the table `view`; `person` is an id or null.
pub fn event_row(view: u16, event: &Event, person: Cell) -> Row {
    Row {
        view,
        cells: Box::new([
            Cell::Str(Arc::clone(&event.tenant)),
            Cell::str(&event.message_id),
            Cell::Time(event.key.time),
            Cell::Str(Arc::clone(&event.channel)),
            Cell::Str(Arc::clone(&event.name)),
            person,
        ]),
        final_at: event.key.time,
    }
}
