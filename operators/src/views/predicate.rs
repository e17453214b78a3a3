//! Predicates over an event's name, channel and properties, evaluated once, when it is decoded.

use std::cmp::Ordering;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use regex::Regex;
use thiserror::Error;

use crate::model::{Matches, Micros, SECOND, Value};

/// How a property is compared. Names and meanings are PostHog's.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Operator {
    /// Equal to any of the values.
    Exact,
    /// Equal to none of the values; holds where the property is not set.
    IsNot,
    /// Contains any of the values, ignoring case.
    Icontains,
    /// Contains none of the values, ignoring case; holds where the property is not set.
    NotIcontains,
    /// One of the patterns is found in it.
    Regex,
    /// None of the patterns is found in it; holds where the property is not set.
    NotRegex,
    /// Greater than the value.
    Gt,
    /// Greater than the value or equal.
    Gte,
    /// Less than the value.
    Lt,
    /// Less than the value or equal.
    Lte,
    /// Is there.
    IsSet,
    /// Is not there.
    IsNotSet,
    /// The same moment, or on the same day (UTC) if the value is a date.
    IsDateExact,
    /// Before the moment or the day.
    IsDateBefore,
    /// After the moment or the day.
    IsDateAfter,
}

impl Operator {
    /// The words of a job file.
    pub const WORDS: [(&'static str, Self); 17] = [
        ("exact", Self::Exact),
        ("is_not", Self::IsNot),
        ("icontains", Self::Icontains),
        ("not_icontains", Self::NotIcontains),
        ("regex", Self::Regex),
        ("not_regex", Self::NotRegex),
        ("gt", Self::Gt),
        ("gte", Self::Gte),
        ("lt", Self::Lt),
        ("lte", Self::Lte),
        ("in", Self::Exact),
        ("not_in", Self::IsNot),
        ("is_set", Self::IsSet),
        ("is_not_set", Self::IsNotSet),
        ("is_date_exact", Self::IsDateExact),
        ("is_date_before", Self::IsDateBefore),
        ("is_date_after", Self::IsDateAfter),
    ];

    /// The operator that a word means.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::WORDS.iter().find(|(w, _)| *w == word).map(|(_, operator)| *operator)
    }

    /// Whether it holds where the property is not set.
    fn holds_unset(self) -> bool {
        matches!(self, Self::IsNot | Self::NotIcontains | Self::NotRegex | Self::IsNotSet)
    }
}

/// A pattern with its text, by which it is compared.
#[derive(Clone, Debug)]
struct Pattern(Regex);

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for Pattern {}

impl std::hash::Hash for Pattern {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.as_str().hash(state);
    }
}

/// With what a property is compared.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Operand {
    Value(Value),
    /// In lower case.
    Part(String),
    Pattern(Pattern),
    /// The first and the last moment of a date, or twice the same.
    Moment(Micros, Micros),
}

/// Why a condition makes no sense.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum BadFilter {
    /// No value.
    #[error("the operator needs a value; write value = \"…\" or a list of values")]
    NoValue,
    /// A value that is not wanted.
    #[error("is_set and is_not_set take no value; remove it")]
    WithValue,
    /// A value that is no number.
    #[error("{0:?} is no number; write one, such as value = 10")]
    NoNumber(String),
    /// A value that is no date.
    #[error("{0:?} is no date; write one such as \"2024-03-13\" or \"2024-03-13T10:21:14Z\"")]
    NoDate(String),
    /// A value that is no pattern.
    #[error("{0:?} is no regular expression: {1}")]
    NoPattern(String, String),
}

/// A condition on one property.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct PropertyFilter {
    property: usize,
    operator: Operator,
    operands: Vec<Operand>,
}

/// Memory that a pattern may take, in bytes: patterns come from job files and must not exhaust it.
const PATTERN_BYTES_MAX: usize = 1 << 20;

