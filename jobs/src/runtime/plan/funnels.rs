//! Funnels with names resolved, within their limits.

mod breakdown;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use operators::model::{DAY, Micros, SECOND};
use operators::views::funnel::spec::{
    Attribution, BREAKDOWN_VALUES, BREAKDOWN_VALUES_MAX, Counting, EXCLUSIONS_MAX, Exclusion,
    Filter, FunnelSpec, FunnelStep, Order, STEPS_MAX, WINDOW_MAX,
};
use operators::views::spec::{Period, SessionsSpec, ViewSpec};
use toml::Spanned;

use super::checker::Checker;
use super::conditions::{Allowed, condition};
use super::views::{Needs, name, period};
use crate::runtime::job_file::{Step, View};

/// A funnel; `sessions` are those that `counting = "sessions"` counts, `above` the views that stand
/// above it in the job file.
pub(super) fn funnel(
    check: &mut Checker,
    view: &Spanned<View>,
    needs: &mut Needs,
    sessions: SessionsSpec,
    above: &[ViewSpec],
) -> Option<FunnelSpec> {
    let name = name(check, view)?;
    let place = view.get_ref().kind.span();
    let view = view.get_ref();
    let words =
        [("ordered", Order::Ordered), ("strict", Order::Strict), ("unordered", Order::Unordered)];
    let order = one_of(check, view.order.as_ref(), "order", &words);
    let words = [
        ("uniques", Counting::Uniques),
        ("totals", Counting::Totals),
        ("sessions", Counting::Sessions(sessions)),
    ];
    let counting = one_of(check, view.counting.as_ref(), "counting", &words);
    let group = view.aggregation_group.as_ref().map(|name| needs.property(name.get_ref()));
    let steps = steps(check, view, needs, order, group.is_some())?;
    let exclusions = exclusions(check, view, needs, steps.len(), group.is_some());
    let held = view.hold.iter().flat_map(super::super::job_file::OneOrMany::list);
    let hold = held.map(|name| needs.property(name)).collect();
    let breakdown = breakdown::breakdown(check, view, needs, group, above);
    let attribution = attribution(check, view, steps.len());
    if breakdown.is_empty() && (view.attribution.is_some() || view.breakdown_limit.is_some()) {
        let message = "attribution and limit need a breakdown; write breakdown = \"…\"";
        check.at(&place, message);
    }
    let values_max = view.breakdown_limit.as_ref().map_or(BREAKDOWN_VALUES, |limit| {
        let count = *limit.get_ref() as usize;
        if count == 0 || count > BREAKDOWN_VALUES_MAX {
            let message =
                format!("{count} values can't have rows; write 1 to {BREAKDOWN_VALUES_MAX}");
            check.at(&limit.span(), message);
        }
        count
    });
    let (window, periods) = (window(check, view), periods(check, view));
    Some(FunnelSpec {
        name,
        steps,
        order,
        window,
        periods,
        exclusions,
        counting,
        group,
        hold,
        breakdown,
        attribution,
        values_max,
    })
}

/// What a word means; the first is the default.
fn one_of<T: Copy>(
    check: &mut Checker,
    written: Option<&Spanned<String>>,
    what: &str,
    words: &[(&str, T); 3],
) -> T {
    let Some(written) = written else { return words[0].1 };
    if let Some((_, meaning)) = words.iter().find(|(word, _)| word == written.get_ref()) {
        return *meaning;
    }
    let [a, b, c] = words.each_ref().map(|(word, _)| *word);
    let message = format!("there is no {what} {:?}; write {a}, {b} or {c}", written.get_ref());
    check.at(&written.span(), message);
    words[0].1
}

fn steps(
    check: &mut Checker,
    view: &View,
    needs: &mut Needs,
    order: Order,
    group: bool,
) -> Option<Vec<FunnelStep>> {
    let written = view.steps.as_ref().map_or(&[][..], |steps| steps.get_ref().as_slice());
    let span = view.steps.as_ref().map_or(view.kind.span(), Spanned::span);
    if written.len() < 2 {
        let message = "a funnel needs two steps or more; write \
                       steps = [{ event = \"first\" }, { event = \"second\" }]";
        check.at(&span, message);
        return None;
    }
    if written.len() > STEPS_MAX {
        let count = written.len();
        let message = format!("a funnel has at most {STEPS_MAX} steps, not {count}; remove some");
        check.at(&span, message);
        return None;
    }
    let mut steps = Vec::new();
    for (place, step) in written.iter().enumerate() {
        let allowed = Allowed { traits: !group, step: true, range: false };
        let (filter, bare) = condition(check, step, needs, allowed);
        let (span, step) = (step.span(), step.get_ref());
        let named = step.event.iter().chain(step.events.iter().flatten()).next();
        let label: Arc<str> = step.label.as_ref().or(named).map_or("any event", |l| l).into();
        let optional = step.optional == Some(true);
        let outer = place == 0 || place + 1 == written.len();
        if optional && (outer || order == Order::Unordered) {
            let message = "only a step between others of an ordered or strict funnel can be \
                           optional; remove optionalInFunnel";
            check.at(&span, message);
        }
        let first = first(check, step, &filter, bare);
        steps.push(FunnelStep { label, filter, optional, first });
    }
    Some(steps)
}

