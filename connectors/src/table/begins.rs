//! Where changelogs begin: one that was gone and was begun anew with a change of the job tells
//! nothing of the time before.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use operators::model::Epoch;

use super::TableError;
use crate::durable;

/// By view, the first epoch that a changelog tells of, where that is not the job's first:
/// `<out>/changelog/_begins.json`.
#[derive(Debug)]
pub struct Begins {
    path: PathBuf,
    views: BTreeMap<String, Epoch>,
}

impl Begins {
    /// Reads what stands below `out`.
    ///
    /// # Errors
    ///
    /// The file can't be read.
    pub fn read(out: &Path) -> Result<Self, TableError> {
        let path = out.join("changelog").join("_begins.json");
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => b"{}".to_vec(),
            Err(error) => return Err(TableError::disk(&path, &error)),
        };
        let views = serde_json::from_slice(&text)
            .map_err(|e| TableError::Encode { path: path.clone(), message: e.to_string() })?;
        Ok(Self { path, views })
    }

    /// The first epoch that the changelog of a view tells of; `None` if it tells of all.
    pub fn of(&self, view: &str) -> Option<Epoch> {
        self.views.get(view).copied()
    }

    /// The views whose changelogs begin after an epoch.
    pub fn after(&self, epoch: Epoch) -> impl Iterator<Item = &str> {
        let later = self.views.iter().filter(move |(_, begin)| **begin > epoch);
        later.map(|(view, _)| view.as_str())
    }

    /// Writes down that the changelogs of some views begin at an epoch; `None` if they tell of all.
    ///
    /// # Errors
    ///
    /// The file can't be written.
    pub fn set(&mut self, views: &[String], begin: Option<Epoch>) -> Result<(), TableError> {
        let before = self.views.clone();
        for view in views {
            match begin {
                Some(begin) => drop(self.views.insert(view.clone(), begin)),
                None => drop(self.views.remove(view)),
            }
        }
        if self.views == before {
            return Ok(());
        }
        let fail = |e| TableError::disk(&self.path, &e);
        self.path.parent().map_or(Ok(()), durable::create_folder).map_err(fail)?;
        // Names and numbers can always be written.
        let text = serde_json::to_vec_pretty(&self.views).unwrap_or_default();
        durable::write(&self.path, &text, false).map_err(fail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        let read = || Begins::read(&out).unwrap();
        let names =
            |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        read().set(&names(&["a"]), None).unwrap();
        assert!(!out.exists(), "nothing to say");
        read().set(&names(&["a", "b"]), Some(7)).unwrap();
        read().set(&names(&["b"]), Some(9)).unwrap();
        assert_eq!([read().of("a"), read().of("b"), read().of("c")], [Some(7), Some(9), None]);
        assert_eq!(read().after(7).collect::<Vec<_>>(), ["b"]);
        read().set(&names(&["a", "b"]), None).unwrap();
        assert_eq!([read().of("a"), read().of("b")], [None, None]);
        fs::write(out.join("changelog/_begins.json"), "{").unwrap();
        assert!(Begins::read(&out).unwrap_err().to_string().contains("_begins.json"));
    }
}
