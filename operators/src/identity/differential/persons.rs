//! Timelines of all clusters, the persons of events, and where identifiers lead.

use std::sync::Arc;

use super::claims::Claims;
use super::code::{At, Fact, Limits, Moment, Pair, Piece};
use super::links::{Commands, ends};
use super::table::{Keyed, Table};
use super::timeline::timeline;
use super::{Cluster, Node, of_rank, rank, ranks};
use crate::identity::IdentityConfig;
use crate::model::EventKey;

/// The pieces of all timelines, and whether a piece is the only one of its cluster.
pub(super) type Timelines<'scope> = Table<'scope, Cluster, (Piece, bool)>;

/// The timelines of all clusters, rank by rank: those of a rank follow from those of stronger ones.
pub(super) fn timelines<'scope>(
    claims: &Claims<'scope>,
    clusters: &Keyed<'scope, Node, Cluster>,
    limits: &Keyed<'scope, Cluster, Limits>,
    commands: &Commands<'scope>,
    config: &Arc<IdentityConfig>,
) -> Timelines<'scope> {
    let types = Arc::clone(config);
    let across = move |(x, y): Pair, _| rank(&types, x) < rank(&types, y);
    let merges = commands.merges.clone().filter("Identity: merges across ranks", across.clone());
    let unmerges = commands.unmerges.clone().filter("Identity: unmerges across ranks", across);
    let gifts = ends("Identity: clusters of merges", merges, clusters)
        .map("Identity: gifts", |(strong, weak), (order, _)| (weak, Fact::Gift(order, strong)));
    let bars = ends("Identity: clusters of unmerges", unmerges, clusters)
        .map("Identity: bars", |(strong, weak), _| (weak, Fact::Bar(strong)));

    let claimed = claims.shown.clone();
    let named = claimed.map("Identity: claims as facts", |c, claim| (c, Fact::Claim(claim)));
    let named = named.concat([gifts, bars]);
    let stronger = named.clone().flat_map("Identity: stronger clusters named", |c, fact| {
        let strong = match fact {
            Fact::Claim((_, owner)) => owner,
            Fact::Gift(_, strong) | Fact::Bar(strong) => strong,
            Fact::Limits(_) | Fact::Public | Fact::Stronger(..) => return None,
        };
        Some(((strong, c), ()))
    });
    let stronger = stronger
        .keys("Identity: stronger clusters")
        .map("Identity: by stronger cluster", |(strong, c), ()| (strong, c));
    let exist = limits.clone().table();
    let exist = exist.map("Identity: limits as facts", |c, limits| (c, Fact::Limits(limits)));
    let public = claims.public.clone();
    let public = public.map("Identity: public as facts", |c, ()| (c, Fact::Public));
    let facts = named.concat([exist.clone(), public]);

    let mut all: Timelines = exist
        .filter("Identity: no clusters", |_, _| false)
        .map("Identity: no timelines", |c, _| (c, ((EventKey::MIN, c), true)));
    for (place, r) in ranks(config).into_iter().enumerate() {
        let name = |what: &str| format!("Identity: {what} of rank {r}");
        let here = of_rank(config, r);
        let mut facts = facts.clone().filter(&name("facts"), move |c, _| here(c));
        if place > 0 {
            let here = of_rank(config, r);
            let known = all.clone().keyed(&name("stronger timelines"));
            let lines = stronger
                .clone()
                .filter(&name("stronger clusters"), move |_, c| here(c))
                .keyed(&name("stronger clusters"))
                .join(&name("stronger pieces"), &known, |strong, c, (piece, _)| {
                    [(c, Fact::Stronger(strong, piece))]
                });
            facts = facts.concat([lines]);
        }
        let types = Arc::clone(config);
        let lines = facts.reduce(&name("timelines"), move |c, facts| {
            let line = timeline(&types, c, facts.iter().map(|fact| fact.0)).unwrap_or_default();
            let only = line.pieces().len() == 1;
            line.pieces().iter().map(|piece| (*piece, only)).collect::<Vec<_>>()
        });
        all = all.concat([lines.table()]);
    }
    all
}

