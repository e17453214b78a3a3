//! Funnels of job files: every key read, every mistake told with its line and what to write.

use std::path::Path;

use operators::model::DAY;
use operators::views::funnel::spec::{Attribution, BreakdownBy, Counting, FunnelSpec, Order};
use operators::views::spec::ViewSpec;

use crate::runtime::job_file::{Problem, parse};
use crate::runtime::plan::checker::Checker;
use crate::runtime::plan::views::{Needs, views};

const HEAD: &str =
    "[job]\nname = \"j\"\nout = \"out\"\n[[view]]\nkind = \"funnel\"\nname = \"f\"\n";
const STEPS: &str = "steps = [{ event = \"a\" }, { event = \"b\" }, { event = \"c\" }]\n";

fn read(keys: &str) -> (Vec<ViewSpec>, Needs, Vec<Problem>) {
    let nothing = |_: &str| None;
    let (text, file) = parse(Path::new("j.toml"), &format!("{HEAD}{keys}"), &nothing).unwrap();
    let mut check = Checker::new(&text);
    let mut needs = Needs::default();
    let views = views(&mut check, &file, &mut needs);
    (views, needs, check.done())
}

fn good(keys: &str) -> (FunnelSpec, Needs) {
    let (views, needs, problems) = read(keys);
    assert_eq!(problems, [], "{keys}");
    let funnel = views.iter().find_map(ViewSpec::funnel).cloned();
    (funnel.expect("it is a funnel"), needs)
}

#[test]
fn a_funnel_without_options_is_ordered_and_of_14_days() {
    let (spec, needs) = good(STEPS);
    assert_eq!(
        (spec.order, spec.counting, spec.window),
        (Order::Ordered, Counting::Uniques, 14 * DAY)
    );
    assert_eq!((spec.values_max, spec.attribution), (25, Attribution::FirstTouch));
    assert_eq!((spec.steps.len(), &*spec.steps[1].label), (3, "b"));
    assert_eq!(needs.matcher.predicates.len(), 3);
}

#[test]
fn every_option_is_read() {
    let (spec, needs) = good(
        r#"
funnelOrderType = "strict"
funnelWindowInterval = 2
funnelWindowIntervalUnit = "month"
counting = "totals"
holdConstant = "order"
breakdown = ["browser", "person.plan", "person@event.plan", "channel", "groupId"]
breakdownAttributionType = "step"
breakdownAttributionValue = 2
breakdown_limit = 7
periods = ["all", "day"]
steps = [
  { events = ["a", "b"], channel = "web", math = "first_time_for_user" },
  { event = "c", optionalInFunnel = true, label = "see" },
  { event = "d", properties = [
    { key = "price", operator = "gt", value = 10 },
    { key = "day", operator = "is_date_after", value = 2024-03-13 },
    { key = "plan", type = "person", at = "event", value = ["pro", "max"] },
  ] },
]
[[view.exclusions]]
event = "x"
funnelFromStep = 1
funnelToStep = 2
"#,
    );
    assert_eq!(
        (spec.order, spec.counting, spec.window),
        (Order::Strict, Counting::Totals, 60 * DAY)
    );
    assert_eq!((spec.hold.len(), spec.values_max, spec.periods.len()), (1, 7, 2));
    assert_eq!(spec.attribution, Attribution::Step(2));
    let plan = BreakdownBy::Trait { property: spec.traits()[0].0, at_event: false };
    assert_eq!(spec.breakdown[1], plan);
    assert_eq!((spec.breakdown.len(), &spec.breakdown[3]), (5, &BreakdownBy::Channel));
    assert!(spec.steps[0].first.is_some() && spec.steps[1].optional);
    assert_eq!(spec.steps[2].filter.traits.len(), 1);
    assert_eq!((spec.exclusions[0].from, spec.exclusions[0].to), (1, 2));
    assert!(needs.properties.iter().any(|path| path.to_string() == "traits.plan"));
    assert!(needs.properties.iter().any(|path| path.to_string() == "groupId"));
}

