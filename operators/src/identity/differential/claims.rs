//! Claims, public clusters and anchors, rank by rank: each depends on stronger ranks only.

use std::sync::Arc;

use super::code::{At, Candidate, Claim, Limits};
use super::table::{Keyed, Table};
use super::{Cluster, Node, of_rank, rank, ranks};
use crate::identity::{FOREVER, IdentityConfig, NO_LIMIT};
use crate::model::EventKey;

/// The limits of every cluster.
pub(super) fn limits<'scope>(
    clusters: &Keyed<'scope, Node, Cluster>,
    config: &Arc<IdentityConfig>,
) -> Keyed<'scope, Cluster, Limits> {
    let types = Arc::clone(config);
    let kinds = clusters.clone().table();
    let kinds = kinds.map("Identity: kinds of clusters", |node, cluster| (cluster, node.kind));
    kinds.reduce("Identity: limits", move |_, kinds| {
        let mut limits = Limits { owners_max: NO_LIMIT, forward: FOREVER, back: FOREVER };
        for (kind, _) in kinds {
            let kind = &types.types[usize::from(*kind)];
            limits.owners_max = limits.owners_max.min(kind.owners_max);
            limits.forward = limits.forward.min(kind.forward);
            limits.back = limits.back.min(kind.back);
        }
        [limits]
    })
}

/// What events say about whose clusters are.
pub(super) struct Claims<'scope> {
    /// Of a cluster: an event, and the stronger cluster that it shows as the owner.
    pub shown: Table<'scope, Cluster, Claim>,
    /// Clusters that own nothing and are nobody's.
    pub public: Table<'scope, Cluster, ()>,
    /// The cluster at which each event starts, if it has identifiers.
    pub anchors: Table<'scope, Cluster, EventKey>,
}

/// Finds claims, public clusters and anchors.
pub(super) fn claims<'scope>(
    occurrences: Table<'scope, Node, EventKey>,
    clusters: &Keyed<'scope, Node, Cluster>,
    limits: &Keyed<'scope, Cluster, Limits>,
    hubs: Table<'scope, Node, ()>,
    config: &Arc<IdentityConfig>,
) -> Claims<'scope> {
    let types = Arc::clone(config);
    let seen = occurrences.keyed("Identity: occurrences").join(
        "Identity: clusters of occurrences",
        clusters,
        move |node, key, cluster| [((node.tenant, key), (rank(&types, node), node, cluster))],
    );
    let hubs = hubs.keyed("Identity: hubs by identifier").join(
        "Identity: clusters of hubs",
        clusters,
        |_, (), cluster| [(cluster, ())],
    );

    // Nothing is stronger than the first rank.
    let nothing = seen.clone().filter("Identity: no occurrences", |_, _| false);
    let mut owners = nothing.clone();
    let mut claims = nothing.clone().map("Identity: no claims", |at, (_, _, c)| (c, (at.1, c)));
    let mut public = nothing.map("Identity: no public clusters", |_, (_, _, c)| (c, ()));
    for r in ranks(config) {
        let name = |what: &str| format!("Identity: {what} of rank {r}");
        let here = seen.clone().filter(&name("occurrences"), move |_, (rank, ..)| rank == r);
        let mut able = here
            .clone()
            .map(&name("clusters"), |at, (r, node, cluster)| (cluster, (at, (r, node))));
        if r > 0 {
            let stronger = owners.clone().keyed(&name("stronger identifiers"));
            let shown = shown(&name("claims"), here, &stronger);
            let here = of_rank(config, r);
            let hubs = hubs.clone().filter(&name("hubs"), move |c, ()| here(c));
            let kiosks = kiosks(&name("kiosks"), shown.clone(), limits, config, r);
            let now = hubs.concat(kiosks).keys(&name("public clusters"));
            able = able.without(&name("clusters that own"), now.clone());
            claims = claims.concat([shown]);
            public = public.concat([now]);
        }
        let able = able.map(&name("owners"), |c, (at, (r, node))| (at, (r, node, c)));
        owners = able.concat([owners]).smallest(&name("strongest so far")).table();
    }

    // An event whose identifiers are all public starts at the strongest.
    let last = seen.map("Identity: last resorts", |at, found| (at, (true, found)));
    let anchors = owners
        .map("Identity: first choices", |at, found| (at, (false, found)))
        .concat([last])
        .smallest("Identity: anchors")
        .table()
        .map("Identity: events by cluster", |at, (_, (_, _, cluster))| (cluster, at.1));
    Claims { shown: claims, public, anchors }
}

/// The claims that events show.
fn shown<'scope>(
    name: &str,
    weak: Table<'scope, At, Candidate>,
    stronger: &Keyed<'scope, At, Candidate>,
) -> Table<'scope, Cluster, Claim> {
    // Two identifiers of one cluster in an event are one claim.
    weak.keyed(&format!("{name}: occurrences"))
        .join(&format!("{name}: shown"), stronger, |at, weak, strong| {
            [((weak.2, (at.1, strong.2)), ())]
        })
        .keys(name)
        .map(&format!("{name}: by cluster"), |(cluster, claim), ()| (cluster, claim))
}

/// Clusters of a rank that more owners claim than they may have, where there is such a limit.
fn kiosks<'scope>(
    name: &str,
    claims: Table<'scope, Cluster, Claim>,
    limits: &Keyed<'scope, Cluster, Limits>,
    config: &IdentityConfig,
    rank: u8,
) -> Option<Table<'scope, Cluster, ()>> {
    if !config.types.iter().any(|t| t.rank == rank && t.owners_max != NO_LIMIT) {
        return None;
    }
    let owners = claims.map(&format!("{name}: owners"), |c, (_, owner)| (c, owner));
    let counts = owners.reduce(&format!("{name}: count"), |_, owners| [owners.len() as u64]);
    Some(counts.join(name, limits, |c, owners, limits| {
        (owners > u64::from(limits.owners_max)).then_some((c, ()))
    }))
}
