//! The identity rules as a naive batch function: `spec/identity.py` of the tests, in Rust.
//!
//! It is the specification in code of every [`super::Engine`], and shares nothing with them. The
//! tests compare it with the Python text itself.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{FOREVER, IdentityConfig, NO_LIMIT, Own, Sighting};
use crate::model::{CommandKind, EventKey, Ident};

/// A cluster as its members.
pub type Members = BTreeSet<Ident>;

/// Who is who.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Resolved {
    /// The person of each event, as the members of the cluster that it ends at; `None` for an event
    /// without identifiers.
    pub events: BTreeMap<EventKey, Option<Members>>,
    /// Where each identifier leads (see [`super::Membership`]), and whether its cluster is public.
    pub identifiers: BTreeMap<Ident, (Members, bool)>,
}

type Pair = (Ident, Ident);

/// The sightings that are left when identifiers and events are erased: an event that carries an
/// erased identifier or is itself erased is not there, nor is a command on an erased identifier.
pub fn erase(
    sightings: &[Sighting],
    identifiers: &BTreeSet<Ident>,
    events: &BTreeSet<u128>,
) -> Vec<Sighting> {
    let kept = |sighting: &&Sighting| match sighting {
        Sighting::Event(key, idents) => {
            !events.contains(&{ key.id }) && !idents.iter().any(|i| identifiers.contains(i))
        }
        Sighting::Command(_, c) => !identifiers.contains(&c.x) && !identifiers.contains(&c.y),
    };
    sightings.iter().filter(kept).cloned().collect()
}

/// Resolves the set of sightings.
///
/// An unmerge with an identifier that no event and no merge in force names keeps nothing apart; the
/// Python text leaves that case out.
pub fn resolve(config: &IdentityConfig, sightings: &[Sighting]) -> Resolved {
    let mut rules = Rules::new(config, sightings);
    rules.cluster_all();
    rules.claim_all();
    rules.result()
}

struct Rules<'a> {
    config: &'a IdentityConfig,
    events: BTreeMap<EventKey, Vec<Ident>>,
    joined: Vec<Pair>,
    apart: Vec<Pair>,
    nodes: BTreeSet<Ident>,
    hubs: BTreeSet<Ident>,
    root: HashMap<Ident, Ident>,
    members: HashMap<Ident, Members>,
    given: HashMap<Ident, Ident>,
    claims: HashMap<Ident, BTreeSet<(EventKey, Ident)>>,
    public: BTreeSet<Ident>,
}

impl<'a> Rules<'a> {
    fn new(config: &'a IdentityConfig, sightings: &[Sighting]) -> Self {
        let strength = |i: &Ident| config.strength(*i);
        let mut events = BTreeMap::new();
        let mut word = BTreeMap::new();
        for sighting in sightings {
            match sighting {
                Sighting::Event(key, idents) => {
                    let mut idents = idents.to_vec();
                    idents.sort_by_key(strength);
                    events.insert(*key, idents);
                }
                Sighting::Command(key, command) => {
                    let mut pair = [command.x, command.y];
                    pair.sort_by_key(strength);
                    let order = (key.time, key.id);
                    let entry = word.entry((pair[0], pair[1])).or_insert((order, command.kind));
                    if order > entry.0 {
                        *entry = (order, command.kind);
                    }
                }
            }
        }
        let mut newest: Vec<_> = word.into_iter().map(|(p, (o, k))| (o, p, k)).collect();
        newest.sort_by(|a, b| b.cmp(a));
        let of = |kind| newest.iter().filter(move |w| w.2 == kind).map(|w| w.1);
        let joined: Vec<Pair> = of(CommandKind::Merge).collect();
        let apart: Vec<Pair> = of(CommandKind::Unmerge).collect();
        let mut nodes: BTreeSet<Ident> = events.values().flatten().copied().collect();
        nodes.extend(joined.iter().flat_map(|p| [p.0, p.1]));
        Self {
            config,
            events,
            joined,
            apart,
            nodes,
            hubs: BTreeSet::new(),
            root: HashMap::new(),
            members: HashMap::new(),
            given: HashMap::new(),
            claims: HashMap::new(),
            public: BTreeSet::new(),
        }
    }

    fn rank(&self, ident: Ident) -> u8 {
        self.config.rank(ident)
    }

    fn root(&self, ident: Ident) -> Ident {
        self.root.get(&ident).copied().unwrap_or(ident)
    }

    fn cluster_all(&mut self) {
        let mut raw: BTreeSet<Pair> = BTreeSet::new();
        for idents in self.events.values() {
            for (place, &x) in idents.iter().enumerate() {
                for &y in &idents[place + 1..] {
                    if self.rank(x) == self.rank(y) && self.rank(x) > 0 {
                        raw.insert((x, y));
                    }
                }
            }
        }
        let mut degree: HashMap<Ident, u32> = HashMap::new();
        for (x, y) in &raw {
            *degree.entry(*x).or_default() += 1;
            *degree.entry(*y).or_default() += 1;
        }
        let limit = |i: &Ident| self.config.types[usize::from(i.kind)].degree_max;
        self.hubs = degree.iter().filter(|(i, d)| **d > limit(i)).map(|(i, _)| *i).collect();
        let mut links: Vec<Pair> = raw
            .into_iter()
            .filter(|l| !self.hubs.contains(&l.0) && !self.hubs.contains(&l.1))
            .filter(|l| !self.apart.contains(l))
            .collect();
        self.cluster(&links, &[]);
        if self.config.cluster_max != NO_LIMIT {
            let max = self.config.cluster_max as usize;
            links.retain(|l| self.members[&self.root[&l.0]].len() <= max);
        }
        links.sort_by_key(|(x, y)| ((x.token, x.kind), (y.token, y.kind)));
        let in_rank = |p: &&Pair| self.rank(p.0) == self.rank(p.1);
        let edges: Vec<Pair> = self.joined.iter().filter(in_rank).copied().chain(links).collect();
        let bars: Vec<Pair> = self.apart.iter().filter(in_rank).copied().collect();
        self.cluster(&edges, &bars);
        for (strong, weak) in self.joined.clone().into_iter().rev() {
            if self.rank(strong) < self.rank(weak) {
                self.given.insert(self.root(weak), self.root(strong));
            }
        }
    }

