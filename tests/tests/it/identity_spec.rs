//! The Rust oracle of identity against `tests/spec/identity.py`, the text that defines the rules.
//!
//! Random cases, all answered by one Python process; then each rule switched off, to see that the
//! cases are able to tell.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command as Process;

use operators::identity::oracle::{Members, erase, resolve};
use operators::identity::testing::{History, Seeded, key_of};
use operators::identity::{FOREVER, IdentityConfig, IdentityType, NO_LIMIT, Own, Sighting};
use operators::model::{CommandKind, EventKey, Ident};
use serde_json::{Map, Value, json};

/// Number of cases.
const CASES: u64 = 600;

/// One case of identity.py.
#[derive(Clone)]
struct Case {
    config: IdentityConfig,
    sightings: Vec<Sighting>,
    identifiers: BTreeSet<Ident>,
    events: BTreeSet<u128>,
}

impl Case {
    fn new(seed: u64) -> Self {
        let random = &mut Seeded(seed ^ 0x5bec);
        let history = History::new(seed, 30 + random.below(60) as usize);
        let sightings: Vec<Sighting> =
            history.present(history.epochs.len()).into_values().collect();
        let mut case = Self {
            config: history.config,
            sightings,
            identifiers: BTreeSet::new(),
            events: BTreeSet::new(),
        };
        if random.once_in(2) {
            for sighting in &case.sightings {
                let Sighting::Event(key, idents) = sighting else { continue };
                case.events.extend(random.once_in(9).then_some(key.id));
                case.identifiers.extend(idents.first().filter(|_| random.once_in(20)));
            }
        }
        while let Some(command) = case.dangling() {
            case.sightings.retain(|sighting| key_of(sighting) != command);
        }
        case
    }

    fn kept(&self) -> Vec<Sighting> {
        erase(&self.sightings, &self.identifiers, &self.events)
    }

    /// An unmerge across ranks with a stronger identifier that nothing else names: the Python text
    /// does not say what it means.
    fn dangling(&self) -> Option<EventKey> {
        let mut words = BTreeMap::new();
        let mut nodes = BTreeSet::new();
        for sighting in self.kept() {
            match sighting {
                Sighting::Event(_, idents) => nodes.extend(idents),
                Sighting::Command(key, c) => {
                    let mut pair = [c.x, c.y];
                    pair.sort_by_key(|i| self.config.strength(*i));
                    let word = words.entry(pair).or_insert((key.time, key.id, c.kind, key));
                    *word = (key.time, key.id, c.kind, key).max(*word);
                }
            }
        }
        let of = |kind| words.iter().filter(move |(_, word)| word.2 == kind);
        nodes.extend(of(CommandKind::Merge).flat_map(|(pair, _)| *pair));
        let across = |pair: &[Ident; 2]| self.config.rank(pair[0]) < self.config.rank(pair[1]);
        let mut apart = of(CommandKind::Unmerge).filter(|(pair, _)| across(pair));
        let unknown = apart.find(|(pair, _)| !nodes.contains(&pair[0]) && nodes.contains(&pair[1]));
        unknown.map(|(_, word)| word.3)
    }

    /// The person of each event, by message id.
    fn answer(&self) -> BTreeMap<u128, Option<Members>> {
        let resolved = resolve(&self.config, &self.kept()).events;
        resolved.into_iter().map(|(key, person)| (key.id, person)).collect()
    }

    /// Whether a case gives an event that is in both another person.
    fn differs(&self, other: &Self) -> bool {
        let (ours, theirs) = (self.answer(), other.answer());
        ours.iter().any(|(id, person)| theirs.get(id).is_some_and(|other| other != person))
    }

    fn retain(&mut self, mut keep: impl FnMut(&IdentityConfig, CommandKind, Ident, Ident) -> bool) {
        let config = &self.config;
        self.sightings.retain(|sighting| match sighting {
            Sighting::Event(..) => true,
            Sighting::Command(_, c) => keep(config, c.kind, c.x, c.y),
        });
    }

