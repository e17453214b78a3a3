//! What would change, as text.

use std::fmt::Write as _;

use super::{Mover, Number, Side, WhatIf};
use crate::runtime::grouped;

/// Numbers of a view that are listed at most.
const NUMBERS: usize = 5;
/// Movers that are listed at most; the page and the JSON have more.
const MOVERS: usize = 5;
/// People of a side that are named at most.
const PEOPLE: usize = 3;

/// What would change, for a person to read.
pub fn text(what: &WhatIf) -> String {
    let mut out = String::new();
    let changed = if what.changed.is_empty() {
        "nothing else in its file".to_owned()
    } else {
        what.changed.join(", ")
    };
    // Writing to a string can't fail.
    let _ = writeln!(out, "{} with a change of {changed}, as of epoch {}\n", what.job, what.epoch);
    if what.is_nothing() {
        out.push_str("  nothing would be another\n");
        return out;
    }
    people(what, &mut out);
    for (words, views) in [("no longer", &what.only_before), ("from then on", &what.only_after)] {
        if !views.is_empty() {
            let _ = writeln!(out, "  views {words}: {}", views.join(", "));
        }
    }
    let _ = writeln!(out, "\n  {:<28}{:>12}{:>12}{:>12}", "rows", "now", "then", "alike");
    for (view, counts) in &what.rows {
        let [now, then, alike] = counts.map(|count| grouped(count as i64));
        let _ = writeln!(out, "  {view:<28}{now:>12}{then:>12}{alike:>12}");
    }
    for view in &what.views {
        let changed = view.changed();
        if changed.is_empty() {
            continue;
        }
        let (some, all) = (grouped(changed.len() as i64), grouped(view.numbers.len() as i64));
        let _ = writeln!(out, "\n  {}: {some} of {all} numbers, most of all", view.view);
        for number in changed.iter().take(NUMBERS) {
            let _ = writeln!(out, "    {}", of_number(number));
        }
    }
    if !what.people.movers.is_empty() {
        out.push_str("\n  who moves most\n");
    }
    for mover in what.people.movers.iter().take(MOVERS) {
        of_mover(mover, &mut out);
    }
    out
}

fn people(what: &WhatIf, out: &mut String) {
    let people = &what.people;
    let [now, then] = people.people;
    let _ = writeln!(
        out,
        "  people {} now, {} then ({:+}); {} remain who they are",
        grouped(now as i64),
        grouped(then as i64),
        then as i64 - now as i64,
        grouped(people.same as i64)
    );
    if !people.groups.is_empty() {
        let groups = people.groups.iter();
        let groups: Vec<String> =
            groups.map(|(kind, count)| format!("{} {kind}s", grouped(*count as i64))).collect();
        let _ = writeln!(out, "  {}", groups.join(", "));
    }
    let part = people.events_moved as f64 / people.events.max(1) as f64 * 100.0;
    let _ = writeln!(
        out,
        "  {} of {} events would be somebody else's ({part:.1} %)",
        grouped(people.events_moved as i64),
        grouped(people.events as i64)
    );
    let [more, less] = people.public;
    if more + less > 0 {
        let _ = writeln!(out, "  {more} identifiers would be public, {less} no longer");
    }
}

/// A number of a row, as `step=2 count 448 -> 431 (-3.8 %)`.
pub(super) fn of_number(number: &Number) -> String {
    let key: Vec<String> = number
        .key
        .iter()
        .filter(|(column, value)| !value.is_empty() && (*column, &**value) != ("tenant", "default"))
        .map(|(column, value)| format!("{column}={value}"))
        .collect();
    let value = |value: Option<f64>| value.map_or("none".to_owned(), short);
    let part = match (number.before, number.after) {
        (Some(before), Some(_)) if before != 0.0 => {
            format!(" ({:+.1} %)", number.part() * 100.0)
        }
        _ => String::new(),
    };
    format!(
        "{} {} {} -> {}{part}",
        key.join(" "),
        number.column,
        value(number.before),
        value(number.after)
    )
}

/// A number in few digits.
pub(super) fn short(value: f64) -> String {
    if value.fract() == 0.0 && value.abs() < 1e15 {
        return grouped(value as i64);
    }
    format!("{value:.4}")
}

fn sides(sides: &[Side]) -> String {
    let side = |side: &Side| format!("{} ({} events)", side.person_id, grouped(side.events as i64));
    if sides.is_empty() {
        return "nobody".to_owned();
    }
    let mut words: Vec<String> = sides.iter().take(PEOPLE).map(side).collect();
    if sides.len() > PEOPLE {
        words.push(format!("{} more", sides.len() - PEOPLE));
    }
    words.join(" + ")
}

fn of_mover(mover: &Mover, out: &mut String) {
    let _ = writeln!(
        out,
        "    {}: {} -> {}",
        mover.kind.word(),
        sides(&mover.before),
        sides(&mover.after)
    );
    for link in &mover.links {
        let _ = writeln!(out, "      {}", of_link(link));
    }
}

/// A link, as `no longer: merge through message m1 (2026-01-05T10:00:00Z web signup), epoch 7`.
pub(super) fn of_link(link: &super::Link) -> String {
    let when = if link.before { "no longer" } else { "then" };
    let event = link.event.as_ref().map_or(String::new(), |e| format!(" ({})", e.join(" ")));
    format!(
        "{when}: {} through message {}{event}, epoch {}",
        link.change_type, link.message_id, link.epoch
    )
}
