//! How often each of a few (seldom many) clusters occurs.

use super::Map;
use smallvec::SmallVec;

use super::slots::ClusterId;

/// Above this many entries a hash map replaces the list.
const LISTED: usize = if cfg!(test) { 4 } else { 16 };

/// A multiset of clusters.
#[derive(Debug)]
pub(super) enum Tally {
    Few(SmallVec<[(ClusterId, u32); 2]>),
    Many(Map<ClusterId, u32>),
}

impl Default for Tally {
    fn default() -> Self {
        Self::Few(SmallVec::new())
    }
}

impl Tally {
    pub(super) fn add(&mut self, cluster: ClusterId) {
        match self {
            Self::Few(list) => {
                if let Some(entry) = list.iter_mut().find(|e| e.0 == cluster) {
                    entry.1 += 1;
                } else if list.len() < LISTED {
                    list.push((cluster, 1));
                } else {
                    let mut map: Map<ClusterId, u32> = list.iter().copied().collect();
                    map.insert(cluster, 1);
                    *self = Self::Many(map);
                }
            }
            Self::Many(map) => *map.entry(cluster).or_default() += 1,
        }
    }

    pub(super) fn remove(&mut self, cluster: ClusterId) {
        match self {
            Self::Few(list) => {
                if let Some(place) = list.iter().position(|e| e.0 == cluster) {
                    list[place].1 -= 1;
                    if list[place].1 == 0 {
                        list.swap_remove(place);
                    }
                }
            }
            Self::Many(map) => {
                if let Some(count) = map.get_mut(&cluster) {
                    *count -= 1;
                    if *count == 0 {
                        map.remove(&cluster);
                    }
                }
                if map.len() <= LISTED / 2 {
                    *self = Self::Few(map.iter().map(|(&c, &n)| (c, n)).collect());
                }
            }
        }
    }

    /// Number of different clusters.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Few(list) => list.len(),
            Self::Many(map) => map.len(),
        }
    }

    /// The different clusters.
    pub(super) fn clusters(&self) -> SmallVec<[ClusterId; 4]> {
        match self {
            Self::Few(list) => list.iter().map(|e| e.0).collect(),
            Self::Many(map) => map.keys().copied().collect(),
        }
    }
}
