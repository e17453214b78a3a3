//! Views with names resolved: properties and predicates become indices.

use std::sync::Arc;

use connectors::decode::FieldPath;
use operators::model::{DAY, Micros, SECOND, Value};
use operators::views::predicate::{Matcher, Operator, Predicate, PropertyFilter};
use operators::views::spec::{
    Breakdown, FunnelSpec, FunnelStep, Metric, Period, SessionsSpec, TrendSpec, ViewSpec,
};
use toml::Spanned;

use super::checker::Checker;
use super::sources::path;
use crate::runtime::job_file::{JobFile, Step, View};

/// What the views need of events.
#[derive(Debug, Default)]
pub(super) struct Needs {
    pub properties: Vec<FieldPath>,
    pub matcher: Matcher,
}

impl Needs {
    /// Index of a property; a path without a root is one of `properties`.
    fn property(&mut self, text: &str) -> usize {
        let rooted = ["properties.", "context.", "traits."].iter().any(|r| text.starts_with(r));
        let full = if rooted { path(text) } else { path(&format!("properties.{text}")) };
        self.properties.iter().position(|p| *p == full).unwrap_or_else(|| {
            self.properties.push(full);
            self.properties.len() - 1
        })
    }

    fn breakdown(&mut self, text: Option<&String>) -> Option<Breakdown> {
        text.map(|text| match text.as_str() {
            "channel" => Breakdown::Channel,
            property => Breakdown::Property(self.property(property)),
        })
    }
}

/// The views of a job.
pub(super) fn views(check: &mut Checker, file: &JobFile, needs: &mut Needs) -> Vec<ViewSpec> {
    let mut names: Vec<String> = Vec::new();
    let mut specs = Vec::new();
    for view in &file.view {
        let kind = view.get_ref().kind.get_ref().as_str();
        let spec = match kind {
            "sessions" => Some(sessions(check, view.get_ref())),
            "trend" => trend(check, view, needs),
            "funnel" => funnel(check, view, needs),
            other => {
                let message =
                    format!("there is no view {other:?}; write sessions, trend or funnel");
                check.at(&view.get_ref().kind.span(), message);
                None
            }
        };
        let own = view.get_ref().name.as_ref().map_or("", |n| n.get_ref().as_str());
        let name = format!("{kind}_{own}");
        if names.contains(&name) {
            let span = view.get_ref().name.as_ref().map_or(view.span(), Spanned::span);
            check.at(&span, format!("there are two views {name:?}; rename or remove one"));
        }
        names.push(name);
        specs.extend(spec);
    }
    specs
}

fn sessions(check: &mut Checker, view: &View) -> ViewSpec {
    ViewSpec::Sessions(SessionsSpec {
        gap: check.span_or(view.gap.as_ref(), 30 * 60 * SECOND),
        cap: check.span_or(view.cap.as_ref(), DAY),
    })
}

fn name(check: &mut Checker, view: &Spanned<View>) -> Option<Arc<str>> {
    let Some(name) = &view.get_ref().name else {
        let kind = view.get_ref().kind.get_ref();
        check.at(&view.get_ref().kind.span(), format!("a {kind} needs a name; write name = \"…\""));
        return None;
    };
    check.name(name);
    Some(name.get_ref().as_str().into())
}

fn period(check: &mut Checker, text: &Spanned<String>) -> Period {
    match text.get_ref().as_str() {
        "hour" => Period::Hour,
        "day" => Period::Day,
        "week" => Period::Week,
        "month" => Period::Month,
        "all" => Period::All,
        other => {
            let message =
                format!("there is no period {other:?}; write hour, day, week, month or all");
            check.at(&text.span(), message);
            Period::Day
        }
    }
}

fn trend(check: &mut Checker, view: &Spanned<View>, needs: &mut Needs) -> Option<ViewSpec> {
    let name = name(check, view)?;
    let view = view.get_ref();
    let metric = view.metric.as_ref().map_or("events", |m| m.get_ref().as_str());
    let place = view.metric.as_ref().map_or(view.kind.span(), Spanned::span);
    let property = view.property.as_deref().map(|p| needs.property(p));
    let metric = match (metric, property) {
        ("events", _) => Metric::Events,
        ("people", _) => Metric::People,
        ("sum", Some(p)) => Metric::Sum(p),
        ("avg", Some(p)) => Metric::Avg(p),
        ("min", Some(p)) => Metric::Min(p),
        ("max", Some(p)) => Metric::Max(p),
        ("sum" | "avg" | "min" | "max", None) => {
            check.at(&place, format!("metric {metric:?} needs a property; write property = \"…\""));
            return None;
        }
        (other, _) => {
            let message =
                format!("there is no metric {other:?}; write events, people, sum, avg, min or max");
            check.at(&place, message);
            return None;
        }
    };
    let filter = view.filter.as_ref().map(|step| {
        let predicate = predicate(check, step, needs);
        needs.matcher.index(predicate)
    });
    let period = view.period.as_ref().map_or(Period::Day, |p| period(check, p));
    let breakdown = needs.breakdown(view.breakdown.as_ref());
    Some(ViewSpec::Trend(TrendSpec { name, metric, filter, period, breakdown }))
}

