//! What would change, as one HTML page that needs nothing else.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::plot::{bars, escaped, lines};
use super::text::{of_link, of_number, short};
use super::{Mover, Number, ViewChange, WhatIf};
use crate::runtime::grouped;

/// Numbers of a view that are listed at most.
const NUMBERS: usize = 30;
/// Series of a view that are drawn at most: those that change most.
const SERIES: usize = 6;
/// People of a side that are named at most.
const PEOPLE: usize = 10;

const HEAD: &str = "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n<style>\n\
body{font:15px/1.45 sans-serif;max-width:860px;margin:2em auto;padding:0 1em;color:#222}\n\
table{border-collapse:collapse;margin:.6em 0}td,th{padding:.2em .8em .2em 0;text-align:left;\
vertical-align:top;border-bottom:1px solid #eee}td.n,th.n{text-align:right}\n\
.cards{display:flex;flex-wrap:wrap;gap:1em}.card{border:1px solid #ddd;border-radius:6px;\
padding:.6em 1em}.card b{display:block;font-size:1.5em}\n\
.now{color:#6b7683}.then{color:#2f6fb0}code{font-size:.85em;color:#444}h2{margin-top:1.6em}\n\
</style>\n";

/// The page.
pub fn page(what: &WhatIf) -> String {
    let mut out = HEAD.to_owned();
    let title = format!("{}: what if", escaped(&what.job));
    let changed = escaped(&what.changed.join(", "));
    // Writing to a string can't fail.
    let _ = writeln!(
        out,
        "<title>{title}</title></head><body>\n<h1>{title}</h1>\n<p>With a change of \
         <b>{changed}</b>, as of epoch {}. <span class=\"now\">Grey: now.</span> \
         <span class=\"then\">Blue: then.</span></p>",
        what.epoch
    );
    if what.is_nothing() {
        out.push_str("<p>Nothing would be another.</p>\n");
    }
    cards(what, &mut out);
    for view in what.views.iter().filter(|view| !view.changed().is_empty()) {
        of_view(view, &mut out);
    }
    movers(&what.people.movers, &mut out);
    rows(what, &mut out);
    out + "</body></html>\n"
}

fn cards(what: &WhatIf, out: &mut String) {
    let people = &what.people;
    let [now, then] = people.people.map(|count| grouped(count as i64));
    let mut cards = vec![
        ("people", format!("{now} → {then}")),
        (
            "events of somebody else",
            format!("{} of {}", grouped(people.events_moved as i64), grouped(people.events as i64)),
        ),
    ];
    let groups = people.groups.iter();
    cards.extend(groups.map(|(kind, count)| (*kind, grouped(*count as i64))));
    out.push_str("<div class=\"cards\">");
    for (name, value) in cards {
        let _ = write!(out, "<div class=\"card\"><b>{value}</b>{name}</div>");
    }
    out.push_str("</div>\n");
}

/// Numbers that have all of their key in common but for one column, by the rest of the key.
fn series<'a>(
    numbers: impl Iterator<Item = &'a Number>,
    over: &str,
) -> BTreeMap<String, Vec<&'a Number>> {
    let mut series: BTreeMap<String, Vec<&Number>> = BTreeMap::new();
    for number in numbers {
        let rest = number.key.iter().filter(|(name, value)| {
            *name != over && *name != "event" && *name != "period_start" && !value.is_empty()
        });
        let rest: Vec<&str> = rest.map(|(_, value)| value.as_str()).collect();
        series.entry(rest.join(", ")).or_default().push(number);
    }
    series
}

fn by(series: &[&Number]) -> f64 {
    series.iter().map(|number| number.by().abs()).sum()
}

fn of_view(view: &ViewChange, out: &mut String) {
    let changed = view.changed();
    let _ = writeln!(
        out,
        "<h2>{}</h2>\n<p>{} of {} numbers would be others.</p>",
        escaped(&view.view),
        grouped(changed.len() as i64),
        grouped(view.numbers.len() as i64)
    );
    let is_funnel = view.numbers.iter().any(|number| number.of("step").is_some());
    let all = if is_funnel {
        let counts = view.numbers.iter().filter(|n| n.column == "count");
        series(counts.filter(|n| n.of("period") == Some("all")), "step")
    } else {
        let values = view.numbers.iter().filter(|n| n.column == "value");
        series(values, "period_start")
    };
    let mut all: Vec<(String, Vec<&Number>)> = all.into_iter().collect();
    all.sort_by(|a, b| by(&b.1).total_cmp(&by(&a.1)));
    for (name, numbers) in all.iter().take(SERIES) {
        let _ = writeln!(out, "<h3>{}</h3>", escaped(name));
        let drawn = if is_funnel || numbers.len() == 1 {
            let label = |n: &Number| {
                n.of("step").map_or_else(|| n.column.to_owned(), |step| format!("step {step}"))
            };
            let pair = |n: &Number| [n.before.unwrap_or(0.0), n.after.unwrap_or(0.0)];
            let list: Vec<_> = numbers.iter().map(|n| (label(n), pair(n))).collect();
            bars(&list, short)
        } else {
            let label = |n: &&Number| n.of("period_start").unwrap_or_default().to_owned();
            let labels: Vec<String> = numbers.iter().map(label).collect();
            let values: Vec<_> = numbers.iter().map(|n| [n.before, n.after]).collect();
            lines(&labels, &values)
        };
        out.push_str(&drawn);
    }
    out.push_str("<table><tr><th>changes most</th></tr>\n");
    for number in changed.iter().take(NUMBERS) {
        let _ = writeln!(out, "<tr><td>{}</td></tr>", escaped(&of_number(number)));
    }
    out.push_str("</table>\n");
}

fn movers(movers: &[Mover], out: &mut String) {
    if movers.is_empty() {
        return;
    }
    out.push_str(
        "<h2>Who moves most</h2>\n<table><tr><th></th><th>now</th><th>then</th>\
         <th class=\"n\">events moved</th><th>through</th></tr>\n",
    );
    for mover in movers {
        let side = |sides: &[super::Side]| {
            let mut words: Vec<String> = sides
                .iter()
                .take(PEOPLE)
                .map(|side| format!("<code>{}</code> ({})", side.person_id, side.events))
                .collect();
            if sides.len() > PEOPLE {
                words.push(format!("{} more", sides.len() - PEOPLE));
            }
            words.join("<br>")
        };
        let links: Vec<String> = mover.links.iter().map(|l| escaped(&of_link(l))).collect();
        let _ = writeln!(
            out,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td class=\"n\">{}</td><td>{}</td></tr>",
            mover.kind.word(),
            side(&mover.before),
            side(&mover.after),
            grouped(mover.events_moved as i64),
            links.join("<br>")
        );
    }
    out.push_str("</table>\n");
}

fn rows(what: &WhatIf, out: &mut String) {
    out.push_str(
        "<h2>Rows</h2>\n<table><tr><th>view</th><th class=\"n\">now</th><th class=\"n\">then</th>\
         <th class=\"n\">alike</th></tr>\n",
    );
    for (view, counts) in &what.rows {
        let cells: String = counts
            .iter()
            .map(|count| format!("<td class=\"n\">{}</td>", grouped(*count as i64)))
            .collect();
        let _ = writeln!(out, "<tr><td>{}</td>{cells}</tr>", escaped(view));
    }
    out.push_str("</table>\n");
    for (words, views) in [("no longer", &what.only_before), ("only then", &what.only_after)] {
        if !views.is_empty() {
            let _ = writeln!(out, "<p>Views {words}: {}</p>", escaped(&views.join(", ")));
        }
    }
}