/// The condition whose first event ever takes a step.
fn first(check: &mut Checker, step: &Step, filter: &Filter, bare: Filter) -> Option<Filter> {
    let math = step.math.as_ref()?;
    match math.get_ref().as_str() {
        "total" => None,
        "first_time_for_user" => Some(bare),
        "first_time_for_user_with_filters" => Some(filter.clone()),
        other => {
            let message = format!(
                "there is no math {other:?} for a step; write first_time_for_user, \
                 first_time_for_user_with_filters or total"
            );
            check.at(&math.span(), message);
            None
        }
    }
}

fn exclusions(
    check: &mut Checker,
    view: &View,
    needs: &mut Needs,
    steps: usize,
    group: bool,
) -> Vec<Exclusion> {
    let written = view.exclusions.as_deref().unwrap_or_default();
    if let Some(beyond) = written.get(EXCLUSIONS_MAX) {
        let message = format!("a funnel has at most {EXCLUSIONS_MAX} exclusions; remove some");
        check.at(&beyond.span(), message);
        return Vec::new();
    }
    let mut exclusions = Vec::new();
    for written in written {
        let allowed = Allowed { traits: !group, step: false, range: true };
        let (filter, _) = condition(check, written, needs, allowed);
        let step = written.get_ref();
        let number = |of: &Option<Spanned<u32>>, usual: usize| {
            of.as_ref().map_or(usual, |n| *n.get_ref() as usize)
        };
        let (from, to) = (number(&step.from_step, 0), number(&step.to_step, steps - 1));
        if from >= to || to >= steps {
            let last = steps - 1;
            let message = format!(
                "an exclusion stands between two steps, from {from} to {to} is not; write \
                 funnelFromStep below funnelToStep, from 0 to {last}"
            );
            check.at(&written.span(), message);
        }
        exclusions.push(Exclusion { filter, from, to });
    }
    exclusions
}

fn attribution(check: &mut Checker, view: &View, steps: usize) -> Attribution {
    let written = view.attribution.as_ref();
    let value = view.attribution_value.as_ref();
    let attribution = match written.map(|a| a.get_ref().as_str()) {
        None | Some("first_touch") => Attribution::FirstTouch,
        Some("last_touch") => Attribution::LastTouch,
        Some("all_events") => Attribution::AllEvents,
        Some("step") => Attribution::Step(value.map_or(0, |v| *v.get_ref() as usize)),
        Some(other) => {
            let message = format!(
                "there is no attribution {other:?}; write first_touch, last_touch, all_events \
                     or step"
            );
            check.at(&written.map_or(0..0, Spanned::span), message);
            Attribution::FirstTouch
        }
    };
    if let Some(value) = value {
        let message = match attribution {
            Attribution::Step(step) if step < steps => return attribution,
            Attribution::Step(step) => {
                format!("there is no step {step}; write 0 to {}", steps - 1)
            }
            _ => "breakdownAttributionValue needs breakdownAttributionType = \"step\"".to_owned(),
        };
        check.at(&value.span(), message);
    }
    attribution
}

fn window(check: &mut Checker, view: &View) -> Micros {
    let unit = match view.window_unit.as_ref().map(|u| u.get_ref().as_str()) {
        None | Some("day") => DAY,
        Some("second") => SECOND,
        Some("minute") => 60 * SECOND,
        Some("hour") => 3600 * SECOND,
        Some("week") => 7 * DAY,
        Some("month") => 30 * DAY,
        Some(other) => {
            let span = view.window_unit.as_ref().map_or(0..0, Spanned::span);
            let message =
                format!("no window unit {other:?}; write second, minute, hour, day, week or month");
            check.at(&span, message);
            DAY
        }
    };
    let count = view.window.as_ref().map_or(14, |w| Micros::from(*w.get_ref()));
    let window = count.saturating_mul(unit);
    if window > WINDOW_MAX {
        let span = view.window.as_ref().map_or(view.kind.span(), Spanned::span);
        let message =
            format!("a window has at most {} days; write a shorter one", WINDOW_MAX / DAY);
        check.at(&span, message);
    }
    window.min(WINDOW_MAX)
}

fn periods(check: &mut Checker, view: &View) -> Vec<Period> {
    let Some(list) = &view.periods else {
        return vec![Period::All, Period::Month, Period::Week, Period::Day];
    };
    if list.is_empty() {
        let message = "`periods` is empty; write day, week, month or all, or leave it out";
        check.at(&view.kind.span(), message);
    }
    if let Some(hour) = list.iter().find(|p| p.get_ref() == "hour") {
        check.at(&hour.span(), "a funnel has no rows by hour; write day, week, month or all");
    }
    let mut periods: Vec<Period> = list.iter().map(|p| period(check, p)).collect();
    periods.sort_unstable();
    periods.dedup();
    periods
}