fn funnel(check: &mut Checker, view: &Spanned<View>, needs: &mut Needs) -> Option<ViewSpec> {
    let name = name(check, view)?;
    let view = view.get_ref();
    if let Some(order) = &view.order
        && order.get_ref() != "ordered"
    {
        let message = format!("the order {:?} is not built; write \"ordered\"", order.get_ref());
        check.at(&order.span(), message);
    }
    let written = view.steps.as_ref().map_or(&[][..], |steps| steps.get_ref().as_slice());
    if written.len() < 2 {
        let span = view.steps.as_ref().map_or(view.kind.span(), Spanned::span);
        let message = "a funnel needs two steps or more; write \
                       steps = [{ event = \"first\" }, { event = \"second\" }]";
        check.at(&span, message);
        return None;
    }
    let mut steps = Vec::new();
    for step in written {
        let predicate = predicate(check, step, needs);
        let label = match (&step.label, predicate.events.first()) {
            (Some(label), _) => label.as_str().into(),
            (None, Some(event)) => Arc::clone(event),
            (None, None) => "any event".into(),
        };
        steps.push(FunnelStep { label, predicate: needs.matcher.index(predicate) });
    }
    let unit = match view.window_unit.as_ref().map(|u| u.get_ref().as_str()) {
        None | Some("day") => DAY,
        Some("second") => SECOND,
        Some("minute") => 60 * SECOND,
        Some("hour") => 3600 * SECOND,
        Some("week") => 7 * DAY,
        Some(other) => {
            let span = view.window_unit.as_ref().map_or(0..0, Spanned::span);
            let message =
                format!("no window unit {other:?}; write second, minute, hour, day or week");
            check.at(&span, message);
            DAY
        }
    };
    let count = view.window.as_ref().map_or(14, |w| Micros::from(*w.get_ref()));
    let periods = match &view.periods {
        None => vec![Period::All, Period::Month, Period::Week, Period::Day],
        Some(list) => list.iter().map(|p| period(check, p)).collect(),
    };
    if let Some(list) = &view.periods
        && let Some(hour) = list.iter().find(|p| p.get_ref() == "hour")
    {
        check.at(&hour.span(), "a funnel has no rows by hour; write day, week, month or all");
    }
    let window = count.saturating_mul(unit);
    let breakdown = needs.breakdown(view.breakdown.as_ref());
    Some(ViewSpec::Funnel(FunnelSpec { name, steps, window, periods, breakdown }))
}

fn predicate(check: &mut Checker, step: &Step, needs: &mut Needs) -> Predicate {
    let texts = |one: &Option<String>, many: &Option<Vec<String>>| -> Vec<Arc<str>> {
        one.iter().chain(many.iter().flatten()).map(|text| text.as_str().into()).collect()
    };
    let mut properties = Vec::new();
    for rule in &step.properties {
        let operator = match rule.operator.as_ref().map(|o| o.get_ref().as_str()) {
            None | Some("exact" | "in") => Operator::Exact,
            Some("is_not") => Operator::IsNot,
            Some("icontains") => Operator::Icontains,
            Some("not_icontains") => Operator::NotIcontains,
            Some("gt") => Operator::Gt,
            Some("gte") => Operator::Gte,
            Some("lt") => Operator::Lt,
            Some("lte") => Operator::Lte,
            Some("is_set") => Operator::IsSet,
            Some("is_not_set") => Operator::IsNotSet,
            Some(other) => {
                let span = rule.operator.as_ref().map_or(0..0, Spanned::span);
                let message = format!(
                    "there is no operator {other:?}; write exact, is_not, icontains, \
                     not_icontains, gt, gte, lt, lte, in, is_set or is_not_set"
                );
                check.at(&span, message);
                Operator::Exact
            }
        };
        let values = match &rule.value {
            None => Vec::new(),
            Some(toml::Value::Array(list)) => list.iter().filter_map(value).collect(),
            Some(one) => value(one).into_iter().collect(),
        };
        properties.push(PropertyFilter { property: needs.property(&rule.key), operator, values });
    }
    Predicate {
        events: texts(&step.event, &step.events),
        channels: texts(&step.channel, &step.channels),
        properties,
    }
}

fn value(written: &toml::Value) -> Option<Value> {
    match written {
        toml::Value::String(text) => Some(Value::Str(text.as_str().into())),
        toml::Value::Integer(i) => Some(Value::Int(*i)),
        toml::Value::Float(f) => Some(Value::Float(*f)),
        toml::Value::Boolean(b) => Some(Value::Bool(*b)),
        toml::Value::Datetime(_) | toml::Value::Array(_) | toml::Value::Table(_) => None,
    }
}