impl PropertyFilter {
    /// A condition on the property of this index in the job's list.
    ///
    /// # Errors
    ///
    /// A value is missing, not wanted, or not of the kind that the operator compares.
    pub fn new(property: usize, operator: Operator, values: Vec<Value>) -> Result<Self, BadFilter> {
        let wanted = !matches!(operator, Operator::IsSet | Operator::IsNotSet);
        if wanted && values.is_empty() {
            return Err(BadFilter::NoValue);
        }
        if !wanted && !values.is_empty() {
            return Err(BadFilter::WithValue);
        }
        let operand = |value: Value| match operator {
            Operator::Icontains | Operator::NotIcontains => {
                Ok(Operand::Part(value.to_string().to_lowercase()))
            }
            Operator::Regex | Operator::NotRegex => {
                let text = value.to_string();
                let mut builder = regex::RegexBuilder::new(&text);
                match builder.size_limit(PATTERN_BYTES_MAX).build() {
                    Ok(regex) => Ok(Operand::Pattern(Pattern(regex))),
                    Err(error) => {
                        let error = error.to_string();
                        let last = error.lines().last().unwrap_or_default().to_owned();
                        Err(BadFilter::NoPattern(text, last))
                    }
                }
            }
            Operator::Gt | Operator::Gte | Operator::Lt | Operator::Lte => match value.number() {
                Some(_) => Ok(Operand::Value(value)),
                None => Err(BadFilter::NoNumber(value.to_string())),
            },
            Operator::IsDateExact | Operator::IsDateBefore | Operator::IsDateAfter => {
                let moment = moment(&value).ok_or_else(|| BadFilter::NoDate(value.to_string()));
                moment.map(|(first, last)| Operand::Moment(first, last))
            }
            _ => Ok(Operand::Value(value)),
        };
        let operands = values.into_iter().map(operand).collect::<Result<_, _>>()?;
        Ok(Self { property, operator, operands })
    }

    /// Index of the property in the job's list.
    pub fn property(&self) -> usize {
        self.property
    }

    /// Whether a value, or none, satisfies the condition.
    pub fn holds(&self, value: Option<&Value>) -> bool {
        let Some(value) = value else { return self.operator.holds_unset() };
        match self.operator {
            Operator::IsSet => true,
            Operator::IsNotSet => false,
            Operator::IsNot | Operator::NotIcontains | Operator::NotRegex => {
                !self.operands.iter().any(|operand| self.compare(value, operand))
            }
            _ => self.operands.iter().any(|operand| self.compare(value, operand)),
        }
    }

    fn compare(&self, value: &Value, operand: &Operand) -> bool {
        match operand {
            Operand::Part(part) => value.to_string().to_lowercase().contains(part.as_str()),
            Operand::Pattern(pattern) => match value {
                Value::Str(text) => pattern.0.is_match(text),
                other => pattern.0.is_match(&other.to_string()),
            },
            Operand::Moment(first, last) => {
                let Some((at, _)) = moment(value) else { return false };
                match self.operator {
                    Operator::IsDateBefore => at < *first,
                    Operator::IsDateAfter => at > *last,
                    _ => at >= *first && at <= *last,
                }
            }
            Operand::Value(wanted) => {
                let is = |test: fn(Ordering) -> bool| order(value, wanted).is_some_and(test);
                match self.operator {
                    Operator::Gt => is(Ordering::is_gt),
                    Operator::Gte => is(Ordering::is_ge),
                    Operator::Lt => is(Ordering::is_lt),
                    Operator::Lte => is(Ordering::is_le),
                    _ => same(wanted, value),
                }
            }
        }
    }
}

/// How two values compare as numbers, whole ones exactly: beyond 2^53 several of them are one real
/// number. `None` if one of them is no number.
fn order(a: &Value, b: &Value) -> Option<Ordering> {
    match a.whole().zip(b.whole()) {
        Some((a, b)) => Some(a.cmp(&b)),
        None => a.number()?.partial_cmp(&b.number()?),
    }
}

/// Seconds since 1970 from here on are milliseconds: the year 5138.
const MILLISECONDS_FROM: f64 = 1e11;

