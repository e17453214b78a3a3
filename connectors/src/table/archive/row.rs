//! Events as rows of the archive, and back.

use std::collections::BTreeMap;
use std::sync::Arc;

use operators::identity::IdentityConfig;
use operators::model::{
    Cell, ColumnType, Command, CommandKind, DAY, Epoch, Event, EventKey, EventKind, Ident, Idents,
    Matches, Origin, Special, Token, Value, message_hash,
};
use operators::time::TimeConfig;
use operators::views::predicate::Matcher;

use super::super::columns::Layout;
use super::super::delta::EPOCH;
use crate::decode::content;

/// The columns; `date` is that of `time`, and stands in the log.
pub(super) const COLUMNS: [Layout; 20] = [
    (EPOCH, ColumnType::Int, false),
    ("tenant", ColumnType::Str, false),
    ("message_id", ColumnType::Str, false),
    ("time", ColumnType::Time, false),
    ("seq", ColumnType::Int, false),
    ("channel", ColumnType::Str, false),
    ("event", ColumnType::Str, false),
    ("identifier", ColumnType::Id, true),
    ("identifiers", ColumnType::StrList, false),
    ("command", ColumnType::Str, true),
    ("command_identifiers", ColumnType::StrList, false),
    // Properties that are set, and their values as JSON.
    ("properties", ColumnType::StrList, false),
    ("values", ColumnType::StrList, false),
    ("business_key", ColumnType::Id, true),
    ("source", ColumnType::Str, false),
    ("partition", ColumnType::Int, false),
    ("offset", ColumnType::Int, false),
    ("job", ColumnType::Str, false),
    // Which properties were kept, so that one that was not set differs from one that was not kept.
    ("kept", ColumnType::Str, false),
    ("date", ColumnType::Str, false),
];

/// What indices in a job's events stand for.
#[derive(Clone, Debug)]
pub struct Names {
    /// Identity types, with their rules.
    pub identity: Arc<IdentityConfig>,
    /// Properties, as envelope paths.
    pub properties: Vec<Arc<str>>,
    /// Sources.
    pub sources: Vec<Arc<str>>,
    /// What else decides what becomes of a record, by what it is called: the same words, the same
    /// decision. Events that were kept under another one are not those that the job asks for.
    pub rules: BTreeMap<String, String>,
    /// What the watermark admits.
    pub time: TimeConfig,
}

/// The cells of an event but for the date, in the order of the columns.
pub(super) fn cells(
    event: &Event,
    epoch: Epoch,
    (names, kept, job): (&Names, &Cell, &Cell),
) -> Vec<Cell> {
    let ident = |ident: &Ident| {
        let of = names.identity.types.get(usize::from(ident.kind));
        let name = of.map_or("", |of| &*of.name);
        Cell::str(&format!("{name}:{}", ident.token))
    };
    let list = |idents: &[Ident]| Cell::List(idents.iter().map(ident).collect());
    let command = event.command();
    let kind = command.map_or(Cell::Null, |command| match command.kind {
        CommandKind::Merge => Cell::str("merge"),
        CommandKind::Unmerge => Cell::str("unmerge"),
    });
    let pair = command.map_or_else(Vec::new, |command| vec![command.x, command.y]);
    let source = names.sources.get(usize::from(event.origin.source)).map_or("", |name| name);
    let first = event.idents.first().map_or(Cell::Null, |first| Cell::Id(first.token));
    let EventKey { time, seq, .. } = event.key;
    let properties = || names.properties.iter().zip(event.properties.iter());
    let set = |of: fn((&str, &Value)) -> Cell| {
        let set = properties().filter_map(|(name, value)| Some(of((name, value?))));
        Cell::List(set.collect())
    };
    vec![
        Cell::Int(epoch as i64),
        Cell::Str(Arc::clone(&event.kind.tenant)),
        event.message_id.as_cell().into(),
        Cell::Time(time),
        Cell::Int(seq as i64),
        Cell::Str(Arc::clone(&event.kind.channel)),
        Cell::Str(Arc::clone(&event.kind.name)),
        first,
        list(&event.idents),
        kind,
        list(&pair),
        set(|(name, _)| Cell::str(name)),
        set(|(_, value)| Cell::str(&json(value))),
        event.business_key().map_or(Cell::Null, Cell::Id),
        Cell::str(source),
        Cell::Int(i64::from(event.origin.partition)),
        Cell::Int(event.origin.offset as i64),
        job.clone(),
        kept.clone(),
    ]
}

/// A value as JSON.
fn json(value: &Value) -> String {
    match value {
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        // With a point or an exponent, and as many digits as tell it from all others.
        Value::Float(value) => format!("{value:?}"),
        Value::Str(text) => serde_json::Value::from(&**text).to_string(),
    }
}

