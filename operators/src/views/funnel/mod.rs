//! Funnels: how far each person (or group) got, and how long it took. `SPEC.md` says what counts.
//!
//! What comes of an entry depends only on the entry and its window. [`FunnelState`] keeps what each
//! day, attempt or session of a person adds, and follows a change only to the entries that can see
//! it; [`oracle`] is the same as a naive function over all events.

mod append;
mod apply;
mod follow;
mod glance;
mod near;
pub mod oracle;
mod outcome;
mod scan;
pub mod spec;
mod state;
#[cfg(test)]
mod tests;
mod traits;
mod units;

use std::sync::Arc;

use self::spec::FunnelSpec;
use super::spec::Breakdown;
use crate::model::{Cell, CellRef, Cells, Event, Matches, Micros, Row};

pub use append::is_plain;
pub use glance::Glance;
pub use outcome::{Chain, Outcome, Rank, Touch};
pub use state::{Best, DENSE_FROM, Dirty, FunnelState, Scope};
pub use traits::Traits;

/// Calls `act` with the breakdown's value of an event in a trend, as text.
pub fn with_breakdown<R>(
    breakdown: Option<Breakdown>,
    event: &Event,
    act: impl FnOnce(CellRef<'_>) -> R,
) -> R {
    match breakdown {
        None => act(CellRef::Null),
        Some(Breakdown::Channel) => act(CellRef::Str(&event.kind.channel)),
        Some(Breakdown::Property(index)) => match event.properties.value(index) {
            None => act(CellRef::Null),
            Some(crate::model::Value::Str(text)) => act(CellRef::Str(text)),
            Some(value) => act(CellRef::Str(&value.to_string())),
        },
    }
}

/// The breakdown's value of an event in a trend, as text.
pub fn breakdown_value(breakdown: Option<Breakdown>, event: &Event) -> Cell {
    match breakdown {
        None => Cell::Null,
        Some(Breakdown::Channel) => Cell::Str(Arc::clone(&event.kind.channel)),
        Some(Breakdown::Property(index)) => match event.properties.value(index) {
            None => Cell::Null,
            Some(crate::model::Value::Str(text)) => Cell::Str(Arc::clone(text)),
            Some(value) => Cell::str(&value.to_string()),
        },
    }
}

/// Whether a change of an event can change a funnel by what the event itself is; `mask` is
/// [`FunnelSpec::mask`].
pub fn concerns(spec: &FunnelSpec, mask: &Matches, event: &Event) -> bool {
    spec.order.sees_all()
        || matches!(spec.counting, spec::Counting::Sessions(_))
        || event.matches.meets(mask)
}

/// A row of the table of people (or groups) of a funnel; `who` is the person or the group.
pub fn best_row(view: u16, tenant: &Arc<str>, who: &Cell, best: &Best) -> Row {
    let (times, ids) = best.outcome.witnesses();
    Row {
        view,
        cells: Cells::from([
            Cell::Str(Arc::clone(tenant)),
            who.clone(),
            best.breakdown.clone(),
            Cell::Int(best.outcome.chain.len() as i64),
            times,
            ids,
        ]),
        // A later entry may go further at any time.
        final_at: Micros::MAX,
    }
}
