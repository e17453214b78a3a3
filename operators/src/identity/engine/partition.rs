//! Dynamic connectivity: a partition of nodes, and the search that finds what a cut separates.

use super::Set;

use super::slots::Node;

/// Nodes in parts. A part is a number; the smaller one is relabelled when two join.
#[derive(Debug, Default)]
pub(super) struct Partition {
    part: Vec<u32>,
    place: Vec<u32>,
    members: Vec<Vec<Node>>,
    free: Vec<u32>,
}

impl Partition {
    /// A new part with one node.
    pub(super) fn add(&mut self, node: Node) {
        let index = node as usize;
        if self.part.len() <= index {
            self.part.resize(index + 1, u32::MAX);
            self.place.resize(index + 1, 0);
        }
        let part = self.fresh();
        self.put(node, part);
    }

    /// Takes a node that is alone in its part out.
    pub(super) fn remove(&mut self, node: Node) {
        let part = self.of(node);
        self.members[part as usize].clear();
        self.free.push(part);
    }

    fn fresh(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            self.members.push(Vec::new());
            (self.members.len() - 1) as u32
        })
    }

    fn put(&mut self, node: Node, part: u32) {
        let members = &mut self.members[part as usize];
        self.part[node as usize] = part;
        self.place[node as usize] = members.len() as u32;
        members.push(node);
    }

    /// The part of a node.
    pub(super) fn of(&self, node: Node) -> u32 {
        self.part[node as usize]
    }

    /// The nodes of a part.
    pub(super) fn members(&self, part: u32) -> &[Node] {
        &self.members[part as usize]
    }

    /// Number of nodes in a node's part.
    pub(super) fn size(&self, node: Node) -> usize {
        self.members[self.of(node) as usize].len()
    }

    /// Makes one part of two different ones; returns the number that is no more.
    pub(super) fn join(&mut self, a: Node, b: Node) -> u32 {
        let (mut keep, mut lose) = (self.of(a), self.of(b));
        if self.members[keep as usize].len() < self.members[lose as usize].len() {
            std::mem::swap(&mut keep, &mut lose);
        }
        for node in std::mem::take(&mut self.members[lose as usize]) {
            self.put(node, keep);
        }
        self.free.push(lose);
        lose
    }

    /// Moves nodes of one part into a new part of their own.
    pub(super) fn separate(&mut self, nodes: &[Node]) {
        let to = self.fresh();
        for &node in nodes {
            let place = self.place[node as usize] as usize;
            let members = &mut self.members[self.part[node as usize] as usize];
            members.swap_remove(place);
            if let Some(&moved) = members.get(place) {
                self.place[moved as usize] = place as u32;
            }
            self.put(node, to);
        }
    }
}

/// One side of the search: nodes seen, and the place in the scan.
struct Side {
    queue: Vec<Node>,
    seen: Set<Node>,
    head: usize,
    edge: usize,
}

impl Side {
    fn new(start: Node) -> Self {
        Self { queue: vec![start], seen: Set::from_iter([start]), head: 0, edge: 0 }
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
                if self.seen.insert(next) {
                    self.queue.push(next);
                    Step::Found(next)
                } else {
                    Step::Nothing
                }
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
/// if they are still connected.
///
/// Both sides advance one edge at a time, so the cost is twice the edges of the smaller side, and a
/// hub costs no more than its leaf.
pub(super) fn cut(a: Node, b: Node, neighbour: impl Fn(Node, usize) -> Edge) -> Option<Vec<Node>> {
    let (mut here, mut there) = (Side::new(a), Side::new(b));
    loop {
        match here.step(&neighbour) {
            Step::Exhausted => return Some(here.queue),
            Step::Found(node) if there.seen.contains(&node) => return None,
            Step::Found(_) | Step::Nothing => {}
        }
        std::mem::swap(&mut here, &mut there);
    }
}
