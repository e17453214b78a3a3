//! Groups of connected identifiers, and the clusters that unmerges make of them.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::code::{Pair, Part};
use super::links::{Commands, ends};
use super::table::{Keyed, Table, components};
use super::{Cluster, Node, rank};
use crate::identity::{IdentityConfig, NO_LIMIT};

/// Pairs as edges in both directions.
fn both_ways<'scope, V: super::code::Coded>(
    name: &str,
    pairs: Table<'scope, Pair, V>,
) -> Table<'scope, Node, Node> {
    pairs.flat_map(name, |(x, y), _| [(x, y), (y, x)])
}

/// The links of units, connected by links, that have no more than `cluster_max` members.
fn of_small_units<'scope>(
    links: Table<'scope, Pair, ()>,
    config: &IdentityConfig,
) -> Table<'scope, Pair, ()> {
    if config.cluster_max == NO_LIMIT {
        return links;
    }
    let max = config.cluster_max;
    let edges = both_ways("Identity: links both ways", links.clone());
    let linked = edges.clone().map("Identity: linked", |node, _| (node, ()));
    let units = components("Identity: units", linked, edges);
    let members = units.clone().map("Identity: members of units", |node, unit| (unit, node));
    let large = members.frequent("Identity: large units", move |_| max);
    let units = units.keyed("Identity: unit of identifier");
    links
        .map("Identity: ends of links", |(x, y), ()| (x, y))
        .keyed("Identity: links by end")
        .join("Identity: unit of link", &units, |x, y, unit| [(unit, (x, y))])
        .without("Identity: links of large units", large)
        .map("Identity: links of small units", |_, pair| (pair, ()))
}

/// The cluster of each identifier. Of merges and unmerges those inside a rank count.
pub(super) fn clusters<'scope>(
    nodes: Table<'scope, Node, ()>,
    links: Table<'scope, Pair, ()>,
    commands: &Commands<'scope>,
    config: &Arc<IdentityConfig>,
) -> Keyed<'scope, Node, Cluster> {
    let types = Arc::clone(config);
    let in_rank = move |(x, y): Pair, _| rank(&types, x) == rank(&types, y);
    let merges = commands.merges.clone().filter("Identity: merges in a rank", in_rank.clone());
    let bars = commands.unmerges.clone().filter("Identity: unmerges in a rank", in_rank);

    let links = of_small_units(links, config);
    let joined = both_ways("Identity: merges both ways", merges.clone());
    let edges = both_ways("Identity: small links both ways", links.clone()).concat([joined]);
    let groups = components("Identity: groups", nodes, edges);

    let group_of = groups.clone().keyed("Identity: group of identifier");
    let bars = ends("Identity: groups of unmerges", bars, &group_of)
        .flat_map("Identity: unmerges in a group", |(x, y), (_, pair)| {
            (x == y).then_some((x, Part::Bar(pair)))
        });
    let barred = bars.clone().keys("Identity: barred groups");

    let links = links.map("Identity: links as parts", |pair, ()| (pair.0, Part::Link(pair)));
    let parts = merges
        .map("Identity: merges as parts", |pair, order| (pair.0, Part::Merge(Reverse(order), pair)))
        .concat([links])
        .keyed("Identity: parts by end")
        .join("Identity: group of part", &group_of, |_, part, group| [(group, part)])
        .within("Identity: parts of barred groups", barred.clone())
        .concat([bars]);
    let divided = parts
        .reduce("Identity: divide", |_, parts| divide(parts.iter().map(|part| part.0)))
        .table()
        .map("Identity: divided groups", |_, (node, cluster)| (node, cluster));
    groups
        .map("Identity: members of groups", |node, group| (group, node))
        .without("Identity: whole groups", barred)
        .map("Identity: groups as clusters", |group, node| (node, group))
        .concat([divided])
        .keyed("Identity: cluster of identifier")
}

/// Joins the ends of each edge in turn, unless that would bring a barred pair together. Returns the
/// cluster of each identifier that an edge names.
fn divide(parts: impl Iterator<Item = Part>) -> Vec<(Node, Cluster)> {
    let mut bars = Vec::new();
    let mut cluster: BTreeMap<Node, usize> = BTreeMap::new();
    let mut members: Vec<BTreeSet<Node>> = Vec::new();
    for part in parts {
        let (x, y) = match part {
            Part::Bar(pair) => {
                bars.push(pair);
                continue;
            }
            Part::Merge(_, pair) | Part::Link(pair) => pair,
        };
        let mut place = |node: Node| {
            *cluster.entry(node).or_insert_with(|| {
                members.push(BTreeSet::from([node]));
                members.len() - 1
            })
        };
        let (a, b) = (place(x), place(y));
        let spans = |(p, q): &Pair| {
            let across =
                |one: usize, other: usize| members[one].contains(p) && members[other].contains(q);
            across(a, b) || across(b, a)
        };
        if a == b || bars.iter().any(spans) {
            continue;
        }
        let moved = std::mem::take(&mut members[b]);
        for &node in &moved {
            cluster.insert(node, a);
        }
        members[a].extend(moved);
    }
    let named = members.into_iter().filter_map(|nodes| Some((*nodes.first()?, nodes)));
    named.flat_map(|(first, nodes)| nodes.into_iter().map(move |node| (node, first))).collect()
}
