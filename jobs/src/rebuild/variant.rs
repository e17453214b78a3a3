//! The text of a job file with changes made to it, comments and order as they were.

use toml_edit::{
    Array, ArrayOfTables, DocumentMut, InlineTable, Item, Key, Table, TableLike, Value,
};

/// The identity types of a job file that names none, so that one of them can be changed. A test
/// compares them with what such a job has.
const USUAL_TYPES: &str = r#"
[[identity.type]]
name = "user_id"
from = ["userId"]
rank = 0
[[identity.type]]
name = "email"
from = ["traits.email", "context.traits.email"]
rank = 1
owners_max = 5
[[identity.type]]
name = "anonymous_id"
from = ["anonymousId"]
rank = 2
degree_max = 100
forward = "30d"
"#;

/// A job file's text that is being changed.
pub struct Variant(DocumentMut);

impl Variant {
    /// Begins with a text.
    ///
    /// # Errors
    ///
    /// It is no TOML.
    pub fn new(text: &str) -> Result<Self, String> {
        text.parse().map(Self).map_err(|error| error.to_string())
    }

    /// Gives a key another value. The path has keys with dots between them; a table of a list is
    /// named by its `name`, `kind`, or place from 0: `identity.type.email.owners_max`,
    /// `view.purchase.funnelWindowInterval`, `view.purchase.steps.1.event`.
    ///
    /// # Errors
    ///
    /// There is no such place.
    pub fn set(&mut self, path: &str, value: &str) -> Result<(), String> {
        let value = value.parse::<Value>().unwrap_or_else(|_| Value::from(value));
        let keys: Vec<&str> = path.split('.').collect();
        let Some((last, above)) = keys.split_last().filter(|_| keys.iter().all(|k| !k.is_empty()))
        else {
            return Err("write a key and its value, such as time.admit=3d".to_owned());
        };
        if above.first() == Some(&"identity") && above.get(1) == Some(&"type") {
            self.write_types();
        }
        let mut place = Place::Table(self.0.as_table_mut());
        for (depth, key) in above.iter().enumerate() {
            place = place.step(key, &keys[..depth])?;
        }
        place.put(last, value, path)
    }

    /// Writes out the usual identity types where the file has none.
    fn write_types(&mut self) {
        let identity = self.0.entry("identity").or_insert_with(|| {
            let mut table = Table::new();
            table.set_implicit(true);
            Item::Table(table)
        });
        let Some(identity) = identity.as_table_like_mut().filter(|i| !i.contains_key("type"))
        else {
            return;
        };
        let usual = USUAL_TYPES.parse::<DocumentMut>().unwrap_or_default();
        if let Some(Item::ArrayOfTables(types)) = usual.get("identity").and_then(|i| i.get("type"))
        {
            // Places of another document would put them in front.
            let types = types.iter().cloned().map(|mut table| {
                table.set_position(None);
                table
            });
            let types: ArrayOfTables = types.collect();
            identity.insert("type", Item::ArrayOfTables(types));
        }
    }

    /// Leaves only some views: those of `[[view]]` by `kept`, which is told the name of each one's
    /// table, those that these depend on, and of the built-in ones those that are not in `without`
    /// and were not left out before.
    pub fn leave_out(&mut self, kept: impl Fn(&str) -> bool, without: &[&str]) {
        if let Some(Item::ArrayOfTables(views)) = self.0.get_mut("view") {
            let said: Vec<Said> = views.iter().map(Said::of).collect();
            let mut kept = needed(&said, kept).into_iter();
            views.retain(|_| kept.next() == Some(true));
        } else if let Some(Item::Value(Value::Array(views))) = self.0.get_mut("view") {
            let said = |view: &Value| view.as_inline_table().map_or_else(Said::default, Said::of);
            let said: Vec<Said> = views.iter().map(said).collect();
            let mut kept = needed(&said, kept).into_iter();
            views.retain(|_| kept.next() == Some(true));
        }
        if let Some(job) = self.0.get_mut("job").and_then(Item::as_table_like_mut) {
            let mut list = strings(job.get("without"));
            for name in without {
                if !list.iter().any(|known| known == name) {
                    list.push((*name).to_owned());
                }
            }
            job.insert("without", Item::Value(Value::Array(list.into_iter().collect())));
        }
    }