/// What [`json`] has made. Numbers are read here: that of `serde_json` may be the one beside it.
fn value(json: &str) -> Option<Value> {
    if json.starts_with('"') {
        return serde_json::from_str::<String>(json).ok().map(|text| Value::Str(text.into()));
    }
    let bool = json.parse().ok().map(Value::Bool);
    let int = || json.parse().ok().map(Value::Int);
    bool.or_else(int).or_else(|| json.parse().ok().map(Value::Float))
}

/// The date of a time, as it names a partition.
pub(super) fn date(time: i64) -> String {
    let day = time.div_euclid(DAY) * DAY;
    jiff::Timestamp::from_microsecond(day)
        .map_or_else(|_| "out-of-range".to_owned(), |at| at.strftime("%Y-%m-%d").to_string())
}

/// Makes events of rows, as a job asks for them, which may be another one than that which kept
/// them.
pub(super) struct Reader<'a> {
    pub names: &'a Names,
    pub matcher: &'a Matcher,
}

impl Reader<'_> {
    /// The event of a row.
    ///
    /// # Errors
    ///
    /// A cell that is not as it was written.
    pub(super) fn event(&self, cells: &[Cell]) -> Result<(Epoch, Event), String> {
        let wrong = |column: usize| format!("{} is not as it was written", COLUMNS[column].0);
        let int = |column: usize| match cells.get(column) {
            Some(Cell::Int(value)) => Ok(*value),
            _ => Err(wrong(column)),
        };
        let text = |column: usize| match cells.get(column) {
            Some(Cell::Str(text)) => Ok(Arc::clone(text)),
            _ => Err(wrong(column)),
        };
        let list = |column: usize| match cells.get(column) {
            Some(Cell::List(list)) => {
                list.iter().map(|item| self.ident(item)).collect::<Result<Vec<_>, _>>().ok()
            }
            _ => None,
        };
        let Some(Cell::Time(time)) = cells.get(3) else { return Err(wrong(3)) };
        let message_id = text(2)?;
        let key = EventKey { time: *time, seq: int(4)? as u64, id: message_hash(&message_id) };
        // Those of types that the job has no more are none.
        let idents = list(8).ok_or_else(|| wrong(8))?.into_iter().flatten();
        let mut idents: Idents = idents.collect();
        idents.sort_unstable_by_key(|ident| self.names.identity.strength(*ident));
        let command = match &cells.get(9) {
            Some(Cell::Null) => None,
            Some(Cell::Str(word)) => {
                let kind =
                    if **word == *"merge" { CommandKind::Merge } else { CommandKind::Unmerge };
                match list(10).ok_or_else(|| wrong(10))?[..] {
                    [Some(x), Some(y)] => Some(Command { kind, x, y }),
                    [_, _] => None,
                    _ => return Err(wrong(10)),
                }
            }
            _ => return Err(wrong(9)),
        };
        let (Some(Cell::List(set)), Some(Cell::List(values))) = (cells.get(11), cells.get(12))
        else {
            return Err(wrong(11));
        };
        let mut properties = vec![None; self.names.properties.len()];
        for (name, json) in set.iter().zip(&**values) {
            let (Cell::Str(name), Cell::Str(json)) = (name, json) else { return Err(wrong(11)) };
            if let Some(place) = self.names.properties.iter().position(|known| known == name) {
                properties[place] = Some(value(json).ok_or_else(|| wrong(12))?);
            }
        }
        let (channel, name) = (text(5)?, text(6)?);
        let matches: Matches = self.matcher.matches(&name, &channel, &properties);
        let source = text(14)?;
        let source = self.names.sources.iter().position(|name| *name == source);
        let origin = Origin {
            source: source.ok_or_else(|| wrong(14))? as u16,
            partition: u32::try_from(int(15)?).map_err(|_| wrong(15))?,
            offset: int(16)? as u64,
        };
        let business_key = match cells.get(13) {
            Some(Cell::Null) => None,
            Some(cell) => Some(token(cell).ok_or_else(|| wrong(13))?),
            None => return Err(wrong(13)),
        };
        let mut event = Event {
            kind: EventKind::shared(&text(1)?, &channel, &name),
            key,
            message_id: (&*message_id).into(),
            origin,
            idents,
            special: Special::of(command, business_key),
            properties: properties.into(),
            matches,
            content: 0,
        };
        event.content = content(&event, self.names.properties.len(), &mut Vec::new());
        Ok((int(0)? as Epoch, event))
    }

    /// An identifier, if the job has its type; what is none is an error.
    fn ident(&self, cell: &Cell) -> Result<Option<Ident>, ()> {
        let Cell::Str(text) = cell else { return Err(()) };
        let (name, hex) = text.rsplit_once(':').ok_or(())?;
        let token = Token(u128::from_str_radix(hex, 16).map_err(drop)?);
        let kind = self.names.identity.types.iter().position(|known| *known.name == *name);
        Ok(kind.map(|kind| Ident { kind: kind as u8, token }))
    }
}

fn token(cell: &Cell) -> Option<Token> {
    match cell {
        Cell::Id(token) => Some(*token),
        Cell::Str(hex) => u128::from_str_radix(hex, 16).ok().map(Token),
        _ => None,
    }
}
