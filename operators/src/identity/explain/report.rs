//! What there is to say about one person.

use std::collections::{BTreeMap, BTreeSet};

use super::claims::Step;
use super::clusters::Node;
use super::{Belongs, Claim, Evidence, Explained, Holds, Identifier, Link, Part, Standing, Word};
use crate::identity::{FOREVER, Own};
use crate::model::{CommandKind, EventKey, Ident, Micros, Token};

impl Evidence<'_> {
    /// The person id of an event; none if it has no identifiers or is not among the sightings.
    pub fn person_of(&self, event: EventKey) -> Option<Token> {
        let events = &self.claims.clusters.events;
        let place = events.binary_search_by_key(&event, |(key, _)| *key).ok()?;
        self.person_at(place).map(|lead| self.name(lead))
    }

    /// The person id that an identifier leads to now (see [`crate::identity::Membership`]); none if
    /// nothing names it.
    pub fn leads_to(&self, ident: Ident) -> Option<Token> {
        let node = self.claims.clusters.node(ident)?;
        let events = &self.claims.clusters.events;
        let last = events.iter().rposition(|(_, nodes)| nodes.contains(&node));
        Some(self.name(self.now(node, last)))
    }

    /// All person ids.
    pub fn people(&self) -> BTreeSet<Token> {
        let clusters = &self.claims.clusters;
        let mut leads: BTreeSet<Node> =
            (0..clusters.events.len()).filter_map(|place| self.person_at(place)).collect();
        let last = self.last_events();
        let nodes = 0..clusters.idents.len() as Node;
        leads.extend(nodes.map(|node| self.now(node, last.get(&node).copied())));
        leads.into_iter().map(|lead| self.name(lead)).collect()
    }

    /// All there is to say about the person with an id; none if nobody has it.
    pub fn explain(&self, person: Token) -> Option<Explained> {
        let clusters = &self.claims.clusters;
        let named: Vec<Node> =
            clusters.by_lead.keys().copied().filter(|lead| self.name(*lead) == person).collect();
        let mut events: Vec<(usize, Belongs)> = Vec::new();
        let mut of: BTreeSet<Node> = BTreeSet::new();
        for (place, (key, nodes)) in clusters.events.iter().enumerate() {
            let Some(anchor) = self.claims.anchor(nodes) else { continue };
            let lead = clusters.lead(anchor);
            if !named.contains(&self.claims.person(lead, *key)) {
                continue;
            }
            let through = self.claims.path(lead, *key);
            // A path names clusters by their strongest, which lead them.
            of.insert(lead);
            of.extend(through.iter().filter_map(|step| clusters.node(step.owner)));
            events.push((place, Belongs { key: *key, anchor: clusters.ident(anchor), through }));
        }
        let last = self.last_events();
        let now = |node: Node| -> Node { self.now(node, last.get(&node).copied()) };
        let leads_here = (0..clusters.idents.len() as Node).any(|node| named.contains(&now(node)));
        if events.is_empty() && !leads_here {
            return None;
        }
        for lead in clusters.by_lead.keys() {
            let ends = |at| named.contains(&self.claims.person(*lead, at));
            let claims = self.claims.of.get(lead).into_iter().flatten();
            let mut held = claims.filter(|claim| claim.refused_by.is_none());
            let public = self.claims.public.contains_key(lead);
            let mut claimed =
                || held.any(|claim| named.contains(&self.claims.person(claim.owner, claim.key)));
            if ends(EventKey::MAX) || !public && claimed() {
                of.insert(*lead);
            }
        }
        let places: Vec<usize> = events.iter().map(|(place, _)| *place).collect();
        let links = self.links(&of);
        Some(Explained {
            person,
            identifiers: self.identifiers(&named, &of, &places, now),
            claims: self.claims_of(&of),
            commands: self.commands(&of),
            events: events.into_iter().map(|(_, event)| event).collect(),
            links,
        })
    }

    /// The smallest token of a cluster.
    fn name(&self, lead: Node) -> Token {
        let clusters = &self.claims.clusters;
        let tokens = clusters.by_lead[&lead].members.iter();
        tokens.map(|node| clusters.ident(*node).token).min().unwrap_or_default()
    }

    fn person_at(&self, place: usize) -> Option<Node> {
        let (key, nodes) = &self.claims.clusters.events[place];
        let anchor = self.claims.anchor(nodes)?;
        Some(self.claims.person(self.claims.clusters.lead(anchor), *key))
    }

    /// Where an identifier leads now; `last` is the last event that carries it.
    fn now(&self, node: Node, last: Option<usize>) -> Node {
        let of_event = last.and_then(|place| self.person_at(place));
        let alone = || self.claims.person(self.claims.clusters.lead(node), EventKey::MAX);
        of_event.unwrap_or_else(alone)
    }

    /// The last event that carries each identifier.
    fn last_events(&self) -> BTreeMap<Node, usize> {
        let events = self.claims.clusters.events.iter().enumerate();
        events
            .flat_map(|(place, (_, nodes))| nodes.iter().map(move |node| (*node, place)))
            .collect()
    }

    fn identifiers(
        &self,
        named: &[Node],
        of: &BTreeSet<Node>,
        events: &[usize],
        now: impl Fn(Node) -> Node,
    ) -> Vec<Identifier> {
        let clusters = &self.claims.clusters;
        let members = of.iter().flat_map(|lead| &clusters.by_lead[lead].members);
        let seen = events.iter().flat_map(|place| &clusters.events[*place].1);
        let nodes: BTreeSet<Node> = members.chain(seen).copied().collect();
        let mut spans: BTreeMap<Node, (u64, EventKey, EventKey)> = BTreeMap::new();
        for (key, carried) in &clusters.events {
            for node in carried.iter().filter(|node| nodes.contains(node)) {
                let span = spans.entry(*node).or_insert((0, *key, *key));
                (span.0, span.2) = (span.0 + 1, *key);
            }
        }
        let identifier = |node: Node| {
            let lead = clusters.lead(node);
            let span = spans.get(&node);
            Identifier {
                ident: clusters.ident(node),
                part: match (named.contains(&lead), of.contains(&lead)) {
                    (true, _) => Part::Own,
                    (false, true) => Part::Claimed,
                    (false, false) => Part::Seen,
                },
                cluster: clusters.ident(lead),
                public: self.claims.public.get(&lead).copied(),
                now: self.name(now(node)),
                events: span.map_or(0, |span| span.0),
                seen: span.map(|span| (span.1, span.2)),
            }
        };
        nodes.into_iter().map(identifier).collect()
    }

    fn links(&self, of: &BTreeSet<Node>) -> Vec<Link> {
        let clusters = &self.claims.clusters;
        let within = |node: Node| of.contains(&clusters.lead(node));
        let mut links: BTreeMap<(Node, Node), Link> = BTreeMap::new();
        let near = clusters.links.iter().filter(|(pair, _)| within(pair.0) || within(pair.1));
        for (&(x, y), &standing) in near {
            let witnesses = Vec::new();
            let link = Link { x: clusters.ident(x), y: clusters.ident(y), standing, witnesses };
            links.insert((x, y), link);
        }
        for (key, nodes) in &clusters.events {
            for (place, x) in nodes.iter().enumerate() {
                for y in &nodes[place + 1..] {
                    if let Some(link) = links.get_mut(&(*x, *y)) {
                        link.witnesses.push(*key);
                    }
                }
            }
        }
        let in_rank = |pair: &(Node, Node)| clusters.lead(pair.0) == clusters.lead(pair.1);
        let merges = clusters.in_force(CommandKind::Merge).map(|(_, pair)| pair).filter(in_rank);
        let mut edges: Vec<(Node, Node)> = merges.filter(|pair| within(pair.0)).collect();
        edges.extend(links.iter().filter(|(_, link)| link.counts()).map(|(pair, _)| *pair));
        for pair in bridges(&edges) {
            // A merge may join two whose link does not count.
            if let Some(link) = links.get_mut(&pair).filter(|link| link.counts()) {
                link.standing = Standing::Counts { only: true };
            }
        }
        links.into_values().collect()
    }

    fn commands(&self, of: &BTreeSet<Node>) -> Vec<Word> {
        let clusters = &self.claims.clusters;
        let within = |ident: Ident| {
            clusters.node(ident).is_some_and(|node| of.contains(&clusters.lead(node)))
        };
        let words = clusters.words.iter();
        words.filter(|word| within(word.pair.0) || within(word.pair.1)).cloned().collect()
    }

    fn claims_of(&self, of: &BTreeSet<Node>) -> Vec<Claim> {
        let mut claims = Vec::new();
        for lead in of {
            claims.extend(self.runs(*lead));
        }
        claims
    }

    /// The claims on a cluster, those together that follow each other and say the same.
    fn runs(&self, lead: Node) -> Vec<Claim> {
        let clusters = &self.claims.clusters;
        let cluster = &clusters.by_lead[&lead];
        let mut runs: Vec<Claim> = Vec::new();
        for claim in self.claims.of.get(&lead).into_iter().flatten() {
            let owner = clusters.ident(claim.owner);
            let person = self.name(self.claims.person(claim.owner, claim.key));
            let holds = match claim.refused_by {
                Some(by) => Holds::Unmerged { by },
                None => self.holds(lead, claim.key, claim.owner),
            };
            let same =
                |run: &&mut Claim| run.owner == owner && run.person == person && run.holds == holds;
            match runs.last_mut().filter(same) {
                Some(run) => run.witnesses.push(claim.key),
                None => runs.push(Claim {
                    cluster: clusters.ident(lead),
                    owner,
                    person,
                    holds,
                    witnesses: vec![claim.key],
                    from: None,
                    until: None,
                }),
            }
        }
        if cluster.own == Own::Time {
            spans(&mut runs, cluster.forward, cluster.back);
        }
        runs
    }

    /// Whether a claim that no unmerge refuses can decide anything.
    fn holds(&self, lead: Node, key: EventKey, owner: Node) -> Holds {
        match self.claims.step(lead, key) {
            None | Some(Step { merged: true, .. }) => Holds::Idle,
            // At its own moment a claim is the last one, unless the first or last of all counts.
            Some(Step { to, by, .. }) if by == key || to == owner => Holds::Yes,
            Some(_) => Holds::Passed,
        }
    }
}

