//! Questions to a job's tables in SQL, of now or as of an earlier epoch, and why a number changed.
//!
//! Every view is a table of the SQL, its changelog is `changelog_<view>`, and there are `epochs`
//! and `files`. Of a running job each table is read in the version that is its last one when the
//! question is asked. As known at an epoch, all of them are of that epoch.

mod error;
pub mod explain;
mod files;
mod moment;
mod output;
mod provider;

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::Arc;

use arrow::array::RecordBatch;
use connectors::table::{Begins, Granularity, Stored, Which};
use operators::model::{Epoch, ViewSchema};
use sql::{Answer, Question};

pub use self::error::QueryError;
pub(crate) use self::moment::last;
pub use self::moment::{Known, Moment, resolve};
pub use self::output::Format;
use self::provider::{Content, Provider};
use crate::runtime::Plan;

/// What stands before the name of a view in the name of its changelog.
const CHANGELOG: &str = "changelog_";
/// The table of epochs.
const EPOCHS: &str = "epochs";
/// The table of the sources' files.
const FILES: &str = "files";

/// Answers a question in SQL.
///
/// # Errors
///
/// It is none, or of views or epochs that are not there; a table or `out` can't be used.
pub fn query(
    plan: &Plan,
    sql: &str,
    known: Option<Known>,
    format: Format,
    out: &mut dyn Write,
) -> Result<(), QueryError> {
    let rows = ask(plan, sql, known)?;
    let mut writer = output::Writer::new(format, &rows.schema(), out)?;
    for batch in rows {
        writer.write(&batch?)?;
    }
    writer.finish()
}

/// As [`query`]: the rows of the answer.
///
/// # Errors
///
/// As for [`query`].
pub fn rows(plan: &Plan, sql: &str, known: Option<Known>) -> Result<Vec<RecordBatch>, QueryError> {
    Ok(ask(plan, sql, known)?.collect::<Result<_, _>>()?)
}

fn ask(plan: &Plan, sql: &str, known: Option<Known>) -> Result<Answer, QueryError> {
    let Some(options) = &plan.tables else { return Err(QueryError::NoTables) };
    let question = Question::parse(sql)?;
    let names: Vec<String> = names(plan).collect();
    let (mut asked, mut listed) = (BTreeSet::new(), false);
    for named in question.tables()? {
        if named.schema.as_deref() == Some("information_schema") {
            listed = true;
            continue;
        }
        if named.schema.is_some() || !names.contains(&named.table) {
            return Err(QueryError::unknown_view(&named.text, &names));
        }
        asked.insert(named.table);
    }
    // A changelog begins where the rows that follow from it do.
    let views = asked.iter().map(|name| name.strip_prefix(CHANGELOG).unwrap_or(name));
    known.map_or(Ok(()), |known| are_told(plan, views, known.epoch))?;
    for name in names.iter().filter(|name| listed || asked.contains(*name)) {
        let read = asked.contains(name);
        let provider = provider(plan, name, options.partition, (known, read))?;
        question.register(&quoted(name), Arc::new(provider))?;
    }
    Ok(question.answer()?)
}

/// Whether the changelogs of views tell of an epoch.
///
/// # Errors
///
/// One doesn't.
pub(crate) fn are_told<'a>(
    plan: &Plan,
    mut names: impl Iterator<Item = &'a str>,
    epoch: Epoch,
) -> Result<(), QueryError> {
    let begins = Begins::read(&plan.out, &plan.catalog.schemas)?;
    let later = |name: &'a str| Some((name, begins.of(name).filter(|begin| *begin > epoch)?));
    match names.find_map(later) {
        Some((view, begin)) => Err(QueryError::Gone { view: view.to_owned(), begin }),
        None => Ok(()),
    }
}

/// The names of the tables of the SQL.
fn names(plan: &Plan) -> impl Iterator<Item = String> {
    let views = || plan.catalog.schemas.iter().map(|schema| schema.name.to_string());
    let changelogs = views().map(|view| format!("{CHANGELOG}{view}"));
    views().chain(changelogs).chain([EPOCHS, FILES].map(str::to_owned))
}

/// A name as it is written in SQL.
fn quoted(name: &str) -> String {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if name.chars().all(plain) { name.to_owned() } else { format!("{name:?}") }
}

/// A view by its name, with its place.
pub(crate) fn view<'a>(plan: &'a Plan, name: &str) -> Option<(u16, &'a ViewSchema)> {
    let views = (0..).zip(&plan.catalog.schemas);
    views.into_iter().find(|(_, schema)| *schema.name == *name)
}

/// What a name stands for; nothing is `read` of one that is only listed.
fn provider(
    plan: &Plan,
    name: &str,
    granularity: Granularity,
    (known, read): (Option<Known>, bool),
) -> Result<Provider, QueryError> {
    let log_of = name.strip_prefix(CHANGELOG).and_then(|name| view(plan, name));
    let (which, of) = match (view(plan, name), log_of) {
        (Some(of), _) => (Which::Current(of.1, granularity), Some(of)),
        (None, Some((_, schema))) => (Which::Changelog(schema), None),
        (None, None) if name == FILES => {
            let rows = || files::rows(plan, known.map(|known| known.epoch));
            let content = read.then(rows).transpose()?.map_or(Content::None, Content::Rows);
            return Ok(Provider::new(files::schema(), content));
        }
        (None, None) => (Which::Epochs, None),
    };
    let open = |which| if read { Stored::open(&plan.out, which) } else { Ok(None) };
    let content = match (known, of) {
        (Some(known), Some((index, schema))) => {
            open(Which::Changelog(schema))?.map_or(Content::None, |changelog| {
                let schema = Arc::new(schema.clone());
                let changelog = Arc::new(changelog);
                Content::Known { changelog, index, schema, granularity, known }
            })
        }
        _ => open(which)?.map_or(Content::None, |stored| Content::Stored {
            stored: Arc::new(stored),
            upto: known.map(|known| known.epoch),
        }),
    };
    Ok(Provider::new(which.schema(), content))
}
