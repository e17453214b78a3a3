//! Names that stand in many events and rows: one copy of each, by each thread.

use std::cell::RefCell;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use foldhash::fast::FixedState;
use serde::de::{Deserializer, Error, Visitor};

/// Different names of which one copy is kept, by each thread.
const NAMES_MAX: usize = 8192;
/// Longer names hardly come again.
pub(super) const BYTES_MAX: usize = 128;

thread_local! {
    static NAMES: RefCell<HashSet<Arc<str>, FixedState>> = RefCell::default();
}

/// The shared copy of a name.
pub(super) fn name(text: &str) -> Arc<str> {
    NAMES.with_borrow_mut(|names| {
        if let Some(known) = names.get(text) {
            return Arc::clone(known);
        }
        let new: Arc<str> = text.into();
        if names.len() < NAMES_MAX && text.len() <= BYTES_MAX {
            names.insert(Arc::clone(&new));
        }
        new
    })
}

/// Reads a name.
pub(super) fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<str>, D::Error> {
    struct Name;

    impl Visitor<'_> for Name {
        type Value = Arc<str>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a name")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Arc<str>, E> {
            Ok(name(text))
        }
    }

    deserializer.deserialize_str(Name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_copy_is_kept() {
        let read = |text: &str| read(serde_json::Value::from(text)).unwrap();
        assert!(Arc::ptr_eq(&read("web"), &read("web")));
        assert_eq!(&*read("mobile"), "mobile");
        let all: Vec<Arc<str>> = (0..2 * NAMES_MAX).map(|n| read(&n.to_string())).collect();
        assert!(all.iter().enumerate().all(|(n, text)| **text == *n.to_string()));
        assert!(NAMES.with_borrow(HashSet::len) <= NAMES_MAX);
    }
}
