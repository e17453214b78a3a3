//! The wanted fields of a CSV or TSV row.

use std::borrow::Cow;
use std::sync::Arc;

use crate::file::{Fields, Header};

use super::raw::Raw;
use super::spec::FieldPath;

/// Which column fills which slots, for one header.
#[derive(Clone, Debug)]
pub(super) struct Columns {
    header: Arc<Header>,
    /// For each column the slots that want it.
    slots: Vec<Vec<usize>>,
}

impl Columns {
    /// Each slot is the column named as its path.
    pub(super) fn new(header: &Arc<Header>, places: &[(usize, FieldPath)]) -> Self {
        let mut slots = vec![Vec::new(); header.columns.len()];
        for (slot, path) in places {
            let name = path.column();
            if let Some(column) = header.columns.iter().rposition(|column| *column == name) {
                slots[column].push(*slot);
            }
        }
        Self { header: header.clone(), slots }
    }

    /// Whether this is for that header.
    pub(super) fn fits(&self, header: &Arc<Header>) -> bool {
        Arc::ptr_eq(&self.header, header) || self.header == *header
    }

    /// Reads a row into `slots`, which are all absent before; says what is wrong with it.
    pub(super) fn read<'a>(&self, row: &'a str, slots: &mut [Raw<'a>]) -> Result<(), String> {
        let mut count = 0;
        for field in Fields::new(row.as_bytes(), self.header.delimiter) {
            let Ok(field) = field else { return Err("a quote has no end".to_owned()) };
            if let Some(wanted) = self.slots.get(count) {
                for &slot in wanted {
                    slots[slot] = Raw::Field(text(field.clone()));
                }
            }
            count += 1;
        }
        let expected = self.slots.len();
        if count == expected {
            Ok(())
        } else {
            Err(format!("{count} fields, the header has {expected}"))
        }
    }
}

/// A field of a row that is UTF-8 as a whole. It is cut at ASCII bytes, so it is UTF-8 too.
fn text(field: Cow<'_, [u8]>) -> Cow<'_, str> {
    match field {
        Cow::Borrowed(bytes) => String::from_utf8_lossy(bytes),
        Cow::Owned(bytes) => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
    }
}
