//! What PostHog's public tests expect: `posthog.txt`, run through people and counts.

use std::collections::BTreeMap;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::model::{
    Cause, Cell, CellRef, DAY, Event, EventKey, EventKind, Micros, Origin, Row, SECOND, Token,
    Value,
};
use crate::people::{GroupFact, People, PeopleOutput};
use crate::store::{Fact, PersonRef};
use crate::views::catalog::Catalog;
use crate::views::counts::Counts;
use crate::views::funnel::spec::{
    Attribution, BreakdownBy, Exclusion, Filter, FunnelSpec, FunnelStep, Order,
};
use crate::views::predicate::{Matcher, Operator, Predicate, PropertyFilter};
use crate::views::spec::{Period, ViewSpec};

/// One test of the file: its lines, by what stands before the colon.
#[derive(Default)]
struct Case<'a> {
    name: &'a str,
    lines: Vec<(&'a str, &'a str)>,
    properties: Vec<&'a str>,
    matcher: Matcher,
}

const KEYS: [&str; 13] = [
    "period",
    "zone",
    "order",
    "steps",
    "window",
    "exclude",
    "breakdown",
    "attribution",
    "limit",
    "group",
    "median",
    "bins",
    "=",
];

impl<'a> Case<'a> {
    fn all(&self, key: &str) -> impl Iterator<Item = &'a str> {
        self.lines.iter().filter(move |(k, _)| *k == key).map(|(_, v)| *v)
    }

    fn property(&mut self, name: &'a str) -> usize {
        self.properties.iter().position(|p| *p == name).unwrap_or_else(|| {
            self.properties.push(name);
            self.properties.len() - 1
        })
    }

    /// `event{property=value,…}`: its name, and the braces' content.
    fn parts(text: &'a str) -> (&'a str, &'a str) {
        let (name, rest) = text.split_once('{').unwrap_or((text, "}"));
        (name, rest.trim_end_matches('}'))
    }

    fn filter(&mut self, name: &str, conditions: &'a str) -> Filter {
        let mut predicate = Predicate::default();
        predicate.events.extend((name != "*").then(|| Arc::from(name)));
        for condition in conditions.split(',').filter(|c| !c.is_empty()) {
            let (operator, at) = match condition.find('~') {
                Some(at) => (Operator::Icontains, at),
                None => (Operator::Exact, condition.find('=').expect("a condition")),
            };
            let value = vec![Value::Str(condition[at + 1..].into())];
            let property = self.property(&condition[..at]);
            let filter = PropertyFilter::new(property, operator, value).expect("a condition");
            predicate.properties.push(filter);
        }
        Filter::of(self.matcher.index(predicate))
    }

    fn step(&mut self, text: &'a str) -> FunnelStep {
        let (name, conditions) = Self::parts(text);
        let plain = name.trim_end_matches(['?', '!']);
        let filter = self.filter(plain, conditions);
        let first = match name.matches('!').count() {
            0 => None,
            1 => Some(self.filter(plain, "")),
            _ => Some(filter.clone()),
        };
        FunnelStep { label: plain.into(), filter, optional: name.contains('?'), first }
    }

    fn spec(&mut self, order: Order) -> FunnelSpec {
        let steps = self.all("steps").flat_map(str::split_whitespace).collect::<Vec<_>>();
        let steps = steps.into_iter().map(|step| self.step(step)).collect();
        let mut spec = FunnelSpec::new("f", steps, 14 * DAY);
        spec.order = order;
        if let Some(window) = self.all("window").next() {
            let (number, unit) = window.split_at(window.len() - 1);
            let unit = match unit {
                "s" => SECOND,
                "m" => 60 * SECOND,
                "h" => 3600 * SECOND,
                _ => DAY,
            };
            spec.window = number.parse::<i64>().expect("a number") * unit;
        }
        for line in self.all("exclude").collect::<Vec<_>>() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let (name, conditions) = Self::parts(words[0]);
            let filter = self.filter(name, conditions);
            let [from, to] = [1, 2].map(|place: usize| words[place].parse().expect("a step"));
            spec.exclusions.push(Exclusion { filter, from, to });
        }
        for name in self.all("breakdown").flat_map(str::split_whitespace).collect::<Vec<_>>() {
            let property = self.property(name);
            spec.breakdown.push(BreakdownBy::Property(property));
        }
        spec.attribution = match self.all("attribution").next() {
            None | Some("first_touch") => Attribution::FirstTouch,
            Some("last_touch") => Attribution::LastTouch,
            Some("all_events") => Attribution::AllEvents,
            Some(step) => Attribution::Step(step[5..].parse().expect("a step")),
        };
        if let Some(limit) = self.all("limit").next() {
            spec.values_max = limit.parse().expect("a limit");
        }
        let group = self.all("group").next();
        spec.group = group.map(|name| self.property(name));
        spec.periods = vec![match self.all("period").next() {
            None => Period::All,
            Some("month") => Period::Month,
            Some(_) => Period::Day,
        }];
        spec
    }

    fn time(text: &str) -> Micros {
        let (day, clock) = text.split_once('/').expect("a day and a time");
        let mut parts = clock.split(':').map(|part| part.parse::<i64>().expect("a number"));
        let mut part = || parts.next().unwrap_or(0);
        day.parse::<i64>().expect("a day") * DAY + (part() * 3600 + part() * 60 + part()) * SECOND
    }

    fn events(&mut self, person: &str, line: &'a str) -> Vec<(EventKey, &'a str, &'a str)> {
        let mut clock = 0;
        let mut events = Vec::new();
        for (place, text) in line.split_whitespace().enumerate() {
            let (head, properties) = Self::parts(text);
            let (name, at) = head.split_once('@').unwrap_or((head, ""));
            clock = if at.is_empty() { clock + SECOND } else { Self::time(at) };
            for pair in properties.split(',').filter(|p| !p.is_empty()) {
                self.property(pair.split_once('=').expect("a property").0);
            }
            let id = crate::model::message_hash(&format!("{person} {place}"));
            events.push((EventKey { time: clock, seq: 0, id }, name, properties));
        }
        events
    }

    fn run(&mut self, order: Order) -> Vec<Row> {
        let spec = self.spec(order);
        let people: Vec<_> =
            self.lines.iter().filter(|(key, _)| !KEYS.contains(key)).copied().collect();
        let histories: Vec<_> = people.iter().map(|(who, line)| self.events(who, line)).collect();
        let zone = self.all("zone").next().unwrap_or("UTC");
        let catalog = Catalog::new(vec![ViewSpec::Funnel(spec)], &[], zone).expect("a zone");
        let mut world = People::new(&catalog, Vec::new());
        for (handle, history) in histories.iter().enumerate() {
            let person = PersonRef { tenant: 1, handle: handle as u64 };
            world.update_name(person, Some(Token(handle as u128)), Cause::Merge);
            for event in history {
                let event = self.event(event);
                let fact = Fact { person: Some(person), event, diff: 1, cause: Cause::New };
                GroupFact::of(&catalog, &fact).for_each(|group| world.update_group(group));
                world.update_fact(fact);
            }
        }
        let mut out = PeopleOutput::default();
        world.advance(&mut out);
        let mut counts = Counts::new(&catalog);
        out.contributions.into_iter().for_each(|c| counts.update(c));
        let mut changes = Vec::new();
        counts.advance(&mut changes);
        assert!(changes.iter().all(|c| c.diff == 1), "{}", self.name);
        let first = catalog.tables[0];
        changes.into_iter().map(|c| Row { view: c.row.view - first, ..c.row }).collect()
    }

    fn event(&self, (key, name, properties): &(EventKey, &str, &str)) -> Arc<Event> {
        let mut values: Vec<Option<Value>> = vec![None; self.properties.len()];
        for pair in properties.split(',').filter(|p| !p.is_empty()) {
            let (name, value) = pair.split_once('=').expect("a property");
            let place = self.properties.iter().position(|p| *p == name).expect("it is known");
            let number = value.parse().ok().map(Value::Int);
            values[place] = Some(number.unwrap_or_else(|| Value::Str(value.into())));
        }
        Arc::new(Event {
            kind: EventKind::shared("t", "web", name),
            key: *key,
            message_id: format!("{:x}", { key.id }).into(),
            origin: Origin::default(),
            idents: SmallVec::new(),
            special: None,
            matches: self.matcher.matches(name, "web", &values),
            properties: values.into(),
            content: 0,
        })
    }
}

