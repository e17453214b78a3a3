//! Bounded caches of what few records bring anew.

use std::hash::BuildHasher as _;
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashSet;
use operators::model::{Secret, Token};

/// One shared copy of each text that comes again and again. When full, new texts are not kept: the
/// first ones are most likely the frequent ones.
#[derive(Clone, Debug)]
pub(super) struct Interner {
    texts: HashSet<Arc<str>, FixedState>,
    limit: usize,
}

impl Interner {
    /// Keeps up to `limit` texts of up to [`Interner::BYTES_MAX`] bytes.
    pub(super) fn new(limit: usize) -> Self {
        Self { texts: HashSet::with_hasher(FixedState::default()), limit }
    }

    /// Longer texts hardly come again.
    const BYTES_MAX: usize = 128;

    /// The shared copy of a text.
    pub(super) fn get(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.texts.get(text) {
            return known.clone();
        }
        let new: Arc<str> = Arc::from(text);
        if self.texts.len() < self.limit && text.len() <= Self::BYTES_MAX {
            self.texts.insert(new.clone());
        }
        new
    }
}

/// Tokens of identifiers seen lately: a keyed hash costs more than a comparison, and the events of
/// a session carry the same identifiers. Each slot keeps the last identifier that fell on it.
#[derive(Clone, Debug)]
pub(super) struct TokenCache {
    slots: Vec<Option<(u8, Box<str>, Token)>>,
    hasher: FixedState,
    secret: Secret,
}

impl TokenCache {
    /// Number of slots: about 1 MB.
    const SLOTS: usize = 1 << 14;

    pub(super) fn new(secret: Secret) -> Self {
        Self { slots: vec![None; Self::SLOTS], hasher: FixedState::default(), secret }
    }

    /// The token of an identifier of the type `name`, whose index is `kind`.
    pub(super) fn token(&mut self, kind: u8, name: &str, value: &str) -> Token {
        let slot = self.hasher.hash_one((kind, value)) as usize % Self::SLOTS;
        match &mut self.slots[slot] {
            Some((k, v, token)) if *k == kind && **v == *value => *token,
            other => {
                let token = self.secret.token(name, value);
                *other =
                    (value.len() <= Interner::BYTES_MAX).then(|| (kind, Box::from(value), token));
                token
            }
        }
    }
}