    /// The text as it is now.
    pub fn text(&self) -> String {
        self.0.to_string()
    }
}

/// What a view of a job file says, as far as others go by it.
#[derive(Default)]
struct Said {
    kind: String,
    name: String,
    /// What it counts.
    counting: String,
    /// The views whose people it is broken down by, as cohorts.
    cohorts: Vec<String>,
}

impl Said {
    fn of(view: &impl TableLike) -> Self {
        let text = |key| view.get(key).and_then(Item::as_str).unwrap_or_default().to_owned();
        let cohort = |by: String| {
            let name = by.strip_prefix("cohort.")?;
            // Names of views have no dots; behind one stands a step.
            Some(name.split('.').next().unwrap_or_default().to_owned())
        };
        let cohorts = strings(view.get("breakdown")).into_iter().filter_map(cohort).collect();
        Self { kind: text("kind"), name: text("name"), counting: text("counting"), cohorts }
    }

    /// What its table is called.
    fn table(&self) -> String {
        let Self { kind, name, .. } = self;
        if name.is_empty() { kind.clone() } else { format!("{kind}_{name}") }
    }

    /// Whether another view is made of it: of sessions all that count them, and of what has people
    /// those for which they are a cohort.
    fn is_needed_by(&self, other: &Self) -> bool {
        let called = if self.kind == "funnel" { self.name.clone() } else { self.table() };
        (self.kind == "sessions" && other.counting == "sessions") || other.cohorts.contains(&called)
    }
}

/// Which of some views stay: those by `kept`, and those that these need.
fn needed(views: &[Said], kept: impl Fn(&str) -> bool) -> Vec<bool> {
    let mut stay: Vec<bool> = views.iter().map(|view| kept(&view.table())).collect();
    loop {
        let is_new = |place: &usize| {
            let by = |(other, stays): (&Said, &bool)| *stays && views[*place].is_needed_by(other);
            !stay[*place] && views.iter().zip(&stay).any(by)
        };
        let Some(place) = (0..views.len()).find(is_new) else { return stay };
        stay[place] = true;
    }
}

/// A text, or those in a list.
fn strings(item: Option<&Item>) -> Vec<String> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    match item.and_then(Item::as_value) {
        Some(Value::Array(list)) => list.iter().filter_map(text).collect(),
        Some(value) => text(value).into_iter().collect(),
        None => Vec::new(),
    }
}