    fn identifier(&self, ident: Ident) -> [String; 2] {
        let kind = &self.config.types[usize::from(ident.kind)].name;
        // Values in another order than tokens: only the latter may count.
        [kind.clone(), format!("v{:032x}", ident.token.0.swap_bytes())]
    }

    /// The case as identity.py reads it, with what it must leave out.
    fn json(&self, random: &mut Seeded) -> Value {
        let mut tokens = BTreeSet::new();
        let (mut events, mut commands) = (Vec::new(), Vec::new());
        for sighting in &self.sightings {
            match sighting {
                Sighting::Event(key, idents) => {
                    tokens.extend(idents.iter().copied());
                    events.push(json!({
                        "id": id(key.id), "time": key.time, "seq": key.seq,
                        "ids": self.ids(idents, random),
                    }));
                }
                Sighting::Command(key, command) => {
                    tokens.extend([command.x, command.y]);
                    let merge = command.kind == CommandKind::Merge;
                    commands.push(json!({
                        "id": id(key.id), "time": key.time,
                        "kind": if merge { "merge" } else { "unmerge" },
                        "x": self.identifier(command.x), "y": self.identifier(command.y),
                    }));
                }
            }
        }
        let token = |ident: Ident| {
            let [kind, value] = self.identifier(ident);
            json!([kind, value, ident.token.to_string()])
        };
        let erased: Vec<_> = self.identifiers.iter().map(|i| self.identifier(*i)).collect();
        let erased_events: Vec<_> = self.events.iter().map(|event| id(*event)).collect();
        let mut case = json!({
            "types": self.config.types.iter().map(|t| (t.name.clone(), options(t)))
                .collect::<Map<_, _>>(),
            "blocked": ["", "null"],
            "events": events,
            "commands": commands,
            "erased": {"identifiers": erased, "events": erased_events},
            "tokens": tokens.into_iter().map(token).collect::<Vec<_>>(),
        });
        if self.config.cluster_max != NO_LIMIT {
            case["cluster_max"] = self.config.cluster_max.into();
        }
        case
    }

    /// The identifiers of an event in any order, with blocked values and a type that the job does
    /// not have.
    fn ids(&self, idents: &[Ident], random: &mut Seeded) -> Value {
        let mut ids: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut idents = idents.to_vec();
        let turn = random.below(idents.len().max(1) as u64) as usize;
        idents.rotate_left(turn);
        for ident in idents {
            let [kind, value] = self.identifier(ident);
            ids.entry(kind).or_default().push(value);
        }
        if random.once_in(4) {
            let kind = &self.config.types[random.below(self.config.types.len() as u64) as usize];
            ids.entry(kind.name.clone()).or_default().push(random.pick(&["", "null"]).to_owned());
        }
        if random.once_in(4) {
            ids.insert("cookie".to_owned(), vec!["1".to_owned()]);
        }
        let one_or_many = |mut values: Vec<String>| match values.len() {
            1 => json!(values.remove(0)),
            _ => json!(values),
        };
        ids.into_iter().map(|(kind, values)| (kind, one_or_many(values))).collect()
    }
}

fn id(id: u128) -> String {
    format!("{id:032x}")
}

fn options(t: &IdentityType) -> Value {
    let mut options = json!({"rank": t.rank});
    for (name, limit) in [("degree_max", t.degree_max), ("owners_max", t.owners_max)] {
        if limit != NO_LIMIT {
            options[name] = limit.into();
        }
    }
    for (name, span) in [("forward", t.forward), ("back", t.back)] {
        if span != FOREVER {
            options[name] = span.into();
        }
    }
    match t.own {
        Own::Time => {}
        Own::First => options["own"] = "first".into(),
        Own::Last => options["own"] = "last".into(),
    }
    options
}

