//! The search that finds what a cut separates.

use super::Set;
use super::slots::Node;

/// Nodes seen that are looked through; beyond, a set is.
const LISTED: usize = 16;

/// One side of the search: nodes seen, and the place in the scan.
struct Side {
    queue: Vec<Node>,
    /// The same as the queue, once that is long.
    seen: Set<Node>,
    head: usize,
    edge: usize,
}

impl Side {
    fn new(start: Node) -> Self {
        Self { queue: vec![start], seen: Set::default(), head: 0, edge: 0 }
    }

    fn has(&self, node: Node) -> bool {
        if self.seen.is_empty() { self.queue.contains(&node) } else { self.seen.contains(&node) }
    }

    /// Notes a node; false if it was seen before.
    fn see(&mut self, node: Node) -> bool {
        if self.queue.len() < LISTED {
            if self.queue.contains(&node) {
                return false;
            }
        } else {
            if self.seen.is_empty() {
                self.seen.extend(&self.queue);
            }
            if !self.seen.insert(node) {
                return false;
            }
        }
        self.queue.push(node);
        true
    }

    /// Looks at one edge.
    fn step(&mut self, neighbour: &impl Fn(Node, usize) -> Edge) -> Step {
        let Some(&node) = self.queue.get(self.head) else { return Step::Exhausted };
        match neighbour(node, self.edge) {
            Edge::End => {
                self.head += 1;
                self.edge = 0;
                Step::Nothing
            }
            Edge::Closed => {
                self.edge += 1;
                Step::Nothing
            }
            Edge::To(next) => {
                self.edge += 1;
                if self.see(next) { Step::Found(next) } else { Step::Nothing }
            }
        }
    }
}

/// What one step of the search showed.
enum Step {
    /// A node that this side had not seen.
    Found(Node),
    /// Nothing new.
    Nothing,
    /// There is no edge left: what this side has seen is a whole part.
    Exhausted,
}

/// What stands at one place of a node's list of edges.
pub(super) enum Edge {
    /// An edge that counts.
    To(Node),
    /// One that does not.
    Closed,
    /// Past the last.
    End,
}

/// After an edge between `a` and `b` went: the nodes of the side that is exhausted first, or `None`
/// if they are still connected; and how many steps that took.
///
/// Both sides advance one edge at a time, so the cost is twice the edges of the smaller side, and a
/// hub costs no more than its leaf.
pub(super) fn cut(
    a: Node,
    b: Node,
    neighbour: impl Fn(Node, usize) -> Edge,
) -> (Option<Vec<Node>>, u64) {
    let (mut here, mut there) = (Side::new(a), Side::new(b));
    for steps in 1.. {
        match here.step(&neighbour) {
            Step::Exhausted => return (Some(here.queue), steps),
            Step::Found(node) if there.has(node) => return (None, steps),
            Step::Found(_) | Step::Nothing => {}
        }
        std::mem::swap(&mut here, &mut there);
    }
    (None, 0) // there are fewer steps than numbers
}
