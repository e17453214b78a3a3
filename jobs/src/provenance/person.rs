//! One person: identifiers, links, claims, commands, changes of ids, and the records of all of it.

use std::borrow::Cow;
use std::sync::Arc;

use operators::identity::explain::Evidence;
use operators::model::{Ident, Token};

use super::connected::{Connected, Counting};
use super::past::{Of, Past};
use super::said::PersonSaid;
use super::telling::Teller;
use crate::query::{Known, QueryError};
use crate::runtime::job_file::nearest;
use crate::runtime::{Plan, Progress};

/// Who is asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Whom {
    /// The person with this id, or to whom an identifier with this token leads.
    Id(String),
    /// The person to whom an identifier leads: its type, and its value as senders write it.
    Identifier(String, String),
}

/// What is asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Asked {
    /// Who.
    pub whom: Whom,
    /// Of which tenant; without it the only one that knows the person.
    pub tenant: Option<String>,
    /// As known after this epoch; without it the last one in the tables.
    pub until: Option<Known>,
}

/// Explains a person.
///
/// # Errors
///
/// There is nobody like that; the past can't be read.
pub fn explain(
    of: &Of<'_>,
    asked: &Asked,
    progress: &dyn Progress,
) -> Result<PersonSaid, QueryError> {
    // Before anything is read: what makes no sense needs no reading.
    ident(of.plan, &asked.whom)?;
    let past = Past::open(of, asked.until)?;
    let (idents, words) = ident(&past.plan, &asked.whom)?;
    let mut connected = Connected::read(&past, progress)?;
    let tenant = tenant(&connected, asked.tenant.as_deref(), (&idents, &words))?;
    let records = connected.records(&past, (&tenant, &idents), progress)?;
    drop(connected);
    let counting = Counting::new(&past.plan.job(), &records);
    drop(records);
    let config = Arc::clone(&past.plan.identity);
    let evidence = Evidence::new(&config, &counting.sightings());
    let explained = match asked.whom {
        Whom::Id(_) => evidence.explain(idents[0].token),
        Whom::Identifier(..) => None,
    };
    let lead = || idents.iter().find_map(|ident| evidence.leads_to(*ident));
    let explained = explained.or_else(|| evidence.explain(lead()?));
    let Some(explained) = explained else { return Err(nobody(&words)) };
    let teller = Teller { past: &past, config: &config, counting: &counting };
    let mut said = teller.tell(&tenant, &explained)?;
    said.asked = (words != said.person_id).then_some(words);
    Ok(said)
}

fn nobody(words: &str) -> QueryError {
    QueryError::Usage(format!(
        "nobody is {words}; give a person_id of the table people or the token of an identifier, or \
         --identifier TYPE=VALUE"
    ))
}

/// The identifiers that may be meant, and what was asked for in words.
fn ident(plan: &Plan, whom: &Whom) -> Result<(Vec<Ident>, String), QueryError> {
    let types = &plan.identity.types;
    match whom {
        Whom::Id(text) => {
            let text = text.trim().to_ascii_lowercase();
            let wrong = || {
                QueryError::Usage(format!(
                    "{text:?} is no person id: write the 32 hexadecimal digits of a person_id, or \
                     --identifier TYPE=VALUE"
                ))
            };
            let id = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
            let id = u128::from_str_radix(&text, 16).ok().filter(|_| id).ok_or_else(wrong)?;
            let kinds = 0..types.len() as u32;
            let of_kind = |kind: u32| Ident { kind: kind as u8, token: Token(id) };
            Ok((kinds.map(of_kind).collect(), text))
        }
        Whom::Identifier(name, value) => {
            let names: Vec<&str> = types.iter().map(|t| t.name.as_str()).collect();
            let Some(kind) = names.iter().position(|known| known == name) else {
                let meant = nearest(name, &names).map(|meant| format!("did you mean {meant}? "));
                let (meant, names) = (meant.unwrap_or_default(), names.join(", "));
                let message = format!("there is no type {name:?}; {meant}there are {names}");
                return Err(QueryError::Usage(message));
            };
            // All sources of a job have the same secret and block the same values.
            let Some(source) = plan.sources.first() else { return Err(nobody(value)) };
            let written = source.decode.identities.get(kind);
            let value = &*written.map_or(Cow::Borrowed(&**value), |written| written.value(value));
            if source.decode.blocked.contains(value) {
                let message =
                    format!("{value:?} is no identifier: the job blocks it ([identity] blocked)");
                return Err(QueryError::Usage(message));
            }
            let token = source.decode.secret.token(name, value);
            let words = format!("{name} {token}");
            Ok((vec![Ident { kind: kind as u8, token }], words))
        }
    }
}

/// The tenant that knows one of some identifiers.
fn tenant(
    connected: &Connected,
    asked: Option<&str>,
    (idents, words): (&[Ident], &str),
) -> Result<Arc<str>, QueryError> {
    let knows = |tenant: &&Arc<str>| {
        let asked = asked.is_none_or(|asked| ***tenant == *asked);
        asked && idents.iter().any(|ident| connected.knows(tenant, *ident))
    };
    let tenants: Vec<&Arc<str>> = connected.tenants.iter().filter(knows).collect();
    match tenants.as_slice() {
        [] => Err(nobody(words)),
        [tenant] => Ok(Arc::clone(tenant)),
        several => {
            let names: Vec<&str> = several.iter().map(|tenant| &***tenant).collect();
            let message =
                format!("several tenants know {words}; give --tenant: {}", names.join(", "));
            Err(QueryError::Usage(message))
        }
    }
}