/// The first and last moment of a value: of a date its day in UTC; numbers are Unix times.
fn moment(value: &Value) -> Option<(Micros, Micros)> {
    let text = match value {
        Value::Str(text) => text.trim(),
        other => {
            let at = other.as_f64()?;
            let unit = if at.abs() < MILLISECONDS_FROM { 1e6 } else { 1e3 };
            let at = (at * unit) as Micros;
            return Some((at, at));
        }
    };
    let utc =
        |at: DateTime| Some(at.to_zoned_datetime(TimeZone::UTC).ok()?.timestamp().as_microsecond());
    if let Ok(date) = text.parse::<Date>()
        && !text.contains([':', 'T'])
    {
        let first = utc(date.at(0, 0, 0, 0))?;
        return Some((first, first + 86_400 * SECOND - 1));
    }
    let at = match text.parse::<Timestamp>() {
        Ok(at) => at.as_microsecond(),
        Err(_) => utc(text.parse::<DateTime>().ok()?)?,
    };
    Some((at, at))
}

/// Equal as values, as numbers or as they are written: `true` and `"true"` are one value, and `7.5`
/// and `"7.50"`. Of two texts each is only itself.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Str(a), Value::Str(b)) => a == b,
        _ => order(a, b).map_or_else(|| a.to_string() == b.to_string(), Ordering::is_eq),
    }
}

/// A condition on an event: name, channel and every property filter must hold.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Predicate {
    /// Any of these names; empty for every name.
    pub events: Vec<Arc<str>>,
    /// Any of these channels; empty for every channel.
    pub channels: Vec<Arc<str>>,
    /// All of these.
    pub properties: Vec<PropertyFilter>,
}

impl Predicate {
    /// Whether an event with this name, channel and properties satisfies the predicate.
    pub fn holds(&self, name: &str, channel: &str, properties: &[Option<Value>]) -> bool {
        let one_of = |list: &[Arc<str>], word: &str| {
            list.is_empty() || list.iter().any(|entry| &**entry == word)
        };
        one_of(&self.events, name)
            && one_of(&self.channels, channel)
            && self.properties.iter().all(|f| f.holds(properties[f.property].as_ref()))
    }
}

/// All predicates of a job.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Matcher {
    /// Bit `i` of [`Matches`] is predicate `i`.
    pub predicates: Vec<Predicate>,
}

impl Matcher {
    /// Index of a predicate, added if it is new: views share what they have in common.
    pub fn index(&mut self, predicate: Predicate) -> usize {
        self.predicates.iter().position(|p| *p == predicate).unwrap_or_else(|| {
            self.predicates.push(predicate);
            self.predicates.len() - 1
        })
    }

    /// Which predicates an event satisfies.
    pub fn matches(&self, name: &str, channel: &str, properties: &[Option<Value>]) -> Matches {
        let mut matches = Matches::default();
        for (index, predicate) in self.predicates.iter().enumerate() {
            if predicate.holds(name, channel, properties) {
                matches.set(index);
            }
        }
        matches
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::Str(text.into())
    }

    fn holds(operator: &str, wanted: &[Value], value: Option<&Value>) -> bool {
        let operator = Operator::from_word(operator).unwrap();
        PropertyFilter::new(0, operator, wanted.to_vec()).unwrap().holds(value)
    }