/// When a cluster belongs to each of its owners.
fn spans(runs: &mut [Claim], forward: Micros, back: Micros) {
    let mut before: Option<usize> = None;
    let counting: Vec<usize> =
        (0..runs.len()).filter(|place| runs[*place].holds == Holds::Yes).collect();
    let time = |key: Option<&EventKey>| key.map_or(0, |key| key.time);
    for place in counting {
        let first = time(runs[place].witnesses.first());
        let reach = (back != FOREVER).then(|| first.saturating_sub(back));
        runs[place].from = match before {
            None => reach,
            Some(before) => {
                let last = time(runs[before].witnesses.last());
                let end = if forward == FOREVER { first } else { last.saturating_add(forward) };
                runs[before].until = Some(end.min(first));
                Some(end.min(first).max(reach.unwrap_or(Micros::MIN)))
            }
        };
        let last = time(runs[place].witnesses.last());
        runs[place].until = (forward != FOREVER).then(|| last.saturating_add(forward));
        before = Some(place);
    }
}

/// The edges that alone hold together what is on their two sides; of two alike none is.
fn bridges(edges: &[(Node, Node)]) -> Vec<(Node, Node)> {
    let mut around: BTreeMap<Node, Vec<(Node, usize)>> = BTreeMap::new();
    for (number, &(x, y)) in edges.iter().enumerate() {
        around.entry(x).or_default().push((y, number));
        around.entry(y).or_default().push((x, number));
    }
    // Depth first: an edge down is a bridge if nothing below reaches up to its upper end.
    let mut order: BTreeMap<Node, usize> = BTreeMap::new();
    let mut lowest: BTreeMap<Node, usize> = BTreeMap::new();
    let mut found = Vec::new();
    for &start in around.keys() {
        if order.contains_key(&start) {
            continue;
        }
        // Where it stands, by which edge it came, and how many of the edges there are done.
        let mut way: Vec<(Node, usize, usize)> = vec![(start, usize::MAX, 0)];
        order.insert(start, order.len());
        lowest.insert(start, order[&start]);
        while let Some((node, by, done)) = way.last_mut() {
            let (node, by) = (*node, *by);
            if let Some(&(next, edge)) = around[&node].get(*done) {
                *done += 1;
                if edge == by {
                    continue;
                }
                if let Some(there) = order.get(&next) {
                    let low = lowest[&node].min(*there);
                    lowest.insert(node, low);
                } else {
                    order.insert(next, order.len());
                    lowest.insert(next, order[&next]);
                    way.push((next, edge, 0));
                }
                continue;
            }
            way.pop();
            if let Some((above, ..)) = way.last() {
                let low = lowest[&node];
                if low > order[above] {
                    found.push(edges[by]);
                }
                lowest.insert(*above, lowest[above].min(low));
            }
        }
    }
    found
}
