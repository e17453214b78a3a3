//! What explains people, against the oracle: it says the same, what it names suffices, and what it
//! calls needed is.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::identity::oracle::{Members, resolve};
use crate::identity::testing::{History, key_of};
use crate::identity::{FOREVER, NO_LIMIT, Sighting};
use crate::model::{Command, Idents};

/// Sightings as they are in the midst of random histories, or at their end.
fn cases(count: u64) -> impl Iterator<Item = (IdentityConfig, Vec<Sighting>)> {
    (0..count).map(|seed| {
        let history = History::new(seed, 20 + (seed % 80) as usize);
        let epochs = history.epochs.len() - (seed % 3) as usize % history.epochs.len();
        (history.config.clone(), history.present(epochs).into_values().collect())
    })
}

fn name(members: &Members) -> Token {
    members.iter().map(|ident| ident.token).min().expect("a person has an identifier")
}

fn explain(evidence: &Evidence<'_>, person: Token) -> Explained {
    evidence.explain(person).unwrap_or_else(|| panic!("{person} is a person"))
}

#[test]
fn people_are_as_the_oracle_has_them() {
    let mut public = [0, 0];
    for (config, sightings) in cases(1500) {
        let expected = resolve(&config, &sightings);
        let evidence = Evidence::new(&config, &sightings);
        let mut people = BTreeSet::new();
        for (key, members) in &expected.events {
            let person = members.as_ref().map(name);
            assert_eq!(evidence.person_of(*key), person);
            people.extend(person);
        }
        for (ident, (members, _)) in &expected.identifiers {
            assert_eq!(evidence.leads_to(*ident), Some(name(members)));
            people.insert(name(members));
        }
        assert_eq!(evidence.people(), people);
        let mut events = 0;
        for person in people {
            let explained = explain(&evidence, person);
            for event in &explained.events {
                let of = expected.events[&event.key].as_ref().map(name);
                assert_eq!(of, Some(person), "{event:?}");
                events += 1;
            }
            let own = |i: &&Identifier| i.part == Part::Own;
            let members: Members =
                explained.identifiers.iter().filter(own).map(|i| i.ident).collect();
            let here = explained.identifiers.iter().filter(|i| i.now == person);
            let mut now: BTreeMap<Ident, bool> = BTreeMap::new();
            for identifier in here {
                now.insert(identifier.ident, identifier.public.is_some());
                match identifier.public {
                    Some(Public::Hub { neighbours, most, .. }) => {
                        assert!(neighbours > most);
                        public[0] += 1;
                    }
                    Some(Public::Owners { owners, most }) => {
                        assert!(owners > most);
                        public[1] += 1;
                    }
                    None => {}
                }
            }
            let leading = expected.identifiers.iter().filter(|(_, (m, _))| name(m) == person);
            let leading = leading.map(|(ident, (of, public))| {
                assert_eq!(*of, members, "one person id, one person");
                (*ident, *public)
            });
            assert_eq!(now, leading.collect());
        }
        assert_eq!(events, expected.events.values().flatten().count(), "each event once");
    }
    assert!(public.iter().all(|count| *count > 100), "{public:?} are public");
}

/// An event for each link that counts, and the merges that count: nothing else of a cluster.
fn made_of(links: &[&Link], explained: &Explained, cluster: &Members) -> Vec<Sighting> {
    let key = |place: usize| EventKey { time: place as i64, seq: 0, id: place as u128 };
    let event = |(place, link): (usize, &&Link)| {
        Sighting::Event(key(place), Idents::from_iter([link.x, link.y]))
    };
    let mut sightings: Vec<Sighting> = links.iter().enumerate().map(event).collect();
    for word in explained.commands.iter().filter(|w| w.counts() && w.kind == CommandKind::Merge) {
        let (x, y) = word.pair;
        if cluster.contains(&x) && cluster.contains(&y) {
            let command = Command { kind: word.kind, x, y };
            sightings.push(Sighting::Command(key(1000 + sightings.len()), command));
        }
    }
    sightings
}

#[test]
fn links_and_merges_make_the_clusters_and_those_alone_are_needed() {
    let (mut needed, mut spare) = (0, 0);
    for (config, sightings) in cases(600) {
        let evidence = Evidence::new(&config, &sightings);
        for person in evidence.people() {
            let explained = explain(&evidence, person);
            let mut clusters: BTreeMap<Ident, Members> = BTreeMap::new();
            for identifier in explained.identifiers.iter().filter(|i| i.part != Part::Seen) {
                clusters.entry(identifier.cluster).or_default().insert(identifier.ident);
            }
            for cluster in clusters.values().filter(|members| members.len() > 1) {
                let inside = |link: &&Link| {
                    link.counts() && cluster.contains(&link.x) && cluster.contains(&link.y)
                };
                let links: Vec<&Link> = explained.links.iter().filter(inside).collect();
                let whole = |links: &[&Link]| {
                    let made = made_of(links, &explained, cluster);
                    let resolved = resolve(&config, &made);
                    cluster
                        .iter()
                        .all(|i| resolved.identifiers.get(i).is_some_and(|(m, _)| m == cluster))
                };
                assert!(whole(&links), "{cluster:?} is made of {links:?}");
                for place in 0..links.len() {
                    let mut rest = links.clone();
                    let link = rest.remove(place);
                    let only = link.standing == Standing::Counts { only: true };
                    assert_eq!(whole(&rest), !only, "without {link:?}");
                    *(if only { &mut needed } else { &mut spare }) += 1;
                }
            }
        }
    }
    assert!(needed > 200 && spare > 200, "{needed} needed, {spare} spare");
}

