//! Where changelogs begin: one that was gone and was begun anew with a change of the job tells
//! nothing of the time before.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use operators::model::{Epoch, ViewSchema};

use super::{Stored, TableError, Which};
use crate::durable;

/// The file, below `out`.
const FILE: &str = "changelog/_begins.json";

/// By view, the first epoch that a changelog tells of, where that is not the job's first:
/// `<out>/changelog/_begins.json`.
#[derive(Debug)]
pub struct Begins {
    path: PathBuf,
    views: BTreeMap<String, Epoch>,
}

impl Begins {
    /// Reads what stands below `out`; of a changelog that has been restored it counts no more.
    ///
    /// # Errors
    ///
    /// The file, or a changelog that it names, can't be read.
    pub fn read(out: &Path, schemas: &[ViewSchema]) -> Result<Self, TableError> {
        let path = out.join(FILE);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => b"{}".to_vec(),
            Err(error) => return Err(TableError::disk(&path, &error)),
        };
        let mut views: BTreeMap<String, Epoch> = serde_json::from_slice(&text)
            .map_err(|e| TableError::Encode { path: path.clone(), message: e.to_string() })?;
        for schema in schemas {
            let Some(begin) = views.get(&*schema.name) else { continue };
            let changelog = Stored::open(out, Which::Changelog(schema))?;
            if changelog.and_then(|log| log.first_epoch()).is_some_and(|first| first < *begin) {
                views.remove(&*schema.name);
            }
        }
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
    pub fn set(
        &mut self,
        views: &BTreeSet<String>,
        begin: Option<Epoch>,
    ) -> Result<(), TableError> {
        for view in views {
            match begin {
                Some(begin) => drop(self.views.insert(view.clone(), begin)),
                None => drop(self.views.remove(view)),
            }
        }
        self.write()
    }

    /// Writes the same into another folder that has the same changelogs.
    ///
    /// # Errors
    ///
    /// The file can't be written.
    pub fn copy(&self, out: &Path) -> Result<(), TableError> {
        Self { path: out.join(FILE), views: self.views.clone() }.write()
    }

    fn write(&self) -> Result<(), TableError> {
        if self.views.is_empty() && !self.path.exists() {
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
        let read = || Begins::read(&out, &[]).unwrap();
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        read().set(&names(&["a"]), None).unwrap();
        assert!(!out.exists(), "nothing to say");
        read().set(&names(&["a", "b"]), Some(7)).unwrap();
        read().set(&names(&["b"]), Some(9)).unwrap();
        assert_eq!([read().of("a"), read().of("b"), read().of("c")], [Some(7), Some(9), None]);
        assert_eq!(read().after(7).collect::<Vec<_>>(), ["b"]);
        let other = folder.path().join("other");
        read().copy(&other).unwrap();
        assert_eq!(Begins::read(&other, &[]).unwrap().of("b"), Some(9));
        read().set(&names(&["a", "b"]), None).unwrap();
        assert_eq!([read().of("a"), read().of("b")], [None, None]);
        fs::write(out.join(FILE), "{").unwrap();
        assert!(Begins::read(&out, &[]).unwrap_err().to_string().contains("_begins.json"));
    }
}
