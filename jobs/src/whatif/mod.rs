//! What would change if the job were another one: the changed job, computed as a replay over the
//! same history, compared with what the live job's tables have said at the same epoch.
//!
//! Memory: the rows of one view twice, and a line for each identifier.

mod numbers;
mod page;
mod people;
mod plot;
mod text;

use std::collections::BTreeMap;

use connectors::table::{TableError, logged, standing};
use operators::model::{CellRef, Epoch, Row};
use serde::Serialize;

use crate::query::{explain, view};
use crate::runtime::{Plan, sections_changed};

pub use self::numbers::{Number, ViewChange};
pub use self::page::page;
pub use self::people::{Kind, Link, Mover, PeopleChange, Side};
pub use self::text::text;

/// What would change.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct WhatIf {
    /// The live job.
    pub job: String,
    /// As of this epoch.
    pub epoch: Epoch,
    /// Where the job file says something else, such as `identity` or `view sessions`.
    pub changed: Vec<String>,
    /// Views that one of the two has and the other has not.
    pub only_before: Vec<String>,
    /// Those that only the changed job has.
    pub only_after: Vec<String>,
    /// Who is who.
    pub people: PeopleChange,
    /// Every view that both have and whose rows are of numbers.
    pub views: Vec<ViewChange>,
    /// Rows of each view that both have: before, after, and alike in both.
    pub rows: BTreeMap<String, [u64; 3]>,
}

impl WhatIf {
    /// Whether nothing would change.
    pub fn is_nothing(&self) -> bool {
        self.only_before.is_empty()
            && self.only_after.is_empty()
            && self.rows.values().all(|[before, after, alike]| before == alike && after == alike)
    }
}

/// Compares what two jobs have said at an epoch. Each has tables in its `out`.
///
/// # Errors
///
/// Tables that can't be read.
pub fn compare(live: &Plan, changed: &Plan, epoch: Epoch) -> Result<WhatIf, TableError> {
    let names = |plan: &Plan| -> Vec<String> {
        plan.catalog.schemas.iter().map(|schema| schema.name.to_string()).collect()
    };
    let (before, after) = (names(live), names(changed));
    let only = |of: &[String], other: &[String]| -> Vec<String> {
        of.iter().filter(|name| !other.contains(name)).cloned().collect()
    };
    let (mut was, mut is) = (Said::of(live, epoch)?, Said::of(changed, epoch)?);
    let people = people::compare(&was, &is);
    let (mut views, mut rows) = (Vec::new(), BTreeMap::new());
    for (index, schema) in (0..).zip(&live.catalog.schemas) {
        let Some((other, _)) = view(changed, &schema.name).filter(|_| !schema.append_only) else {
            continue;
        };
        let (before, after) = (was.take(live, index, epoch)?, is.take(changed, other, epoch)?);
        let (change, counts) = numbers::compare(schema, before, after, is_numbers(live, index));
        rows.insert(schema.name.to_string(), counts);
        views.extend(change);
    }
    Ok(WhatIf {
        job: live.name.clone(),
        epoch,
        changed: sections_changed(&live.text, &changed.text),
        only_before: only(&before, &after),
        only_after: only(&after, &before),
        people,
        views,
        rows,
    })
}

/// Whether a table is of numbers over people: the first one of a funnel or a trend.
fn is_numbers(plan: &Plan, table: u16) -> bool {
    let place = plan.catalog.tables.iter().position(|first| *first == table);
    place.is_some_and(|place| {
        let spec = &plan.catalog.specs[place];
        !matches!(spec, operators::views::spec::ViewSpec::Sessions(_))
    })
}

/// What a job has said about people.
struct Said {
    identifiers: Vec<Row>,
    events: Vec<Row>,
    id_changes: Vec<Row>,
}

impl Said {
    /// The rows of a view; those that are here are given away.
    fn take(&mut self, plan: &Plan, view: u16, epoch: Epoch) -> Result<Vec<Row>, TableError> {
        let built_in = plan.catalog.built_in;
        match Some(view) {
            of if of == built_in.events => Ok(std::mem::take(&mut self.events)),
            of if of == built_in.identifiers => Ok(std::mem::take(&mut self.identifiers)),
            _ => standing(&plan.out, (view, &plan.catalog.schemas[usize::from(view)]), epoch),
        }
    }

    fn of(plan: &Plan, epoch: Epoch) -> Result<Self, TableError> {
        let rows = |view: Option<u16>| match view {
            None => Ok(Vec::new()),
            Some(view) => {
                standing(&plan.out, (view, &plan.catalog.schemas[usize::from(view)]), epoch)
            }
        };
        let built_in = plan.catalog.built_in;
        let id_changes = match built_in.id_changes {
            None => Vec::new(),
            Some(view) => {
                let schema = &plan.catalog.schemas[usize::from(view)];
                logged(&plan.out, (view, schema), epoch)?.into_iter().map(|c| c.row).collect()
            }
        };
        let (identifiers, events) = (rows(built_in.identifiers)?, rows(built_in.events)?);
        Ok(Self { identifiers, events, id_changes })
    }
}

/// A cell as text; nothing for none.
fn words(cell: CellRef<'_>) -> String {
    match cell {
        CellRef::Null => String::new(),
        cell => explain::text(cell),
    }
}