/// The person's events, one witness for each link that counts, and the commands: where no limit and
/// nobody else has a say, the person follows from them.
#[test]
fn what_is_named_suffices() {
    let (mut checked, mut left_out) = (0, 0);
    for (config, sightings) in cases(1500) {
        let expected = resolve(&config, &sightings);
        let evidence = Evidence::new(&config, &sightings);
        for person in evidence.people() {
            let explained = explain(&evidence, person);
            let simple = explained.identifiers.iter().all(|i| i.public.is_none())
                && explained.links.iter().all(|link| {
                    matches!(link.standing, Standing::Counts { .. } | Standing::Unmerged { .. })
                })
                && explained.claims.iter().all(|c| !matches!(c.holds, Holds::Unmerged { .. }))
                && explained.commands.iter().all(|word| word.refused_by.is_none());
            if !simple {
                continue;
            }
            let mut named: BTreeSet<EventKey> = explained.events.iter().map(|e| e.key).collect();
            let counting = explained.links.iter().filter(|link| link.counts());
            named.extend(counting.map(|link| link.witnesses[0]));
            named.extend(explained.commands.iter().map(|word| word.key));
            let through = explained.events.iter().flat_map(|event| &event.through);
            named.extend(through.map(|step| step.by));
            let kept: Vec<Sighting> =
                sightings.iter().filter(|s| named.contains(&key_of(s))).cloned().collect();
            left_out += sightings.len() - kept.len();
            let again = resolve(&config, &kept);
            for event in &explained.events {
                assert_eq!(again.events[&event.key], expected.events[&event.key], "{event:?}");
                checked += 1;
            }
        }
    }
    assert!(checked > 3000 && left_out > 3000, "{checked} events, without {left_out} sightings");
}

/// An event whose identifier belongs to the person by a claim is somebody else's without the claims
/// on it.
#[test]
fn without_its_claims_a_weaker_cluster_is_not_the_persons() {
    let mut checked = 0;
    for (mut config, mut sightings) in cases(300) {
        config.cluster_max = NO_LIMIT;
        for t in &mut config.types {
            (t.degree_max, t.owners_max) = (NO_LIMIT, NO_LIMIT);
        }
        sightings.retain(|sighting| matches!(sighting, Sighting::Event(..)));
        let evidence = Evidence::new(&config, &sightings);
        for person in evidence.people() {
            let explained = explain(&evidence, person);
            for event in explained.events.iter().filter(|event| !event.through.is_empty()) {
                let cluster = event.through[0].of;
                let of = explained.claims.iter().filter(|claim| claim.cluster == cluster);
                let gone: BTreeSet<EventKey> = of.flat_map(|c| c.witnesses.clone()).collect();
                assert!(gone.contains(&event.through[0].by), "the claim that decides is named");
                let kept: Vec<Sighting> =
                    sightings.iter().filter(|s| !gone.contains(&key_of(s))).cloned().collect();
                let again = resolve(&config, &kept);
                let now = again.events[&event.key].as_ref().map(name);
                assert_ne!(now, Some(person), "{event:?}");
                checked += 1;
            }
        }
    }
    assert!(checked > 500, "{checked} events");
}

/// At every moment of one span a lone identifier belongs to the owner that the span is of.
#[test]
fn spans_say_whose_a_cluster_is() {
    let mut checked = 0;
    for (config, sightings) in cases(600) {
        let evidence = Evidence::new(&config, &sightings);
        let claims = evidence.people().into_iter().flat_map(|p| explain(&evidence, p).claims);
        for claim in claims.filter(|claim| claim.holds == Holds::Yes) {
            let node = evidence.claims.clusters.node(claim.cluster).unwrap();
            let cluster = &evidence.claims.clusters.by_lead[&node];
            if cluster.forward != FOREVER && claim.witnesses.len() > 1 {
                continue; // there may be holes in it
            }
            let first = claim.witnesses[0].time;
            let from = claim.from.unwrap_or(first - 50);
            let until = claim.until.unwrap_or(first + 50);
            assert!(from <= until, "{claim:?}");
            for time in (from + 1)..until {
                let at = EventKey { time, seq: 0, id: 0 };
                let step = evidence.claims.step(node, at).expect("it belongs to somebody");
                assert_eq!(evidence.claims.clusters.ident(step.to), claim.owner, "{claim:?}");
                checked += 1;
            }
        }
    }
    assert!(checked > 2000, "{checked} moments");
}