    /// Joins the ends of each edge in turn, unless that would bring a barred pair together.
    fn cluster(&mut self, edges: &[Pair], bars: &[Pair]) {
        self.root = self.nodes.iter().map(|i| (*i, *i)).collect();
        self.members = self.nodes.iter().map(|i| (*i, Members::from([*i]))).collect();
        for (x, y) in edges {
            let (a, b) = (self.root[x], self.root[y]);
            if a == b {
                continue;
            }
            let both: Members = self.members[&a].union(&self.members[&b]).copied().collect();
            if bars.iter().any(|(p, q)| both.contains(p) && both.contains(q)) {
                continue;
            }
            for i in self.members.remove(&b).unwrap_or_default() {
                self.root.insert(i, a);
            }
            self.members.insert(a, both);
        }
    }

    fn claim_all(&mut self) {
        let ranks: BTreeSet<u8> = self.nodes.iter().map(|i| self.rank(*i)).collect();
        for r in ranks {
            for (key, idents) in &self.events {
                let owner = idents
                    .iter()
                    .find(|y| self.rank(**y) < r && !self.public.contains(&self.root[*y]));
                let Some(owner) = owner else { continue };
                for x in idents {
                    if self.config.rank(*x) == r {
                        let claims = self.claims.entry(self.root[x]).or_default();
                        claims.insert((*key, self.root[owner]));
                    }
                }
            }
            let mut public = Vec::new();
            for (c, members) in &self.members {
                let owners: BTreeSet<Ident> =
                    self.claims.get(c).into_iter().flatten().map(|(_, o)| *o).collect();
                let many = owners.len() > self.limit(*c, |t| t.owners_max) as usize;
                if self.rank(*c) == r && r > 0 && (many || !members.is_disjoint(&self.hubs)) {
                    public.push(*c);
                }
            }
            self.public.extend(public);
        }
    }

    fn limit<T: Ord>(&self, c: Ident, of: impl Fn(&super::IdentityType) -> T) -> T {
        let types = self.members[&c].iter().map(|i| &self.config.types[usize::from(i.kind)]);
        // A cluster has a member: its root.
        types.map(of).min().expect("a cluster is not empty")
    }

    /// The cluster that `c` belongs to at `at`. Ranks fall strictly, so it ends.
    fn person(&self, c: Ident, at: EventKey) -> Ident {
        if let Some(strong) = self.given.get(&c) {
            return self.person(*strong, at);
        }
        let (Some(members), false) = (self.members.get(&c), self.public.contains(&c)) else {
            return c;
        };
        let bars: Vec<Ident> = self
            .apart
            .iter()
            .filter(|(s, w)| members.contains(w) && self.rank(*s) < self.rank(*w))
            .map(|(s, _)| self.root(*s))
            .collect();
        let held: Vec<(EventKey, Ident)> = self
            .claims
            .get(&c)
            .into_iter()
            .flatten()
            .filter(|(k, o)| bars.iter().all(|b| self.person(*o, *k) != self.person(*b, *k)))
            .copied()
            .collect();
        let strongest = members.iter().min_by_key(|i| self.config.strength(**i));
        let own = strongest.map(|i| self.config.types[usize::from(i.kind)].own);
        let claim = match own {
            Some(Own::First) => held.first(),
            Some(Own::Last) => held.last(),
            Some(Own::Time) | None => {
                let within = |span: i64, limit: i64| limit == FOREVER || span <= limit;
                let forward = self.limit(c, |t| t.forward);
                let back = self.limit(c, |t| t.back);
                let before = held
                    .iter()
                    .rfind(|(k, _)| *k <= at && within(at.time.saturating_sub(k.time), forward));
                let after = held
                    .iter()
                    .find(|(k, _)| *k > at && within(k.time.saturating_sub(at.time), back));
                before.or(after)
            }
        };
        claim.map_or(c, |(_, owner)| self.person(*owner, at))
    }

    fn result(&self) -> Resolved {
        let mut resolved = Resolved::default();
        for (key, idents) in &self.events {
            let not_public = |i: &&Ident| !self.public.contains(&self.root[*i]);
            let anchor = idents.iter().find(not_public).or(idents.first());
            let person = anchor.map(|i| self.members[&self.person(self.root[i], *key)].clone());
            resolved.events.insert(*key, person);
        }
        for ident in &self.nodes {
            let last = self.events.iter().rfind(|(_, idents)| idents.contains(ident));
            let person = match last {
                Some((key, _)) => resolved.events[key].clone(),
                None => Some(self.members[&self.person(self.root[ident], EventKey::MAX)].clone()),
            };
            let public = self.public.contains(&self.root[ident]);
            resolved.identifiers.insert(*ident, (person.unwrap_or_default(), public));
        }
        resolved
    }
}
