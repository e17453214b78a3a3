//! Conditions on events: steps, exclusions and filters.

use std::sync::Arc;

use operators::model::Value;
use operators::views::funnel::spec::{Filter, TraitFilter};
use operators::views::predicate::{Operator, Predicate, PropertyFilter};
use toml::Spanned;

use super::checker::Checker;
use super::views::Needs;
use crate::runtime::job_file::{PropertyRule, Step};

/// What a condition may say besides name, channel and properties.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Allowed {
    /// `type = "person"`.
    pub traits: bool,
    /// `optionalInFunnel` and `math`.
    pub step: bool,
    /// `funnelFromStep` and `funnelToStep`.
    pub range: bool,
}

/// A condition with its names resolved, and the one on name and channel alone.
pub(super) fn condition(
    check: &mut Checker,
    step: &Spanned<Step>,
    needs: &mut Needs,
    allowed: Allowed,
) -> (Filter, Filter) {
    let (span, step) = (step.span(), step.get_ref());
    if !allowed.step && (step.optional.is_some() || step.math.is_some()) {
        check.at(&span, "optionalInFunnel and math belong to steps of a funnel; remove them here");
    }
    if !allowed.range && (step.from_step.is_some() || step.to_step.is_some()) {
        check.at(&span, "funnelFromStep and funnelToStep belong to exclusions; remove them here");
    }
    let texts = |one: &Option<String>, many: &Option<Vec<String>>| -> Vec<Arc<str>> {
        one.iter().chain(many.iter().flatten()).map(|text| text.as_str().into()).collect()
    };
    let bare = Predicate {
        events: texts(&step.event, &step.events),
        channels: texts(&step.channel, &step.channels),
        properties: Vec::new(),
    };
    let mut predicate = bare.clone();
    let mut traits = Vec::new();
    for rule in &step.properties {
        let person = match rule.kind.as_ref().map(|kind| kind.get_ref().as_str()) {
            None | Some("event") => false,
            Some("person") => true,
            Some(other) => {
                let span = rule.kind.as_ref().map_or(span.clone(), Spanned::span);
                check.at(&span, format!("there is no type {other:?}; write event or person"));
                false
            }
        };
        if person && !allowed.traits {
            let message = "conditions on the person's traits are not possible here; write \
                           type = \"event\", or remove the condition";
            check.at(&rule.key.span(), message);
            continue;
        }
        let at_event = at_event(check, rule, person);
        let key = rule.key.get_ref();
        let property =
            if person { needs.property(&format!("traits.{key}")) } else { needs.property(key) };
        let Some(filter) = filter(check, rule, property) else { continue };
        if person {
            traits.push(TraitFilter { filter, at_event });
        } else {
            predicate.properties.push(filter);
        }
    }
    let filter = Filter { predicate: needs.matcher.index(predicate), traits };
    (filter, Filter::of(needs.matcher.index(bare)))
}

fn at_event(check: &mut Checker, rule: &PropertyRule, person: bool) -> bool {
    let Some(at) = &rule.at else { return false };
    match (person, at.get_ref().as_str()) {
        (false, _) => check.at(&at.span(), "`at` belongs to type = \"person\"; remove it"),
        (_, "now") => {}
        (_, "event") => return true,
        (_, other) => {
            check.at(&at.span(), format!("at = {other:?} is unknown; write now or event"));
        }
    }
    false
}

fn filter(check: &mut Checker, rule: &PropertyRule, property: usize) -> Option<PropertyFilter> {
    let word = rule.operator.as_ref().map_or("exact", |o| o.get_ref().as_str());
    let place = rule.operator.as_ref().map_or(rule.key.span(), Spanned::span);
    let Some(operator) = Operator::from_word(word) else {
        let words: Vec<&str> = Operator::WORDS.iter().map(|(word, _)| *word).collect();
        let message = format!("there is no operator {word:?}; write one of {}", words.join(", "));
        check.at(&place, message);
        return None;
    };
    let written = match &rule.value {
        None => Vec::new(),
        Some(toml::Value::Array(list)) => list.iter().collect(),
        Some(one) => vec![one],
    };
    let values: Vec<Value> = written.iter().filter_map(|v| value(v)).collect();
    if values.len() < written.len() {
        let message = "a value is a text, a number, a boolean or a date; write one, or a list";
        check.at(&place, message);
        return None;
    }
    match PropertyFilter::new(property, operator, values) {
        Ok(filter) => Some(filter),
        Err(error) => {
            check.at(&place, error.to_string());
            None
        }
    }
}

fn value(written: &toml::Value) -> Option<Value> {
    match written {
        toml::Value::String(text) => Some(Value::Str(text.as_str().into())),
        toml::Value::Integer(i) => Some(Value::Int(*i)),
        toml::Value::Float(f) => Some(Value::Float(*f)),
        toml::Value::Boolean(b) => Some(Value::Bool(*b)),
        toml::Value::Datetime(at) => Some(Value::Str(at.to_string().into())),
        toml::Value::Array(_) | toml::Value::Table(_) => None,
    }
}
