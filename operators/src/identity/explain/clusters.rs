//! Clusters, each with the links and commands that made it, and those that did not count.

use std::collections::{BTreeMap, HashMap};

use foldhash::fast::FixedState;

use super::{Standing, Word};
use crate::identity::{FOREVER, IdentityConfig, NO_LIMIT, Own, Sighting};
use crate::model::{CommandKind, EventKey, Ident, Micros};

/// An identifier by its place in the order of strength: the lesser is the stronger.
pub(super) type Node = u32;

/// A cluster.
#[derive(Clone, Debug)]
pub(super) struct Cluster {
    pub members: Vec<Node>,
    pub owners_max: u32,
    pub forward: Micros,
    pub back: Micros,
    pub own: Own,
}

/// All clusters.
#[derive(Debug)]
pub(super) struct Clusters<'a> {
    pub config: &'a IdentityConfig,
    /// Strongest first.
    pub idents: Vec<Ident>,
    places: HashMap<Ident, Node, FixedState>,
    /// In order, with their identifiers, strongest first.
    pub events: Vec<(EventKey, Vec<Node>)>,
    /// Newest first.
    pub words: Vec<Word>,
    pub links: BTreeMap<(Node, Node), Standing>,
    /// Different neighbours of each.
    pub degree: Vec<u32>,
    /// The strongest of the cluster that each is in: what stands for the cluster.
    pub lead: Vec<Node>,
    pub by_lead: BTreeMap<Node, Cluster>,
}

impl<'a> Clusters<'a> {
    pub(super) fn new(config: &'a IdentityConfig, sightings: &[Sighting]) -> Self {
        let words = words(config, sightings);
        let in_force = |kind| words.iter().filter(move |w| w.kind == kind && w.counts());
        let carried = sightings.iter().flat_map(|sighting| match sighting {
            Sighting::Event(_, idents) => idents.as_slice(),
            Sighting::Command(..) => &[],
        });
        let merged = in_force(CommandKind::Merge).flat_map(|word| [&word.pair.0, &word.pair.1]);
        let mut idents: Vec<Ident> = carried.chain(merged).copied().collect();
        idents.sort_unstable_by_key(|ident| config.strength(*ident));
        idents.dedup();
        let places: HashMap<Ident, Node, FixedState> =
            idents.iter().zip(0..).map(|(ident, place)| (*ident, place)).collect();
        let mut events: Vec<(EventKey, Vec<Node>)> = Vec::new();
        for sighting in sightings {
            let Sighting::Event(key, carried) = sighting else { continue };
            let mut nodes: Vec<Node> = carried.iter().map(|ident| places[ident]).collect();
            nodes.sort_unstable();
            events.push((*key, nodes));
        }
        events.sort_unstable();
        let count = idents.len();
        let mut clusters = Self {
            config,
            idents,
            places,
            events,
            words,
            links: BTreeMap::new(),
            degree: vec![0; count],
            lead: Vec::new(),
            by_lead: BTreeMap::new(),
        };
        clusters.find_links();
        clusters.join();
        clusters
    }

    pub(super) fn node(&self, ident: Ident) -> Option<Node> {
        self.places.get(&ident).copied()
    }

    pub(super) fn ident(&self, node: Node) -> Ident {
        self.idents[node as usize]
    }

    pub(super) fn lead(&self, node: Node) -> Node {
        self.lead[node as usize]
    }

    pub(super) fn rank(&self, node: Node) -> u8 {
        self.config.rank(self.ident(node))
    }

    /// Whether it is linked with too many others.
    pub(super) fn is_hub(&self, node: Node) -> bool {
        self.degree[node as usize] > self.degree_max(node)
    }

    pub(super) fn degree_max(&self, node: Node) -> u32 {
        self.config.types[usize::from(self.ident(node).kind)].degree_max
    }