/// What identity.py answers, case by case.
fn answers(cases: &[Value]) -> Vec<Map<String, Value>> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cases.ndjson");
    let lines: Vec<String> = cases.iter().map(ToString::to_string).collect();
    std::fs::write(&file, lines.join("\n")).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("spec/drive.py");
    // -B: no cache of bytecode in the source tree.
    let run = Process::new("python3").arg("-B").arg(script).arg(&file).output();
    let output =
        run.expect("python3 runs the specification; to install it: apt-get install python3");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "identity.py failed: {errors}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn the_oracle_agrees_with_the_python_text() {
    let cases: Vec<Case> = (0..CASES).map(Case::new).collect();
    let random = &mut Seeded(1);
    let written: Vec<Value> = cases.iter().map(|case| case.json(random)).collect();
    let answers = answers(&written);
    assert_eq!(answers.len(), cases.len());
    let mut people = 0;
    for (seed, (case, answer)) in cases.iter().zip(answers).enumerate() {
        let expected: Map<String, Value> = case
            .answer()
            .into_iter()
            .map(|(event, members)| {
                let person = members.map_or(Value::Null, |members| {
                    people += 1;
                    let name = members.iter().map(|ident| ident.token).min().unwrap();
                    let members = members.into_iter().map(|ident| case.identifier(ident));
                    json!([name.to_string(), members.collect::<BTreeSet<_>>()])
                });
                (id(event), person)
            })
            .collect();
        for (id, person) in &expected {
            assert_eq!(Some(person), answer.get(id), "case {seed}, event {id}: {}", written[seed]);
        }
        assert_eq!(answer.len(), expected.len(), "case {seed}: events");
    }
    assert!(people > 10_000, "only {people} events with a person");
}

/// Each rule of the text decides something in some cases.
#[test]
fn the_cases_use_every_rule() {
    let each_type = |case: &mut Case, change: fn(&mut IdentityType)| {
        case.config.types.iter_mut().for_each(change);
    };
    let rules: [(&str, Box<dyn Fn(&mut Case)>); 15] = [
        ("hubs", Box::new(move |case| each_type(case, |t| t.degree_max = NO_LIMIT))),
        ("kiosks", Box::new(move |case| each_type(case, |t| t.owners_max = NO_LIMIT))),
        ("forward", Box::new(move |case| each_type(case, |t| t.forward = FOREVER))),
        ("back", Box::new(move |case| each_type(case, |t| t.back = FOREVER))),
        ("own", Box::new(move |case| each_type(case, |t| t.own = Own::Time))),
        ("ranks", Box::new(move |case| each_type(case, |t| t.rank = 1))),
        ("cluster_max", Box::new(|case| case.config.cluster_max = NO_LIMIT)),
        ("merges in a rank", Box::new(without(CommandKind::Merge, true))),
        ("merges across ranks", Box::new(without(CommandKind::Merge, false))),
        ("unmerges in a rank", Box::new(without(CommandKind::Unmerge, true))),
        ("unmerges across ranks", Box::new(without(CommandKind::Unmerge, false))),
        ("the last word", Box::new(first_words)),
        ("sequence", Box::new(without_sequence)),
        ("erased identifiers", Box::new(|case| case.identifiers.clear())),
        ("erased events", Box::new(|case| case.events.clear())),
    ];
    let cases: Vec<Case> = (0..CASES).map(Case::new).collect();
    for (rule, switch_off) in rules {
        let mut decided = 0;
        for case in &cases {
            let mut other = case.clone();
            switch_off(&mut other);
            decided += usize::from(case.differs(&other));
        }
        assert!(decided >= 5, "{rule} decides something in {decided} cases");
    }
}

fn without(kind: CommandKind, in_rank: bool) -> impl Fn(&mut Case) {
    move |case| {
        case.retain(|config, k, x, y| k != kind || (config.rank(x) == config.rank(y)) != in_rank);
    }
}

/// Leaves the first command on each pair.
fn first_words(case: &mut Case) {
    let mut seen = BTreeSet::new();
    case.retain(|_, _, x, y| seen.insert((x.min(y), x.max(y))));
}

fn without_sequence(case: &mut Case) {
    for sighting in &mut case.sightings {
        if let Sighting::Event(key, _) = sighting {
            key.seq = 0;
        }
    }
}
