//! By what a funnel is broken down.

use std::ops::Range;

use operators::views::funnel::spec::{BreakdownBy, Cohort};
use operators::views::spec::{FunnelSpec, Metric, ViewSpec};

use super::super::checker::Checker;
use super::super::views::Needs;
use crate::runtime::job_file::{View, listed};

/// The breakdown of a funnel; `group` is the property that names the groups it counts, `above` the
/// views that stand above it.
pub(super) fn breakdown(
    check: &mut Checker,
    view: &View,
    needs: &mut Needs,
    group: Option<usize>,
    above: &[ViewSpec],
) -> Vec<BreakdownBy> {
    let Some(written) = &view.breakdown else { return Vec::new() };
    let mut list = Vec::new();
    for text in written.get_ref().list() {
        if let Some(name) = text.strip_prefix("cohort.") {
            let cohort = cohort(check, &written.span(), name, group, above);
            list.extend(cohort.map(BreakdownBy::Cohort));
            continue;
        }
        let of_person = text.strip_prefix("person.").map(|name| (name, false));
        let of_person =
            of_person.or_else(|| text.strip_prefix("person@event.").map(|name| (name, true)));
        list.push(match (text.as_str(), of_person) {
            ("channel", _) => BreakdownBy::Channel,
            (_, Some((name, at_event))) if group.is_none() => {
                let property = needs.property(&format!("traits.{name}"));
                BreakdownBy::Trait { property, at_event }
            }
            (_, Some(_)) => {
                let message = "groups have no traits of a person; write a property of the event";
                check.at(&written.span(), message);
                continue;
            }
            (text, None) => BreakdownBy::Property(needs.property(text)),
        });
    }
    list
}

/// What a view is called as a cohort.
fn called(view: &ViewSpec) -> Option<String> {
    match view {
        ViewSpec::Funnel(funnel) => Some(funnel.name.to_string()),
        ViewSpec::Trend(trend) => Some(format!("trend_{}", trend.name)),
        ViewSpec::Sessions(_) => None,
    }
}

/// `purchase`, `purchase.2` or `trend_active`: a view above, and the step that its members reached.
fn cohort(
    check: &mut Checker,
    span: &Range<usize>,
    written: &str,
    group: Option<usize>,
    above: &[ViewSpec],
) -> Option<Cohort> {
    // Names of views have no dots.
    let (name, step) = match written.split_once('.') {
        Some((name, step)) => (name, Some(step)),
        None => (written, None),
    };
    let place = above.iter().position(|view| called(view).is_some_and(|called| called == name));
    let Some(place) = place else {
        let names: Vec<String> = above.iter().filter_map(called).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let write = match names.as_slice() {
            [] => "no view that has people stands above this one; move one there".to_owned(),
            names => format!("write cohort. and {}", listed(names)),
        };
        check.at(span, format!("there is no view {name:?} above this one; {write}"));
        return None;
    };
    let step = match &above[place] {
        ViewSpec::Funnel(funnel) => of_funnel(funnel, step, group),
        ViewSpec::Trend(trend) if trend.metric != Metric::People => {
            Err(format!("{name} counts events, not people; write metric = \"people\" there"))
        }
        ViewSpec::Trend(_) if group.is_some() => {
            Err(format!("{name} counts people and this funnel groups; remove the cohort"))
        }
        _ if step.is_some() => Err(format!("{name} has no steps; write cohort.{name}")),
        _ => Ok(0),
    };
    match step {
        Ok(step) => Some(Cohort { label: written.into(), view: place as u16, step }),
        Err(message) => {
            check.at(span, message);
            None
        }
    }
}

/// The step that members of a cohort reached: the last unless it is said.
fn of_funnel(
    funnel: &FunnelSpec,
    step: Option<&str>,
    group: Option<usize>,
) -> Result<usize, String> {
    let (name, steps) = (&funnel.name, funnel.steps.len());
    if funnel.group != group {
        return Err(format!(
            "{name} does not count the same as this funnel; write the same aggregation_group in \
             both, or remove it from both"
        ));
    }
    let Some(step) = step else { return Ok(steps - 1) };
    match step.parse() {
        Ok(number @ 1..) if number <= steps => Ok(number - 1),
        _ => Err(format!("{name} has no step {step:?}; write cohort.{name}.1 to {steps}")),
    }
}