/// Where in a file a path has come to.
enum Place<'a> {
    Table(&'a mut Table),
    Inline(&'a mut InlineTable),
    Tables(&'a mut ArrayOfTables),
    Values(&'a mut Array),
}

impl<'a> Place<'a> {
    fn of(item: &'a mut Item) -> Option<Self> {
        Some(match item {
            Item::Table(table) => Self::Table(table),
            Item::ArrayOfTables(tables) => Self::Tables(tables),
            Item::Value(value) => return Self::of_value(value),
            Item::None => return None,
        })
    }

    fn of_value(value: &'a mut Value) -> Option<Self> {
        Some(match value {
            Value::InlineTable(table) => Self::Inline(table),
            Value::Array(values) => Self::Values(values),
            _ => return None,
        })
    }

    /// Goes on to what a key names; `before` is the way here.
    fn step(self, key: &str, before: &[&str]) -> Result<Self, String> {
        let here = || if before.is_empty() { "the file".to_owned() } else { before.join(".") };
        let no_table = || format!("{key} of {} is no table; name a key of one", here());
        match self {
            Self::Table(table) => {
                let new = || {
                    let mut new = Table::new();
                    new.set_implicit(true);
                    Item::Table(new)
                };
                let item = table.entry(key).or_insert_with(new);
                Self::of(item).ok_or_else(no_table)
            }
            Self::Inline(table) => {
                let new = || Value::InlineTable(InlineTable::new());
                Self::of_value(table.entry(key).or_insert_with(new)).ok_or_else(no_table)
            }
            Self::Tables(tables) => {
                let words = |t: &Table, key: &str| t.get(key)?.as_str().map(str::to_owned);
                let names: Vec<Names> =
                    tables.iter().map(|t| Names(words(t, "name"), words(t, "kind"))).collect();
                let at = find(&names, key, &here())?;
                tables.get_mut(at).map(Self::Table).ok_or_else(no_table)
            }
            Self::Values(values) => {
                let words = |value: &Value, key: &str| {
                    value.as_inline_table()?.get(key)?.as_str().map(str::to_owned)
                };
                let names: Vec<Names> =
                    values.iter().map(|v| Names(words(v, "name"), words(v, "kind"))).collect();
                let at = find(&names, key, &here())?;
                values.get_mut(at).and_then(Self::of_value).ok_or_else(no_table)
            }
        }
    }

    /// Puts a value under a key.
    fn put(self, key: &str, mut value: Value, path: &str) -> Result<(), String> {
        match self {
            Self::Table(table) => match table.get_mut(key) {
                Some(Item::Table(_) | Item::ArrayOfTables(_)) => {
                    return Err(format!("{path} is a table; name a key of it"));
                }
                Some(Item::Value(old)) => {
                    *value.decor_mut() = old.decor().clone();
                    *old = value;
                }
                _ => drop(table.insert(key, Item::Value(value))),
            },
            Self::Inline(table) => {
                drop(table.insert_formatted(&Key::new(key), value));
            }
            Self::Values(values) => {
                let place = key.parse().ok().filter(|place| *place < values.len());
                let place: usize = place.ok_or_else(|| format!("there is no {path}"))?;
                drop(values.replace(place, value));
            }
            Self::Tables(_) => return Err(format!("{path} is a table; name a key of it")),
        }
        Ok(())
    }
}

/// The name and the kind of a table in a list.
struct Names(Option<String>, Option<String>);

/// The place of the table that a key names.
fn find(list: &[Names], key: &str, here: &str) -> Result<usize, String> {
    let by_name = |names: &Names| names.0.as_deref() == Some(key);
    let by_kind = |names: &Names| names.1.as_deref() == Some(key);
    let place = list.iter().position(by_name).or_else(|| list.iter().position(by_kind));
    let place = place.or_else(|| key.parse().ok().filter(|place| *place < list.len()));
    place.ok_or_else(|| {
        let known: Vec<&str> =
            list.iter().filter_map(|n| n.0.as_deref().or(n.1.as_deref())).collect();
        format!("there is no {key} in {here}; there are {}", known.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::runtime::{job_file, plan};

    const JOB: &str = "\
# A shop.
[job]
name = \"shop\" # its name
out = \"out\"

[[source]]
name = \"web\"
connector = \"kafka\"
brokers = \"kafka-1:9092\"
topics = \"web\"

[[view]]
kind = \"sessions\"

[[view]]
kind = \"funnel\"
name = \"buy\"
steps = [{ event = \"see\" }, { event = \"buy\" }]
";

    fn set(path: &str, value: &str) -> Result<String, String> {
        let mut variant = Variant::new(JOB).unwrap();
        variant.set(path, value).map(|()| variant.text())
    }

    fn planned(text: &str) -> plan::Plan {
        let read = job_file::parse(Path::new("job.toml"), text, &|_| None);
        let (text, file) = read.unwrap_or_else(|problem| panic!("{problem}\n{text}"));
        plan::plan(&text, &file).unwrap_or_else(|problems| panic!("{problems:?}"))
    }

    #[test]
    fn a_changed_file_says_what_it_said_and_the_change() {
        for (path, value, from, to) in [
            ("job.name", "shop2", "name = \"shop\" # its name", "name = \"shop2\" # its name"),
            (
                "view.sessions.gap",
                "5m",
                "kind = \"sessions\"\n",
                "kind = \"sessions\"\ngap = \"5m\"\n",
            ),
            ("view.buy.steps.1.event", "pay", "{ event = \"buy\" }", "{ event = \"pay\" }"),
            ("view.1.name", "b", "name = \"buy\"", "name = \"b\""),
        ] {
            assert!(JOB.contains(from), "{from}");
            assert_eq!(set(path, value).unwrap(), JOB.replacen(from, to, 1), "{path}");
        }
        let added = set("time.admit", "3d").unwrap();
        assert!(added.starts_with("# A shop.\n[job]") && added.contains("admit = \"3d\""));
        let days = planned(&added).time.admit;
        assert_eq!(days, 3 * 86_400 * 1_000_000);
        let number = set("view.buy.funnelWindowInterval", "3").unwrap();
        assert!(number.contains("funnelWindowInterval = 3"), "{number}");
    }

    #[test]
    fn usual_identity_types_can_be_changed() {
        let before = planned(JOB);
        // The same value: nothing changes by being written out.
        let same = planned(&set("identity.type.email.owners_max", "5").unwrap());
        assert_eq!(same.identity, before.identity);
        let fields = |plan: &plan::Plan| plan.sources[0].decode.identities.clone();
        assert_eq!(format!("{:?}", fields(&same)), format!("{:?}", fields(&before)));
        let changed = planned(&set("identity.type.email.owners_max", "1").unwrap());
        assert_eq!(changed.identity.types[1].owners_max, 1);
        assert_eq!(changed.identity.types.len(), 3);
    }

    #[test]
    fn what_is_not_there_is_said() {
        for (path, message) in [
            ("identity.type.phone.rank", "there is no phone in identity.type; there are user_id"),
            ("view.sell.name", "there is no sell in view; there are sessions, buy"),
            ("view.buy", "view.buy is a table; name a key of it"),
            ("job", "job is a table; name a key of it"),
            ("job.name.first", "name of job is no table"),
            ("view.buy.steps.7", "there is no view.buy.steps.7"),
            ("", "write a key and its value"),
            ("a..b", "write a key and its value"),
        ] {
            let error = set(path, "1").unwrap_err();
            assert!(error.starts_with(message), "{path}: {error}");
        }
    }

    #[test]
    fn some_views_are_left() {
        let mut variant = Variant::new(JOB).unwrap();
        variant.leave_out(|view| view == "funnel_buy", &["events", "people"]);
        let plan = planned(&variant.text());
        let names: Vec<&str> = plan.catalog.schemas.iter().map(|s| &*s.name).collect();
        assert!(names.contains(&"funnel_buy") && names.contains(&"identifiers"), "{names:?}");
        assert!(!names.contains(&"sessions") && !names.contains(&"events"), "{names:?}");
    }

    /// What a view is made of stays with it, and what the job leaves out stays left out.
    #[test]
    fn what_views_that_are_left_need_stays() {
        let job = JOB.replace("out = \"out\"", "out = \"out\"\nwithout = [\"duplicates\"]");
        let job = job.replace("kind = \"sessions\"", "kind = \"sessions\"\ngap = \"5m\"");
        let funnel = |name: &str, more: &str| {
            let steps = "steps = [{ event = \"see\" }, { event = \"buy\" }]";
            format!("[[view]]\nkind = \"funnel\"\nname = {name:?}\n{steps}\n{more}\n")
        };
        let trend = "[[view]]\nkind = \"trend\"\nname = \"t\"\nmetric = \"people\"\n";
        let of_both = funnel("d", "breakdown = [\"cohort.c.1\", \"cohort.trend_t\"]");
        let counts = funnel("c", "counting = \"sessions\"");
        let whole = [&job, &counts, trend, &of_both].concat();
        let left = |view: &str| {
            let mut variant = Variant::new(&whole).unwrap();
            variant.leave_out(|name| name == view, &["events"]);
            planned(&variant.text())
        };
        let names = |plan: &plan::Plan| -> Vec<String> {
            let all = plan.catalog.schemas.iter().map(|schema| schema.name.to_string());
            let views = ["sessions", "trend_t", "funnel_buy", "funnel_c", "funnel_d"];
            all.filter(|name| views.contains(&&**name)).collect()
        };
        assert_eq!(names(&left("funnel_buy")), ["funnel_buy"]);
        assert_eq!(names(&left("trend_t")), ["trend_t"]);
        let plan = left("funnel_c");
        assert_eq!(names(&plan), ["sessions", "funnel_c"]);
        let all = left("funnel_d");
        assert_eq!(names(&all), ["sessions", "funnel_c", "trend_t", "funnel_d"]);
        // Nothing of a funnel differs by what else there is.
        let spec = |plan: &plan::Plan| {
            let mut funnels = plan.catalog.specs.iter().filter_map(|spec| spec.funnel());
            format!("{:?}", funnels.find(|funnel| &*funnel.name == "c"))
        };
        assert_eq!(spec(&plan), spec(&planned(&whole)));
        let there = |name: &str| all.catalog.schemas.iter().any(|schema| &*schema.name == name);
        assert!(!there("duplicates") && !there("events") && there("people"));
    }
}