/// Counts of each step, and its average and median in seconds.
type Numbers = Vec<(i64, Option<f64>, Option<f64>)>;

fn table(rows: &[Row]) -> BTreeMap<String, Numbers> {
    let mut table: BTreeMap<String, Numbers> = BTreeMap::new();
    let number = |cell: CellRef<'_>| match cell {
        CellRef::Float(bits) => Some(f64::from_bits(bits)),
        _ => None,
    };
    let mut rows: Vec<&Row> = rows.iter().filter(|row| row.view == 0).collect();
    rows.sort_by(|a, b| a.cells.get(4).cmp(&b.cells.get(4)));
    for row in rows {
        let value = match row.cells.get(3) {
            CellRef::Str(text) => text.to_string(),
            _ => "-".to_owned(),
        };
        // Under the number of the day that a period begins on.
        let value = match row.cells.get(2) {
            CellRef::Time(start) if value == "-" => start.div_euclid(DAY).to_string(),
            CellRef::Time(start) => format!("{} {value}", start.div_euclid(DAY)),
            _ => value,
        };
        let CellRef::Int(count) = row.cells.get(6) else { panic!("a count") };
        let numbers = (count, number(row.cells.get(9)), number(row.cells.get(10)));
        table.entry(value).or_default().push(numbers);
    }
    table
}