/// Keys, the line of the mistake, and a part of the message.
#[test]
fn a_mistake_is_told_with_its_line_and_what_to_write() {
    let many = "{ event = \"a\" }, ".repeat(31);
    let cases = [
        ("steps = [{ event = \"a\" }]\n".to_owned(), 7, "two steps or more"),
        (format!("steps = [{many}]\n"), 7, "at most 30 steps, not 31"),
        (format!("{STEPS}funnelOrderType = \"any\"\n"), 8, "write ordered, strict or unordered"),
        (format!("{STEPS}counting = \"users\"\n"), 8, "write uniques, totals or sessions"),
        (format!("{STEPS}funnelWindowIntervalUnit = \"year\"\n"), 8, "day, week or month"),
        (format!("{STEPS}funnelWindowInterval = 401\n"), 8, "at most 400 days"),
        (format!("{STEPS}periods = [\"hour\"]\n"), 8, "no rows by hour"),
        (format!("{STEPS}periods = []\n"), 5, "`periods` is empty; write day"),
        (
            format!("{STEPS}[[view]]\nkind = \"funnel\"\nname = \"f_people\"\n{STEPS}"),
            10,
            "a view above has a table \"funnel_f_people\" too; rename",
        ),
        (
            format!("{STEPS}[[view]]\nkind = \"funnel\"\nname = \"f\"\n{STEPS}"),
            10,
            "there are two views \"funnel_f\"",
        ),
        (format!("{STEPS}breakdown = \"cohort.buyers\"\n"), 8, "no view that has people stands"),
        (format!("{STEPS}breakdown_limit = 3\n"), 5, "need a breakdown"),
        (format!("{STEPS}breakdown = \"x\"\nbreakdown_limit = 1001\n"), 9, "write 1 to 1000"),
        (
            format!("{STEPS}breakdown = \"x\"\nbreakdownAttributionType = \"mean\"\n"),
            9,
            "last_touch, all_events or step",
        ),
        (
            format!(
                "{STEPS}breakdown = \"x\"\nbreakdownAttributionType = \"step\"\n\
                 breakdownAttributionValue = 3\n"
            ),
            10,
            "write 0 to 2",
        ),
        (
            format!(
                "{STEPS}exclusions = [{{ event = \"x\", funnelFromStep = 1, funnelToStep = 1 }}]\n"
            ),
            8,
            "below funnelToStep, from 0 to 2",
        ),
        (
            format!(
                "{STEPS}exclusions = [{{ event = \"x\", funnelFromStep = 0, funnelToStep = 3 }}]\n"
            ),
            8,
            "below funnelToStep, from 0 to 2",
        ),
        (
            "steps = [{ event = \"a\", optionalInFunnel = true }, { event = \"b\" }]\n".to_owned(),
            7,
            "only a step between others",
        ),
        (
            "steps = [{ event = \"a\", math = \"dau\" }, { event = \"b\" }]\n".to_owned(),
            7,
            "first_time_for_user_with_filters or total",
        ),
        (
            "steps = [{ event = \"a\" }, { event = \"b\", funnelToStep = 1 }]\n".to_owned(),
            7,
            "belong to exclusions",
        ),
        (
            condition("{ key = \"p\", operator = \"like\", value = \"x\" }"),
            7,
            "there is no operator",
        ),
        (condition("{ key = \"p\", operator = \"gt\", value = \"x\" }"), 7, "is no number"),
        (
            condition("{ key = \"p\", operator = \"regex\", value = \"(\" }"),
            7,
            "no regular expression",
        ),
        (
            condition("{ key = \"p\", operator = \"is_date_before\", value = \"x\" }"),
            7,
            "is no date",
        ),
        (condition("{ key = \"p\" }"), 7, "needs a value"),
        (condition("{ key = \"p\", value = 1, at = \"now\" }"), 7, "belongs to type"),
        (condition("{ key = \"p\", value = 1, type = \"cohort\" }"), 7, "write event or person"),
        (
            format!(
                "{}aggregation_group = \"groupId\"\n",
                condition("{ key = \"p\", value = 1, type = \"person\" }")
            ),
            7,
            "not possible here",
        ),
    ];
    for (keys, line, part) in cases {
        let problems = read(&keys).2;
        let first = problems.first().unwrap_or_else(|| panic!("no problem in {keys}"));
        assert_eq!(first.line, line, "{keys}: {first}");
        assert!(first.message.contains(part), "{keys}: {first}");
    }
}

/// Views that cohorts may be of, before the funnel `f`.
const ABOVE: &str = r#"
[[view]]
kind = "funnel"
name = "trial"
steps = [{ event = "a" }, { event = "b" }]
[[view]]
kind = "funnel"
name = "teams"
aggregation_group = "groupId"
steps = [{ event = "a" }, { event = "b" }]
[[view]]
kind = "trend"
name = "active"
metric = "people"
[[view]]
kind = "trend"
name = "clicks"
[[view]]
kind = "funnel"
name = "g"
steps = [{ event = "c" }, { event = "d" }]
"#;

#[test]
fn cohorts_are_of_the_views_above() {
    let keys = format!(
        "{STEPS}{ABOVE}breakdown = [\"cohort.trial\", \"cohort.f.2\", \"cohort.trend_active\"]\n"
    );
    let (views, _, problems) = read(&keys);
    assert_eq!(problems, []);
    let funnel = views.iter().filter_map(ViewSpec::funnel).next_back();
    let cohorts: Vec<(String, u16, usize)> = funnel
        .expect("it is the last view")
        .cohorts()
        .map(|cohort| (cohort.label.to_string(), cohort.view, cohort.step))
        .collect();
    let expected = [("trial", 1, 1), ("f.2", 0, 1), ("trend_active", 3, 0)];
    assert_eq!(cohorts, expected.map(|(label, view, step)| (label.to_owned(), view, step)));
    let mistakes = [
        ("", "cohort.later", "write cohort. and f, trial, teams, trend_active or trend_clicks"),
        ("", "cohort.g", "no view \"g\" above this one"),
        ("", "cohort.trial.3", "has no step \"3\"; write cohort.trial.1 to 2"),
        ("", "cohort.trial.0", "write cohort.trial.1 to 2"),
        ("", "cohort.teams", "does not count the same"),
        ("", "cohort.trend_clicks", "write metric = \"people\" there"),
        ("", "cohort.trend_active.1", "has no steps"),
        ("aggregation_group = \"groupId\"\n", "cohort.trend_active", "and this funnel groups"),
    ];
    for (more, cohort, part) in mistakes {
        let keys = format!("{STEPS}{ABOVE}{more}breakdown = \"{cohort}\"\n");
        let problems = read(&keys).2;
        let first = problems.first().unwrap_or_else(|| panic!("no problem in {cohort}"));
        assert!(first.message.contains(part), "{cohort}: {first}");
    }
}

fn condition(rule: &str) -> String {
    format!("steps = [{{ event = \"a\" }}, {{ event = \"b\", properties = [{rule}] }}]\n")
}
