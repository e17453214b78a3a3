//! Puts into words what there is to say about a person.

use std::collections::{BTreeMap, BTreeSet};

use connectors::table::logged;
use operators::identity::explain::{
    Belongs, Claim, Explained, Holds, Identifier, Link, Part, Public, Standing, Word,
};
use operators::identity::{FOREVER, IdentityConfig, IdentityType, NO_LIMIT, Own};
use operators::model::{CellRef, CommandKind, Event, EventKey, Ident, Micros, Token};

use super::connected::Counting;
use super::past::Past;
use super::said::{
    ChangeSaid, ClaimSaid, CommandSaid, EventSaid, IdentifierSaid, LinkSaid, Name, PersonSaid,
    RuleSaid, ThroughSaid, Witness,
};
use crate::query::QueryError;

/// A moment for a person and for machines.
pub(super) fn moment(at: Micros) -> String {
    jiff::Timestamp::from_microsecond(at).map_or_else(|_| at.to_string(), |at| at.to_string())
}

/// A span of time as a job file has it, in the largest unit that it is a whole number of.
fn span(micros: Micros) -> String {
    let units = [(604_800, "w"), (86_400, "d"), (3600, "h"), (60, "m")];
    let seconds = micros / 1_000_000;
    let fits = |(unit, _): &&(i64, &str)| seconds > 0 && seconds % unit == 0;
    match units.iter().find(fits) {
        Some((unit, word)) => format!("{}{word}", seconds / unit),
        None => format!("{seconds}s"),
    }
}

/// The record of an event.
pub(super) fn witness(past: &Past, event: &Event) -> Witness {
    let place = past.place(event.origin);
    Witness {
        message_id: event.message_id.to_string(),
        time: moment(event.key.time),
        source: place.source.to_string(),
        partition: event.origin.partition,
        offset: place.offset,
        part: place.part,
    }
}

/// Whoever puts it into words.
pub(super) struct Teller<'a> {
    pub past: &'a Past,
    pub config: &'a IdentityConfig,
    pub counting: &'a Counting,
}

