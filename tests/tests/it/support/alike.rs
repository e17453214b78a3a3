//! What two jobs have published, compared.

use std::collections::BTreeMap;

use operators::model::Cell;

use super::Job;

/// Everything that a job has published: current rows byte by byte, and changes.
#[derive(PartialEq, Eq)]
pub(crate) struct Published {
    rows: BTreeMap<String, Vec<u8>>,
    changes: BTreeMap<String, Vec<Vec<Cell>>>,
}

impl Published {
    pub(crate) fn by(job: &Job) -> Self {
        let plan = job.plan();
        let views: Vec<&str> = plan.catalog.schemas.iter().map(|schema| &*schema.name).collect();
        // What its rows say is compared among the changes.
        let names: Vec<&str> = views.iter().copied().filter(|view| *view != "id_changes").collect();
        let changes = |view: &&str| {
            let log = job.changelog(view);
            let columns = log.columns.iter().map(String::as_str);
            let told: Vec<&str> = columns.filter(|column| !names_one(view, column)).collect();
            ((*view).to_owned(), log.select(&told))
        };
        Self { rows: job.current(&names), changes: views.iter().map(changes).collect() }
    }

    /// Fails where the other is different.
    pub(crate) fn assert_same(&self, other: &Self, what: &str) {
        for (name, bytes) in &other.rows {
            assert!(self.rows.get(name) == Some(bytes), "{name}: {what}");
        }
        assert_eq!(self.rows.len(), other.rows.len(), "{what}");
        for (view, table) in &other.changes {
            assert!(self.changes.get(view) == Some(table), "changelog/{view}: {what}");
        }
        assert_eq!(self.changes.len(), other.changes.len(), "{what}");
    }
}

/// Whether one of several things that happened to a person in one epoch is named in a column.
fn names_one(view: &str, column: &str) -> bool {
    column == "_cause" || (view == "id_changes" && ["cause", "message_id"].contains(&column))
}