/// The person of each event that has identifiers: that of the cluster it starts at, at its moment.
pub(super) fn persons<'scope>(
    anchors: Table<'scope, Cluster, EventKey>,
    timelines: &Timelines<'scope>,
) -> Table<'scope, At, Cluster> {
    // Most clusters are one person's at all times; then an event that comes looks at that one.
    let steady = timelines
        .clone()
        .flat_map("Identity: steady timelines", |c, ((_, person), only)| {
            only.then_some((c, person))
        })
        .keyed("Identity: steady clusters");
    let steady = anchors.clone().keyed("Identity: events by cluster").join(
        "Identity: persons of steady clusters",
        &steady,
        |c, key, person| [((c.tenant, key), person)],
    );

    let pieces = timelines.clone().flat_map("Identity: moving timelines", |c, (piece, only)| {
        (!only).then_some((c, Moment::Piece(piece)))
    });
    let moving = pieces.clone().keys("Identity: moving clusters");
    let events = anchors
        .within("Identity: events of moving clusters", moving)
        .map("Identity: events as moments", |c, key| (c, Moment::Event(key)));
    let moving = pieces
        .concat([events])
        .reduce("Identity: persons of moving clusters", |_, moments| {
            let mut pieces: Vec<Piece> = Vec::new();
            let mut found: Vec<Piece> = Vec::new();
            for (moment, _) in moments {
                match *moment {
                    Moment::Piece(piece) => pieces.push(piece),
                    Moment::Event(key) => {
                        let next = pieces.partition_point(|piece| piece.0 <= key);
                        found.extend(pieces[..next].last().map(|piece| (key, piece.1)));
                    }
                }
            }
            found
        })
        .table()
        .map("Identity: moving persons", |c, (key, person)| ((c.tenant, key), person));
    steady.concat([moving])
}

/// What memberships follow from.
pub(super) struct Members<'scope> {
    /// All identifiers.
    pub nodes: Table<'scope, Node, ()>,
    /// Events by identifier.
    pub occurrences: Table<'scope, Node, EventKey>,
    /// Persons of events.
    pub persons: Table<'scope, At, Cluster>,
    /// Public clusters.
    pub public: Table<'scope, Cluster, ()>,
}

/// Where each identifier leads, and whether its cluster is public.
pub(super) fn memberships<'scope>(
    members: Members<'scope>,
    timelines: &Timelines<'scope>,
    clusters: &Keyed<'scope, Node, Cluster>,
) -> Table<'scope, Node, (Cluster, bool)> {
    let last = members.occurrences.largest("Identity: last event of identifier").table();
    let in_events = last.clone().map("Identity: identifiers in events", |node, _| (node, ()));
    let persons = members.persons.keyed("Identity: person of event");
    let seen = last
        .map("Identity: last events", |node, key| ((node.tenant, key), node))
        .keyed("Identity: last events")
        .join("Identity: person of last event", &persons, |_, node, person| [(node, person)]);

    // The others stand in merges only, and lead where an event after all others would.
    let others = members
        .nodes
        .without("Identity: identifiers without events", in_events)
        .keyed("Identity: identifiers without events")
        .join("Identity: clusters without events", clusters, |node, (), c| [(c, node)]);
    let asked = others.clone().keys("Identity: clusters asked for");
    let ends = timelines
        .clone()
        .map("Identity: pieces", |c, (piece, _)| (c, piece))
        .within("Identity: pieces asked for", asked)
        .largest("Identity: last piece");
    let others = others.keyed("Identity: others by cluster").join(
        "Identity: person after all events",
        &ends,
        |_, node, piece| [(node, piece.1)],
    );

    let public = members.public.keyed("Identity: public clusters");
    let public = clusters
        .clone()
        .table()
        .map("Identity: identifiers of clusters", |node, c| (c, node))
        .keyed("Identity: identifiers by cluster")
        .join("Identity: public identifiers", &public, |_, node, ()| [(node, ())]);
    let leads = seen.concat([others]);
    let others = leads.clone().without("Identity: not public", public.clone());
    leads
        .within("Identity: public", public)
        .map("Identity: public memberships", |node, person| (node, (person, true)))
        .concat([others.map("Identity: memberships", |node, person| (node, (person, false)))])
}
