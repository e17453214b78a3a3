//! What is linked with what: commands in force, raw links, hubs.

use std::sync::Arc;

use super::code::Pair;
use super::table::{Keyed, Table};
use super::{Cluster, Node, Order};
use crate::identity::{IdentityConfig, NO_LIMIT};
use crate::model::{CommandKind, EventKey};

/// Merges and unmerges in force.
pub(super) struct Commands<'scope> {
    /// Pairs to join.
    pub merges: Table<'scope, Pair, Order>,
    /// Pairs to keep apart.
    pub unmerges: Table<'scope, Pair, Order>,
}

/// The last word on each pair.
pub(super) fn commands(all: Table<'_, Pair, (Order, CommandKind)>) -> Commands<'_> {
    let words = all.largest("Identity: last word").table();
    let of = |which| {
        move |pair, (order, kind): (Order, CommandKind)| (kind == which).then_some((pair, order))
    };
    Commands {
        merges: words.clone().flat_map("Identity: merges", of(CommandKind::Merge)),
        unmerges: words.flat_map("Identity: unmerges", of(CommandKind::Unmerge)),
    }
}

/// Every identifier that an event or a merge in force names, once.
pub(super) fn nodes<'scope>(
    occurrences: Table<'scope, Node, EventKey>,
    commands: &Commands<'scope>,
) -> Table<'scope, Node, ()> {
    let merged = commands
        .merges
        .clone()
        .flat_map("Identity: identifiers of merges", |(x, y), _| [(x, ()), (y, ())]);
    let seen = occurrences.map("Identity: identifiers of events", |node, _| (node, ()));
    seen.concat([merged]).keys("Identity: identifiers")
}

/// Links, and the identifiers that link too much.
pub(super) struct Links<'scope> {
    /// Identifiers with too many neighbours by raw links.
    pub hubs: Table<'scope, Node, ()>,
    /// Links without hubs and without pairs that a command keeps apart.
    pub links: Table<'scope, Pair, ()>,
}

/// Finds hubs and links from the pairs of identifiers of one rank that occur in events.
pub(super) fn links<'scope>(
    pairs: Table<'scope, Pair, ()>,
    commands: &Commands<'scope>,
    config: &Arc<IdentityConfig>,
) -> Links<'scope> {
    let raw = pairs.keys("Identity: raw links");
    let types = Arc::clone(config);
    let degree_max = move |node: Node| types.types[usize::from(node.kind)].degree_max;
    let limited = degree_max.clone();
    let hubs = raw
        .clone()
        .flat_map("Identity: neighbours", |(x, y), ()| [(x, ()), (y, ())])
        .filter("Identity: neighbours with a limit", move |node, ()| limited(node) != NO_LIMIT)
        .frequent("Identity: hubs", degree_max);

    let apart = commands.unmerges.clone().map("Identity: pairs kept apart", |pair, _| (pair, ()));
    let links = raw
        .without("Identity: links kept apart", apart)
        .map("Identity: first ends", |(x, y), ()| (x, y))
        .without("Identity: links of hubs", hubs.clone())
        .map("Identity: second ends", |x, y| (y, x))
        .without("Identity: links of hubs, other end", hubs.clone())
        .map("Identity: links", |y, x| ((x, y), ()));
    Links { hubs, links }
}

/// What both ends of each pair map to, and the command. A pair with an end that maps to nothing is
/// left out.
pub(super) fn ends<'scope>(
    name: &str,
    pairs: Table<'scope, Pair, Order>,
    to: &Keyed<'scope, Node, Cluster>,
) -> Table<'scope, Pair, (Order, Pair)> {
    let name = |what: &str| format!("{name}: {what}");
    pairs
        .map(&name("first ends"), |(x, y), order| (x, (order, y)))
        .keyed(&name("first ends"))
        .join(&name("first"), to, |x, (order, y), first| [(y, (first, (order, x)))])
        .keyed(&name("second ends"))
        .join(&name("second"), to, |y, (first, (order, x)), second| {
            [((first, second), (order, (x, y)))]
        })
}