impl Teller<'_> {
    pub(super) fn tell(
        &self,
        tenant: &str,
        explained: &Explained,
    ) -> Result<PersonSaid, QueryError> {
        let plan = &self.past.plan;
        let is_shadowed = |event: &&Belongs| self.counting.shadowed.contains(&event.key);
        let (shadowed, events): (Vec<&Belongs>, Vec<&Belongs>) =
            explained.events.iter().partition(is_shadowed);
        let blocked = plan.sources.first().map(|source| &*source.decode.blocked);
        let blocked: BTreeSet<&String> = blocked.into_iter().flatten().collect();
        Ok(PersonSaid {
            person_id: explained.person.to_string(),
            tenant: tenant.to_owned(),
            asked: None,
            upto: self.past.upto,
            job: plan.name.clone(),
            version: plan.hash.clone(),
            file: self.past.text.display().to_string(),
            rules: self.config.types.iter().map(rule).collect(),
            cluster_max: (self.config.cluster_max != NO_LIMIT).then_some(self.config.cluster_max),
            blocked: blocked.into_iter().cloned().collect(),
            identifiers: explained.identifiers.iter().map(|i| self.identifier(i)).collect(),
            links: explained.links.iter().map(|link| self.link(link)).collect(),
            claims: explained.claims.iter().map(|claim| self.claim(claim)).collect(),
            commands: explained.commands.iter().map(|word| self.command(word)).collect(),
            id_changes: self.changes(tenant, explained)?,
            events: events.into_iter().map(|event| self.event(event)).collect(),
            shadowed: shadowed.into_iter().map(|event| self.event(event)).collect(),
        })
    }

    fn name(&self, ident: Ident) -> Name {
        let kind = self.config.types[usize::from(ident.kind)].name.clone();
        Name { kind, token: ident.token.to_string() }
    }

    fn record(&self, key: EventKey) -> Witness {
        // What explains a person is made of these events.
        self.counting.events.get(&key).map_or_else(
            || Witness {
                message_id: Token(key.id).to_string(),
                time: moment(key.time),
                source: String::new(),
                partition: 0,
                offset: 0,
                part: String::new(),
            },
            |event| witness(self.past, event),
        )
    }

    fn records(&self, keys: &[EventKey]) -> Vec<Witness> {
        keys.iter().map(|key| self.record(*key)).collect()
    }

    fn identifier(&self, said: &Identifier) -> IdentifierSaid {
        let why = said.public.map(|public| match public {
            Public::Hub { ident, neighbours, most } => {
                let Name { kind, token } = self.name(ident);
                format!("{kind} {token} is linked with {neighbours}, degree_max is {most}")
            }
            Public::Owners { owners, most } => {
                format!("it has {owners} owners, owners_max is {most}")
            }
        });
        IdentifierSaid {
            name: self.name(said.ident),
            rank: self.config.rank(said.ident),
            part: match said.part {
                Part::Own => "own",
                Part::Claimed => "claimed",
                Part::Seen => "seen",
            },
            cluster: self.name(said.cluster),
            public: said.public.is_some(),
            why,
            person_id: said.now.to_string(),
            events: said.events,
            first: said.seen.map(|(first, _)| self.record(first)),
            last: said.seen.map(|(_, last)| self.record(last)),
        }
    }

    fn by(&self, key: EventKey) -> String {
        self.record(key).message_id
    }

    fn link(&self, link: &Link) -> LinkSaid {
        let why = match link.standing {
            Standing::Counts { .. } => None,
            Standing::Hub { ident } => {
                let Name { kind, token } = self.name(ident);
                Some(format!("{kind} {token} is public: linked with more than degree_max"))
            }
            Standing::Unmerged { by } => Some(format!("the unmerge {} names the two", self.by(by))),
            Standing::TooLarge { members } => Some(format!(
                "links would make a cluster of {members}, cluster_max is {}",
                self.config.cluster_max
            )),
            Standing::Apart { by } => Some(format!(
                "it would bring together what the unmerge {} keeps apart",
                self.by(by)
            )),
        };
        LinkSaid {
            x: self.name(link.x),
            y: self.name(link.y),
            counts: link.counts(),
            only: link.standing == Standing::Counts { only: true },
            why,
            witnesses: self.records(&link.witnesses),
        }
    }

    fn claim(&self, claim: &Claim) -> ClaimSaid {
        let why = match claim.holds {
            Holds::Yes => None,
            Holds::Unmerged { by } => Some(format!("the unmerge {} keeps them apart", self.by(by))),
            Holds::Passed => {
                let own = self.config.types[usize::from(claim.cluster.kind)].own;
                let which = if own == Own::First { "first" } else { "last" };
                Some(format!("it belongs to its {which} owner"))
            }
            Holds::Idle => Some("it is public, or a merge gives it to another".to_owned()),
        };
        ClaimSaid {
            cluster: self.name(claim.cluster),
            owner: self.name(claim.owner),
            person_id: claim.person.to_string(),
            counts: claim.holds == Holds::Yes,
            why,
            from: claim.from.map(moment),
            until: claim.until.map(moment),
            witnesses: self.records(&claim.witnesses),
        }
    }

    fn command(&self, word: &Word) -> CommandSaid {
        let overruled = word.overruled_by.map(|by| format!("{} is later", self.by(by)));
        let refused = word.refused_by.map(|by| {
            format!("it would bring together what the unmerge {} keeps apart", self.by(by))
        });
        CommandSaid {
            kind: if word.kind == CommandKind::Merge { "merge" } else { "unmerge" },
            x: self.name(word.pair.0),
            y: self.name(word.pair.1),
            counts: word.counts(),
            why: overruled.or(refused),
            record: self.record(word.key),
        }
    }

    fn event(&self, said: &Belongs) -> EventSaid {
        let event = self.counting.events.get(&said.key);
        let through = said.through.iter().map(|step| ThroughSaid {
            cluster: self.name(step.of),
            owner: self.name(step.owner),
            by: if step.merged { "merge" } else { "claim" },
            record: self.record(step.by),
        });
        let copies = self.counting.copies.get(&said.key);
        EventSaid {
            record: self.record(said.key),
            channel: event.map_or_else(String::new, |event| event.kind.channel.to_string()),
            event: event.map_or_else(String::new, |event| event.kind.name.to_string()),
            anchor: self.name(said.anchor),
            through: through.collect(),
            copies: copies.into_iter().flatten().map(|event| witness(self.past, event)).collect(),
        }
    }

    /// Changes of the ids that the person has had, or might have had: of its identifiers' tokens.
    fn changes(&self, tenant: &str, said: &Explained) -> Result<Vec<ChangeSaid>, QueryError> {
        let plan = &self.past.plan;
        let Some(view) = plan.catalog.built_in.id_changes.filter(|_| plan.tables.is_some()) else {
            return Ok(Vec::new());
        };
        let ours = said.identifiers.iter().filter(|identifier| identifier.part != Part::Seen);
        let ours: BTreeSet<Token> =
            ours.map(|identifier| identifier.ident.token).chain([said.person]).collect();
        let schema = &plan.catalog.schemas[usize::from(view)];
        let mut changes = Vec::new();
        for change in logged(&plan.out, (view, schema), self.past.upto)? {
            let cells = &change.row.cells;
            let id = |column: usize| match cells.get(column) {
                CellRef::Id(id) => id,
                _ => Token::default(),
            };
            let text = |column: usize| match cells.get(column) {
                CellRef::Str(text) => text.to_owned(),
                _ => String::new(),
            };
            let (person, other) = (id(1), id(2));
            if text(0) == tenant && (ours.contains(&person) || ours.contains(&other)) {
                changes.push(ChangeSaid {
                    epoch: change.epoch,
                    change_type: text(3),
                    person_id: person.to_string(),
                    other_person_id: other.to_string(),
                    cause: text(5),
                    message_id: text(6),
                });
            }
        }
        Ok(changes)
    }
}

fn rule(t: &IdentityType) -> RuleSaid {
    let mut limits = BTreeMap::new();
    for (word, limit) in [("degree_max", t.degree_max), ("owners_max", t.owners_max)] {
        if limit != NO_LIMIT {
            limits.insert(word, limit.to_string());
        }
    }
    for (word, limit) in [("forward", t.forward), ("back", t.back)] {
        if limit != FOREVER {
            limits.insert(word, span(limit));
        }
    }
    match t.own {
        Own::Time => {}
        Own::First => drop(limits.insert("own", "first".to_owned())),
        Own::Last => drop(limits.insert("own", "last".to_owned())),
    }
    RuleSaid { kind: t.name.clone(), rank: t.rank, limits }
}