fn check(case: &mut Case<'_>, order: Order) {
    let rows = case.run(order);
    let table = table(&rows);
    let name = format!("{} {order:?}", case.name);
    let mut expected = 0;
    for line in case.all("=").collect::<Vec<_>>() {
        if line == "nobody" {
            continue;
        }
        expected += 1;
        let (value, numbers) = line.split_once(": ").unwrap_or(("-", line));
        let (counts, averages) = numbers.split_once(';').unwrap_or((numbers, ""));
        let there = table.get(value).unwrap_or_else(|| panic!("{name}: no {value} in {table:?}"));
        let counts: Vec<&str> = counts.split_whitespace().collect();
        assert_eq!(there.len(), counts.len(), "{name}: {value}");
        // What the test does not look at is `?`.
        for (place, count) in counts.iter().enumerate().filter(|(_, count)| **count != "?") {
            assert_eq!(there[place].0.to_string(), **count, "{name}: {value}, step {place}");
        }
        let seconds = |text: &str| text.parse::<f64>().ok();
        for (place, average) in averages.split_whitespace().enumerate() {
            assert_eq!(there[place].1, seconds(average), "{name}: {value}, average {place}");
        }
        for medians in case.all("median") {
            for (place, median) in medians.split_whitespace().enumerate() {
                assert_eq!(there[place].2, seconds(median), "{name}: median {place}");
            }
        }
    }
    assert_eq!(table.len(), expected, "{name}: {table:?}");
    for line in case.all("bins") {
        let bin: Vec<i64> = line.split_whitespace().map(|n| n.parse().expect("a bin")).collect();
        let is = |row: &&Row| {
            row.view == 2
                && row.cells.get(4) == CellRef::Int(bin[0])
                && row.cells.get(5) == CellRef::Int(bin[1])
                && row.cells.get(6) == Cell::float(bin[2] as f64).as_ref()
        };
        let row = rows.iter().find(is).unwrap_or_else(|| panic!("{name}: no bin {line}"));
        assert_eq!(row.cells.get(8), CellRef::Int(bin[3]), "{name}: bin {line}");
    }
}

#[test]
fn every_expectation_holds() {
    let text = include_str!("posthog.txt");
    let mut cases: Vec<Case<'_>> = Vec::new();
    for line in text.lines().filter(|l| !l.is_empty() && !l.starts_with('#')) {
        if let Some(name) = line.strip_prefix('[') {
            cases.push(Case { name: name.trim_end_matches(']'), ..Case::default() });
        } else {
            let case = cases.last_mut().expect("a test before its lines");
            let (key, value) = match line.strip_prefix("= ") {
                Some(expected) => ("=", expected),
                None => line.split_once(": ").expect("a key and a value"),
            };
            case.lines.push((key, value));
        }
    }
    assert!(cases.len() > 60);
    for case in &mut cases {
        let orders = case.all("order").next().unwrap_or("ordered");
        for order in orders.split_whitespace() {
            let order = match order {
                "strict" => Order::Strict,
                "unordered" => Order::Unordered,
                _ => Order::Ordered,
            };
            check(case, order);
        }
    }
}