    /// The commands of a kind that are the last on their pair, newest first, by place; those on
    /// identifiers that nothing else names are none.
    pub(super) fn in_force(
        &self,
        kind: CommandKind,
    ) -> impl Iterator<Item = (usize, (Node, Node))> + '_ {
        self.words.iter().enumerate().filter_map(move |(place, word)| {
            let pair = (self.node(word.pair.0)?, self.node(word.pair.1)?);
            (word.kind == kind && word.overruled_by.is_none()).then_some((place, pair))
        })
    }

    /// Identifiers of one rank in one event are linked, save those of rank 0.
    fn find_links(&mut self) {
        let mut links: BTreeMap<(Node, Node), Standing> = BTreeMap::new();
        for (_, nodes) in &self.events {
            for (place, &x) in nodes.iter().enumerate() {
                let rank = self.rank(x);
                let others = nodes[place + 1..].iter().take_while(|y| self.rank(**y) == rank);
                let linked = others.filter(|_| rank > 0);
                links.extend(linked.map(|&y| ((x, y), Standing::Counts { only: false })));
            }
        }
        self.links = links;
        for (x, y) in self.links.keys() {
            self.degree[*x as usize] += 1;
            self.degree[*y as usize] += 1;
        }
    }

    fn join(&mut self) {
        let unmerged: HashMap<(Node, Node), EventKey, FixedState> = self
            .in_force(CommandKind::Unmerge)
            .map(|(place, pair)| (pair, self.words[place].key))
            .collect();
        let mut links = std::mem::take(&mut self.links);
        for (pair, standing) in &mut links {
            let hub = [pair.0, pair.1].into_iter().find(|node| self.is_hub(*node));
            if let Some(hub) = hub {
                *standing = Standing::Hub { ident: self.ident(hub) };
            } else if let Some(by) = unmerged.get(pair) {
                *standing = Standing::Unmerged { by: *by };
            }
        }
        let counts = |standing: &Standing| matches!(standing, Standing::Counts { .. });
        if self.config.cluster_max != NO_LIMIT {
            let mut sets = Sets::new(self.idents.len(), &[]);
            for (pair, _) in links.iter().filter(|(_, standing)| counts(standing)) {
                let _ = sets.join(*pair);
            }
            for (pair, standing) in links.iter_mut().filter(|(_, standing)| counts(standing)) {
                let members = sets.size(pair.0);
                if members > self.config.cluster_max {
                    *standing = Standing::TooLarge { members };
                }
            }
        }
        let in_rank = |pair: &(Node, Node)| self.rank(pair.0) == self.rank(pair.1);
        let bars: Vec<(Node, Node, EventKey)> = self
            .in_force(CommandKind::Unmerge)
            .filter(|(_, pair)| in_rank(pair))
            .map(|(place, pair)| (pair.0, pair.1, self.words[place].key))
            .collect();
        let merges: Vec<_> =
            self.in_force(CommandKind::Merge).filter(|(_, pair)| in_rank(pair)).collect();
        let mut sets = Sets::new(self.idents.len(), &bars);
        for (place, pair) in merges {
            if let Err(by) = sets.join(pair) {
                self.words[place].refused_by = Some(by);
            }
        }
        // Within a rank, identifiers in the order of strength are in the order of tokens.
        for (pair, standing) in links.iter_mut().filter(|(_, standing)| counts(standing)) {
            if let Err(by) = sets.join(*pair) {
                *standing = Standing::Apart { by };
            }
        }
        self.links = links;
        self.settle(&mut sets);
    }

    fn settle(&mut self, sets: &mut Sets) {
        let mut leads: HashMap<Node, Node, FixedState> = HashMap::default();
        for node in 0..self.idents.len() as Node {
            let lead = *leads.entry(sets.find(node)).or_insert(node);
            self.lead.push(lead);
            let own = &self.config.types[usize::from(self.ident(node).kind)];
            let cluster = self.by_lead.entry(lead).or_insert_with(|| Cluster {
                members: Vec::new(),
                owners_max: NO_LIMIT,
                forward: FOREVER,
                back: FOREVER,
                own: own.own,
            });
            cluster.members.push(node);
            cluster.owners_max = cluster.owners_max.min(own.owners_max);
            cluster.forward = cluster.forward.min(own.forward);
            cluster.back = cluster.back.min(own.back);
        }
    }
}