    /// Every operator: what it is given, a value that satisfies it, one that does not, and whether
    /// an event without the property does.
    #[test]
    fn each_operator_means_what_its_name_says() {
        let cases: [(&str, Vec<Value>, Value, Value, bool); 21] = [
            ("exact", vec![text("a"), text("b")], text("b"), text("B"), false),
            ("exact", vec![Value::Int(5)], Value::Float(5.0), Value::Int(6), false),
            ("exact", vec![text("true")], Value::Bool(true), Value::Bool(false), false),
            ("exact", vec![text("5")], Value::Int(5), Value::Int(50), false),
            ("exact", vec![Value::Float(7.5)], text("7.50"), text("7.5 EUR"), false),
            ("in", vec![Value::Int(1), Value::Int(2)], Value::Int(2), Value::Int(3), false),
            ("is_not", vec![text("a")], text("b"), text("a"), true),
            ("not_in", vec![Value::Int(1)], Value::Int(2), Value::Int(1), true),
            ("icontains", vec![text("Hello")], text("say hELLO"), text("hell"), false),
            ("not_icontains", vec![text("x")], text("abc"), text("aXb"), true),
            ("regex", vec![text("^a.c$")], text("abc"), text("abcd"), false),
            ("not_regex", vec![text("[0-9]+")], text("none"), text("a1"), true),
            ("gt", vec![Value::Int(3)], Value::Float(3.5), Value::Int(3), false),
            ("gte", vec![Value::Int(3)], text("3"), text("2.9"), false),
            ("lt", vec![Value::Float(0.5)], Value::Int(0), text("many"), false),
            ("lte", vec![text("7")], Value::Int(7), Value::Int(8), false),
            ("is_set", vec![], text(""), text(""), false),
            ("is_not_set", vec![], text(""), text(""), true),
            (
                "is_date_exact",
                vec![text("2024-03-13")],
                text("2024-03-13T23:59:59Z"),
                text("2024-03-14"),
                false,
            ),
            (
                "is_date_before",
                vec![text("2024-03-13")],
                text("2024-03-12T23:59:59Z"),
                text("2024-03-13T00:00:00Z"),
                false,
            ),
            (
                "is_date_after",
                vec![text("2024-03-13")],
                Value::Int(1_710_374_400),
                text("2024-03-13 23:59:59"),
                false,
            ),
        ];
        for (operator, wanted, yes, no, unset) in cases {
            if operator == "is_not_set" {
                assert!(!holds(operator, &wanted, Some(&yes)));
            } else {
                assert!(holds(operator, &wanted, Some(&yes)), "{operator} {yes}");
                if operator != "is_set" {
                    assert!(!holds(operator, &wanted, Some(&no)), "{operator} {no}");
                }
            }
            assert_eq!(holds(operator, &wanted, None), unset, "{operator} without");
        }
    }

    /// Neighbours beyond 2^53, which are one real number.
    #[test]
    fn whole_numbers_are_compared_exactly() {
        let (low, high) = (9_007_199_254_740_992, 9_007_199_254_740_993);
        let spelt = |number: i64| text(&number.to_string());
        for wanted in [Value::Int(low), spelt(low)] {
            for value in [Value::Int(high), spelt(high)] {
                let wanted = std::slice::from_ref(&wanted);
                let holds = |operator| holds(operator, wanted, Some(&value));
                assert!(["gt", "gte", "is_not", "not_in"].map(holds).iter().all(|held| *held));
                assert!(!["lt", "lte", "exact", "in"].map(holds).iter().any(|held| *held));
            }
        }
        assert!(holds("exact", &[Value::Int(high)], Some(&Value::Int(high))));
        assert!(holds("lt", &[Value::Int(i64::MAX)], Some(&Value::Int(i64::MAX - 1))));
        // With a fraction on one side both are real numbers.
        assert!(holds("gt", &[Value::Float(2.5)], Some(&Value::Int(3))));
    }

    #[test]
    fn values_that_an_operator_can_not_compare_are_errors() {
        let new = |operator, values| PropertyFilter::new(0, operator, values).unwrap_err();
        assert_eq!(new(Operator::Exact, vec![]), BadFilter::NoValue);
        assert_eq!(new(Operator::IsSet, vec![text("x")]), BadFilter::WithValue);
        assert_eq!(new(Operator::Gt, vec![text("x")]), BadFilter::NoNumber("x".into()));
        assert_eq!(
            new(Operator::IsDateAfter, vec![text("soon")]),
            BadFilter::NoDate("soon".into())
        );
        assert!(matches!(new(Operator::Regex, vec![text("(")]), BadFilter::NoPattern(..)));
    }
}
