//! Predicates over an event's name, channel and properties, evaluated once, when it is decoded.

use std::sync::Arc;

use crate::model::{Matches, Value};

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
}

/// A condition on one property.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct PropertyFilter {
    /// Index of the property in the job's list.
    pub property: usize,
    /// How it is compared.
    pub operator: Operator,
    /// With what; empty for `is_set` and `is_not_set`.
    pub values: Vec<Value>,
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

impl PropertyFilter {
    fn holds(&self, value: Option<&Value>) -> bool {
        let Some(value) = value else {
            return matches!(
                self.operator,
                Operator::IsNot | Operator::NotIcontains | Operator::IsNotSet
            );
        };
        match self.operator {
            Operator::Exact => self.values.iter().any(|v| same(v, value)),
            Operator::IsNot => !self.values.iter().any(|v| same(v, value)),
            Operator::Icontains => self.values.iter().any(|v| contains(value, v)),
            Operator::NotIcontains => !self.values.iter().any(|v| contains(value, v)),
            Operator::Gt => self.compare(value, |a, b| a > b),
            Operator::Gte => self.compare(value, |a, b| a >= b),
            Operator::Lt => self.compare(value, |a, b| a < b),
            Operator::Lte => self.compare(value, |a, b| a <= b),
            Operator::IsSet => true,
            Operator::IsNotSet => false,
        }
    }

    fn compare(&self, value: &Value, holds: impl Fn(f64, f64) -> bool) -> bool {
        let Some(value) = value.as_f64() else { return false };
        self.values.iter().any(|v| v.as_f64().is_some_and(|v| holds(value, v)))
    }
}

/// Equal as values; a whole and a fractional number are compared as numbers.
#[expect(clippy::float_cmp, reason = "a filter for 0.5 asks for exactly 0.5")]
fn same(a: &Value, b: &Value) -> bool {
    a == b || matches!((a.as_f64(), b.as_f64()), (Some(a), Some(b)) if a == b)
}

fn contains(value: &Value, part: &Value) -> bool {
    value.to_string().to_lowercase().contains(&part.to_string().to_lowercase())
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
