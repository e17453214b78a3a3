//! The clusters that an epoch has touched.

use super::Map;
use super::cluster::Span;
use super::slots::ClusterId;
use crate::model::{EventKey, Token};

/// A cluster that something touched in this epoch.
#[derive(Debug)]
pub(super) struct Touched {
    pub id: ClusterId,
    /// What touched it last.
    pub by: EventKey,
    /// The person id last reported.
    pub former: Option<Token>,
    /// Spans in which the person may have changed.
    pub marks: Vec<Span>,
}

/// All of them, in the order in which they were touched first.
#[derive(Debug, Default)]
pub(super) struct AllTouched {
    list: Vec<Touched>,
    places: Map<ClusterId, u32>,
}

impl AllTouched {
    /// Notes that a cluster is touched. `former` counts the first time.
    pub(super) fn note(
        &mut self,
        id: ClusterId,
        by: EventKey,
        former: Option<Token>,
    ) -> &mut Touched {
        let place = *self.places.entry(id).or_insert(self.list.len() as u32) as usize;
        if place == self.list.len() {
            self.list.push(Touched { id, by, former, marks: Vec::new() });
        }
        let touched = &mut self.list[place];
        touched.by = by;
        touched
    }

    pub(super) fn get(&self, id: ClusterId) -> Option<&Touched> {
        self.places.get(&id).map(|&place| &self.list[place as usize])
    }

    pub(super) fn get_mut(&mut self, id: ClusterId) -> Option<&mut Touched> {
        self.places.get(&id).map(|&place| &mut self.list[place as usize])
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    /// The cluster at a place.
    pub(super) fn id(&self, place: usize) -> ClusterId {
        self.list[place].id
    }
}
