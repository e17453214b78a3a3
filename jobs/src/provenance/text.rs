//! What is said of a person, as a person reads it.

use super::said::{
    ClaimSaid, CommandSaid, EventSaid, IdentifierSaid, LinkSaid, Name, PersonSaid, RuleSaid,
    Witness,
};

impl Name {
    /// As a person reads it.
    pub(super) fn words(&self) -> String {
        format!("{} {}", self.kind, self.token)
    }
}

impl Witness {
    /// As a person reads it: the message and where its record is.
    pub(super) fn words(&self) -> String {
        let Self { message_id, time, source, part, offset, .. } = self;
        format!("{message_id} at {time} ({source} {part}:{offset})")
    }

    /// As [`Witness::words`], without the time.
    pub(super) fn brief(&self) -> String {
        let Self { message_id, source, part, offset, .. } = self;
        format!("{message_id} ({source} {part}:{offset})")
    }
}

/// Lines of a list, no more than there may be of each.
pub(super) struct Lines {
    pub lines: Vec<String>,
    most: usize,
}

impl Lines {
    pub(super) fn new(most: usize) -> Self {
        Self { lines: Vec::new(), most }
    }

    pub(super) fn push(&mut self, line: String) {
        self.lines.push(line);
    }

    /// A list under a title; nothing if it is empty.
    pub(super) fn list<T>(&mut self, title: &str, items: &[T], words: impl Fn(&T) -> String) {
        if items.is_empty() {
            return;
        }
        self.lines.push(format!("  {title} ({})", items.len()));
        self.lines.extend(items.iter().take(self.most).map(|item| format!("    {}", words(item))));
        if let Some(more) = items.len().checked_sub(self.most).filter(|more| *more > 0) {
            self.lines.push(format!("    and {more} more: --limit {}", items.len()));
        }
    }
}

/// How many, the first and the last.
fn ends(witnesses: &[Witness]) -> String {
    match witnesses {
        [] => "no event".to_owned(),
        [one] => one.words(),
        [first, .., last] => {
            format!("{} events, {} to {}", witnesses.len(), first.words(), last.words())
        }
    }
}

fn rule(rule: &RuleSaid) -> String {
    let limits: String =
        rule.limits.iter().map(|(word, limit)| format!(", {word} {limit}")).collect();
    format!("{} rank {}{limits}", rule.kind, rule.rank)
}

fn identifier(said: &IdentifierSaid, person: &str) -> String {
    let part = match said.part {
        "own" => "the person's own",
        "claimed" => "belongs to the person by claims",
        _ => "only occurs in events of the person",
    };
    let public = match &said.why {
        Some(why) => format!("; public: {why}"),
        None => String::new(),
    };
    let now = if said.person_id == person {
        String::new()
    } else {
        format!("; leads to {} now", said.person_id)
    };
    let seen = match (&said.first, &said.last) {
        (Some(first), Some(last)) => {
            format!("{} events, {} to {}", said.events, first.time, last.time)
        }
        _ => "no event, only commands".to_owned(),
    };
    format!("{}: {part}; {seen}{public}{now}", said.name.words())
}

fn link(said: &LinkSaid) -> String {
    let counts = match (&said.why, said.only) {
        (Some(why), _) => format!("; does not count: {why}"),
        (None, true) => "; nothing else holds its two sides together".to_owned(),
        (None, false) => String::new(),
    };
    format!("{} - {}: {}{counts}", said.x.words(), said.y.words(), ends(&said.witnesses))
}

fn claim(said: &ClaimSaid) -> String {
    let ClaimSaid { cluster, owner, from, until, witnesses, .. } = said;
    let when = match (&said.why, from, until) {
        (Some(why), ..) => format!("does not count: {why}"),
        (None, None, None) => "always".to_owned(),
        (None, Some(from), None) => format!("from {from} on"),
        (None, None, Some(until)) => format!("until {until}"),
        (None, Some(from), Some(until)) => format!("from {from} until {until}"),
    };
    let person = &said.person_id;
    let (cluster, owner) = (cluster.words(), owner.words());
    format!("{cluster} is {owner}'s (person {person}), {when}: {}", ends(witnesses))
}

fn command(said: &CommandSaid) -> String {
    let why = said.why.as_ref().map(|why| format!("; does not count: {why}"));
    let (x, y) = (said.x.words(), said.y.words());
    format!("{} {x} and {y}: {}{}", said.kind, said.record.words(), why.unwrap_or_default())
}

fn event(said: &EventSaid) -> String {
    let through: String = said
        .through
        .iter()
        .map(|step| {
            let (owner, by) = (step.owner.words(), &step.record.message_id);
            format!(", {} {by} leads to {owner}", step.by)
        })
        .collect();
    let copies = match said.copies.len() {
        0 => String::new(),
        1 => "; a copy of it does not count".to_owned(),
        n => format!("; {n} copies of it don't count"),
    };
    let kind = [said.channel.as_str(), said.event.as_str()].join(" ");
    format!("{} {}: {}{through}{copies}", kind.trim(), said.record.words(), said.anchor.words())
}

impl PersonSaid {
    /// As a person reads it, with no more than `most` lines of each list.
    pub fn text(&self, most: usize) -> String {
        let mut out = Lines::new(most);
        let Self { person_id, tenant, upto, job, version, file, .. } = self;
        if let Some(asked) = &self.asked {
            out.push(format!("{asked} leads to"));
        }
        out.push(format!("person {person_id} (tenant {tenant}) as known after epoch {upto}"));
        out.push(format!("  job {job}, version {version}, kept in {file}"));
        let mut rules: Vec<String> = self.rules.iter().map(rule).collect();
        rules.extend(self.cluster_max.map(|most| format!("cluster_max {most}")));
        let blocked: Vec<String> = self.blocked.iter().map(|value| format!("{value:?}")).collect();
        rules.push(format!("blocked {}", blocked.join(" ")));
        out.push(format!("  rules: {}", rules.join("; ")));
        out.list("identifiers", &self.identifiers, |said| identifier(said, person_id));
        out.list("links", &self.links, link);
        out.list("claims", &self.claims, claim);
        out.list("commands", &self.commands, command);
        out.list("changes of ids", &self.id_changes, |said| {
            let (epoch, kind, message) = (said.epoch, &said.change_type, &said.message_id);
            let (from, to) = (&said.person_id, &said.other_person_id);
            format!("epoch {epoch}: {kind} of {from}, events went to {to}, by {message}")
        });
        out.list("events", &self.events, event);
        out.list("events that another with their business key stands for", &self.shadowed, event);
        out.lines.join("\n")
    }
}
