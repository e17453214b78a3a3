//! Events that came and are not taken in yet, so that what a group of them needs is read in one go:
//! each read of it is a line of memory far from the others, and several are under way at once.

use super::Incremental;
use super::events::Nodes;
use super::slots::{NOBODY, Node};
use crate::model::{EventKey, Ident};

/// Events that are taken in together.
const GROUP: usize = 32;

/// Events in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// Each with the end of its identifiers in the list of them.
    events: Vec<(EventKey, usize)>,
    idents: Vec<Ident>,
    /// The node of each identifier, or [`NOBODY`].
    nodes: Vec<Node>,
}

impl Waiting {
    pub(super) fn len(&self) -> usize {
        self.events.len()
    }

    /// Adds an event; whether the group is full.
    pub(super) fn push(&mut self, key: EventKey, idents: &[Ident]) -> bool {
        self.idents.extend_from_slice(idents);
        self.events.push((key, self.idents.len()));
        self.events.len() >= GROUP
    }

    fn clear(&mut self) {
        self.events.clear();
        self.idents.clear();
        self.nodes.clear();
    }
}

impl Incremental {
    /// Takes in the events that wait.
    pub(super) fn take_in(&mut self) {
        let mut waiting = std::mem::take(&mut self.waiting);
        self.read_ahead(&mut waiting);
        let mut from = 0;
        for &(key, end) in &waiting.events {
            self.changed.by = key;
            let known = &waiting.nodes[from..end];
            if known.contains(&NOBODY) {
                let nodes = self.intern_all(&waiting.idents[from..end], known);
                self.add_event(key, &nodes);
            } else {
                self.add_event(key, known);
            }
            from = end;
        }
        waiting.clear();
        self.waiting = waiting;
    }

    /// Finds the nodes of those identifiers that are there, and reads what else the events need.
    /// What is read does not matter, but must not be optimised away.
    fn read_ahead(&self, waiting: &mut Waiting) {
        let mut read = false;
        for &ident in &waiting.idents {
            read ^= self.nodes.touch(ident);
        }
        waiting.nodes.extend(waiting.idents.iter().map(|&ident| self.nodes.guess(ident)));
        for (node, &ident) in waiting.nodes.iter_mut().zip(&waiting.idents) {
            if *node != NOBODY && self.nodes[*node].ident() != ident {
                *node = self.nodes.find(ident).unwrap_or(NOBODY);
            }
        }
        let mut sum: u32 = 0;
        for &node in waiting.nodes.iter().filter(|&&node| node != NOBODY) {
            let record = &self.nodes[node];
            sum ^= record.events.last(&self.events).unwrap_or(0)
                ^ record.neighbours.get(0).unwrap_or(0);
            read ^= self.clusters[record.cluster].is_plain();
        }
        std::hint::black_box((read, sum));
    }

    /// The nodes of an event's identifiers. One that is new goes where its link with another one of
    /// the event will bring it, if that is certain.
    fn intern_all(&mut self, idents: &[Ident], known: &[Node]) -> Nodes {
        let mut nodes = Nodes::from_slice(known);
        for (node, ident) in nodes.iter_mut().zip(idents) {
            if *node == NOBODY {
                // An event of the same group may have brought it.
                *node = self.nodes.find(*ident).unwrap_or(NOBODY);
            }
        }
        if !nodes.contains(&NOBODY) {
            return nodes;
        }
        let calm = self.is_calm(idents, &nodes);
        for place in 0..nodes.len() {
            if nodes[place] == NOBODY {
                let rank = self.config.rank(idents[place]);
                let beside = nodes.iter().copied().find(|&node| {
                    calm && rank > 0
                        && node != NOBODY
                        && rank == self.rank(node)
                        && !self.nodes[node].is_hub()
                        && !self.is_divided(node)
                });
                nodes[place] = self.create(idents[place], beside);
            }
        }
        nodes
    }

    /// Whether the links of an event part nothing, as they do where an identifier becomes a hub or
    /// a unit too large. `nodes` are its identifiers, `NOBODY` for those that are new.
    fn is_calm(&self, idents: &[Ident], nodes: &[Node]) -> bool {
        let degree = |node: Node| match node {
            NOBODY => 0,
            node => self.nodes[node].neighbours.len(),
        };
        idents.iter().zip(nodes).all(|(ident, &node)| {
            let degree_max = self.config.types[usize::from(ident.kind)].degree_max as usize;
            (node != NOBODY && self.nodes[node].is_hub())
                || degree(node) + idents.len() <= degree_max
        }) && self.links.have_room(nodes)
    }
}
