//! Views with names resolved: properties and predicates become indices.

use std::sync::Arc;

use connectors::decode::FieldPath;
use operators::model::{DAY, SECOND};
use operators::views::catalog::tables;
use operators::views::predicate::Matcher;
use operators::views::spec::{Breakdown, Metric, Period, SessionsSpec, TrendSpec, ViewSpec};
use toml::Spanned;

use super::checker::Checker;
use super::conditions::{Allowed, condition};
use super::funnels::funnel;
use super::sources::path;
use crate::runtime::job_file::{JobFile, View};

/// What the views need of events.
#[derive(Debug, Default)]
pub(super) struct Needs {
    pub properties: Vec<FieldPath>,
    pub matcher: Matcher,
}

impl Needs {
    /// Index of a property; a path without a root is one of `properties`, save `groupId`.
    pub(super) fn property(&mut self, text: &str) -> usize {
        let rooted = ["properties.", "context.", "traits."].iter().any(|r| text.starts_with(r))
            || text == "groupId";
        let full = if rooted { path(text) } else { path(&format!("properties.{text}")) };
        self.properties.iter().position(|p| *p == full).unwrap_or_else(|| {
            self.properties.push(full);
            self.properties.len() - 1
        })
    }
}

/// The views of a job.
pub(super) fn views(check: &mut Checker, file: &JobFile, needs: &mut Needs) -> Vec<ViewSpec> {
    let mut names: Vec<String> = Vec::new();
    let mut specs = Vec::new();
    let session = file.view.iter().find(|view| view.get_ref().kind.get_ref() == "sessions");
    let usual = SessionsSpec { gap: 30 * 60 * SECOND, cap: DAY };
    let session = session.map_or(usual, |view| sessions(check, view.get_ref()));
    for view in &file.view {
        let kind = view.get_ref().kind.get_ref().as_str();
        let spec = match kind {
            "sessions" => Some(ViewSpec::Sessions(sessions(check, view.get_ref()))),
            "trend" => trend(check, view, needs),
            "funnel" => funnel(check, view, needs, session, &specs).map(ViewSpec::Funnel),
            other => {
                let message =
                    format!("there is no view {other:?}; write sessions, trend or funnel");
                check.at(&view.get_ref().kind.span(), message);
                None
            }
        };
        let own = view.get_ref().name.as_ref().map_or("", |n| n.get_ref().as_str());
        let name = format!("{kind}_{own}");
        let place = view.get_ref().name.as_ref().map_or(view.span(), Spanned::span);
        let is_taken = |table: &Arc<str>| specs.iter().flat_map(tables).any(|of| of == *table);
        if names.contains(&name) {
            check.at(&place, format!("there are two views {name:?}; rename or remove one"));
        } else if let Some(table) = spec.iter().flat_map(tables).find(is_taken) {
            let message = format!("a view above has a table {table:?} too; rename one of them");
            check.at(&place, message);
        }
        names.push(name);
        specs.extend(spec);
    }
    specs
}

fn sessions(check: &mut Checker, view: &View) -> SessionsSpec {
    SessionsSpec {
        gap: check.span_or(view.gap.as_ref(), 30 * 60 * SECOND),
        cap: check.span_or(view.cap.as_ref(), DAY),
    }
}

pub(super) fn name(check: &mut Checker, view: &Spanned<View>) -> Option<Arc<str>> {
    let Some(name) = &view.get_ref().name else {
        let kind = view.get_ref().kind.get_ref();
        check.at(&view.get_ref().kind.span(), format!("a {kind} needs a name; write name = \"…\""));
        return None;
    };
    check.name(name);
    Some(name.get_ref().as_str().into())
}

pub(super) fn period(check: &mut Checker, text: &Spanned<String>) -> Period {
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
        let (filter, _) = condition(check, step, needs, Allowed::default());
        filter.predicate
    });
    let period = view.period.as_ref().map_or(Period::Day, |p| period(check, p));
    let breakdown = view.breakdown.as_ref().and_then(|by| match by.get_ref().list() {
        [one] if one == "channel" => Some(Breakdown::Channel),
        [one] => Some(Breakdown::Property(needs.property(one))),
        _ => {
            check.at(&by.span(), "a trend is broken down by one property; write breakdown = \"…\"");
            None
        }
    });
    Some(ViewSpec::Trend(TrendSpec { name, metric, filter, period, breakdown }))
}