/// All commands, newest first, each with what overrules it.
fn words(config: &IdentityConfig, sightings: &[Sighting]) -> Vec<Word> {
    let mut commands: Vec<(EventKey, CommandKind, (Ident, Ident))> = Vec::new();
    for sighting in sightings {
        let Sighting::Command(key, command) = sighting else { continue };
        let mut pair = [command.x, command.y];
        pair.sort_unstable_by_key(|ident| config.strength(*ident));
        commands.push((*key, command.kind, (pair[0], pair[1])));
    }
    // The order of commands is (time, id).
    let order = |key: EventKey| (key.time, key.id);
    commands.sort_by(|a, b| {
        let newer = (order(b.0), b.2).cmp(&(order(a.0), a.2));
        newer.then_with(|| a.0.cmp(&b.0))
    });
    let mut last: HashMap<(Ident, Ident), EventKey, FixedState> = HashMap::default();
    let word = |(key, kind, pair): (EventKey, CommandKind, (Ident, Ident))| {
        let overruled_by = last.get(&pair).copied();
        last.entry(pair).or_insert(key);
        Word { pair, kind, key, overruled_by, refused_by: None }
    };
    commands.into_iter().map(word).collect()
}

/// Sets that are joined, unless that would bring a barred pair together.
struct Sets {
    parent: Vec<Node>,
    size: Vec<u32>,
    /// For members of a set that must be kept apart from others: whom from, and by what.
    bars: HashMap<Node, Vec<(Node, EventKey)>, FixedState>,
}

impl Sets {
    fn new(count: usize, barred: &[(Node, Node, EventKey)]) -> Self {
        let mut bars: HashMap<Node, Vec<(Node, EventKey)>, FixedState> = HashMap::default();
        for &(x, y, by) in barred {
            bars.entry(x).or_default().push((y, by));
            bars.entry(y).or_default().push((x, by));
        }
        Self { parent: (0..count as Node).collect(), size: vec![1; count], bars }
    }

    fn find(&mut self, mut node: Node) -> Node {
        while self.parent[node as usize] != node {
            let above = self.parent[self.parent[node as usize] as usize];
            self.parent[node as usize] = above;
            node = above;
        }
        node
    }

    fn size(&mut self, node: Node) -> u32 {
        let root = self.find(node);
        self.size[root as usize]
    }

    /// Joins the sets of two.
    ///
    /// # Errors
    ///
    /// The unmerge that keeps them apart.
    fn join(&mut self, (x, y): (Node, Node)) -> Result<(), EventKey> {
        let (x, y) = (self.find(x), self.find(y));
        if x == y {
            return Ok(());
        }
        let count = |of: &Self, root| of.bars.get(&root).map_or(0, Vec::len);
        let (few, other) = if count(self, x) <= count(self, y) { (x, y) } else { (y, x) };
        let few_bars = self.bars.remove(&few).unwrap_or_default();
        let between = few_bars.iter().filter(|(from, _)| self.root(*from) == other);
        // Of several the newest is named.
        if let Some(by) = between.map(|(_, by)| *by).max() {
            self.bars.insert(few, few_bars);
            return Err(by);
        }
        let larger = if self.size[x as usize] >= self.size[y as usize] { x } else { y };
        let smaller = if larger == x { y } else { x };
        let mut bars = self.bars.remove(&other).unwrap_or_default();
        bars.extend(few_bars);
        if !bars.is_empty() {
            self.bars.insert(larger, bars);
        }
        self.parent[smaller as usize] = larger;
        self.size[larger as usize] += self.size[smaller as usize];
        Ok(())
    }

    fn root(&self, mut node: Node) -> Node {
        while self.parent[node as usize] != node {
            node = self.parent[node as usize];
        }
        node
    }
}
