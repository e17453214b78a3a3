//! Records on their way from the reader to the decoders.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::RecordBatch;
use operators::time::Lane;
use serde::{Deserialize, Serialize};

use super::{Fields, carry};

/// A run of consecutive records of one partition of a source, split but not decoded. Cheap to
/// clone.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RawBatch {
    /// Index of the source in the job file.
    pub source: u16,
    /// The partition: for a file, its index in the source's list.
    pub partition: u32,
    /// Offset of the first record: in a file its number, from 1.
    pub first: u64,
    /// Offsets of all records, where there are gaps between them.
    pub offsets: Option<Arc<[u64]>>,
    /// The records.
    pub records: RawRecords,
    /// Bytes in memory, for bounds on what is in flight.
    pub bytes: usize,
}

impl RawBatch {
    /// How many records there are.
    pub fn len(&self) -> usize {
        match &self.records {
            RawRecords::Json(rows)
            | RawRecords::Messages { rows, .. }
            | RawRecords::Delimited { rows, .. } => rows.len(),
            RawRecords::Table(batch) => batch.num_rows(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Which part of its source it belongs to, of those whose records are in order of event time
    /// each by itself: for Kafka the partition. Files follow one another, so all of them are one.
    pub fn lane(&self) -> Lane {
        let partition = match self.records {
            RawRecords::Messages { .. } => self.partition,
            RawRecords::Json(_) | RawRecords::Delimited { .. } | RawRecords::Table(_) => 0,
        };
        Lane { source: self.source, partition }
    }

    /// Offset of a record.
    pub fn offset(&self, index: usize) -> u64 {
        let listed = self.offsets.as_ref().and_then(|offsets| offsets.get(index));
        listed.copied().unwrap_or(self.first + index as u64)
    }
}

/// The records of a batch.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum RawRecords {
    /// JSON texts, one a line: a blank line is no record.
    Json(Arc<Rows>),
    /// JSON texts that came one by one: an empty one is a record too, and can't be used.
    Messages {
        /// Their values.
        rows: Arc<Rows>,
        /// What stands beside each value, where that is wanted, as
        /// [`Beside`](crate::decode::Beside) writes it.
        beside: Option<Arc<Rows>>,
    },
    /// Rows of CSV or TSV.
    Delimited {
        /// Names of the columns: the first row of the file.
        header: Arc<Header>,
        /// The rows after it.
        rows: Arc<Rows>,
    },
    /// Rows of Parquet.
    Table(#[serde(with = "carry::table")] RecordBatch),
}

/// The first row of a CSV or TSV file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Header {
    /// What stands between two fields.
    pub delimiter: u8,
    /// Names of the columns. Of two columns of one name the last counts, as with JSON keys.
    pub columns: Vec<String>,
}

/// Records of text, one after the other in one buffer.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Rows {
    /// The records without their line ends.
    #[serde(with = "carry::bytes")]
    pub(super) data: Vec<u8>,
    /// Where in `data` each record ends.
    pub(super) ends: Vec<u32>,
    /// Records that were too large: their index and full length in bytes. Only their first
    /// [`Rows::KEPT_BYTES`] bytes are in `data`.
    pub(super) cut: Vec<(u32, u64)>,
    /// Records of another format that can't be read as theirs: their index and what is wrong.
    pub(super) wrong: Vec<(u32, Box<str>)>,
}

impl Rows {
    /// How much of a record that is too large is kept.
    pub const KEPT_BYTES: usize = 4096;

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The same without records: their memory is there for others.
    pub(super) fn emptied(mut self) -> Self {
        self.data.clear();
        self.ends.clear();
        self.cut.clear();
        self.wrong.clear();
        self
    }

    /// Adds a record.
    pub fn push(&mut self, record: &[u8]) {
        self.data.extend_from_slice(record);
        self.ends.push(self.data.len() as u32);
    }

    /// Adds the beginning of a record of `bytes` bytes that is too large.
    pub fn push_cut(&mut self, kept: &[u8], bytes: u64) {
        self.cut.push((self.ends.len() as u32, bytes));
        self.push(&kept[..kept.len().min(Self::KEPT_BYTES)]);
    }

    /// Adds a record that can't be used, as it came.
    pub fn push_wrong(&mut self, record: &[u8], detail: &str) {
        self.wrong.push((self.ends.len() as u32, detail.into()));
        self.push(record);
    }

    /// What is wrong with a record, if that is known.
    pub fn wrong(&self, index: usize) -> Option<&str> {
        let place = self.wrong.binary_search_by_key(&index, |(at, _)| *at as usize);
        place.ok().map(|place| &*self.wrong[place].1)
    }

    /// A record, as far as it is here; empty if there is none.
    pub fn get(&self, index: usize) -> &[u8] {
        let start = index.checked_sub(1).map_or(0, |before| self.end(before));
        &self.data[start..self.end(index)]
    }

    /// Where a record ends.
    fn end(&self, index: usize) -> usize {
        self.ends.get(index).map_or(self.data.len(), |end| *end as usize)
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> usize {
        self.data.len() + self.ends.len() * size_of::<u32>()
    }

    /// Keeps the first `count` records and gives the others.
    pub fn split_off(&mut self, count: usize) -> Self {
        if count >= self.len() {
            return Self::default();
        }
        let (count, start) = (count as u32, count.checked_sub(1).map_or(0, |last| self.ends[last]));
        let ends = self.ends.split_off(count as usize).into_iter().map(|end| end - start);
        let at = self.cut.partition_point(|(index, _)| *index < count);
        let cut = self.cut.split_off(at).into_iter().map(|(index, bytes)| (index - count, bytes));
        let at = self.wrong.partition_point(|(index, _)| *index < count);
        let wrong = self.wrong.split_off(at).into_iter();
        Self {
            ends: ends.collect(),
            cut: cut.collect(),
            wrong: wrong.map(|(index, detail)| (index - count, detail)).collect(),
            data: self.data.split_off(start as usize),
        }
    }

    /// Each record, with its full length if only its beginning is here.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], Option<u64>)> {
        let mut cut = self.cut.iter().peekable();
        let mut start = 0;
        self.ends.iter().enumerate().map(move |(index, &end)| {
            let record = &self.data[start..end as usize];
            start = end as usize;
            (record, cut.next_if(|(at, _)| *at as usize == index).map(|&(_, bytes)| bytes))
        })
    }
}

impl Header {
    /// Reads the header row; an empty file has one without columns.
    pub(super) fn read(row: &Rows, delimiter: u8) -> Result<Self, String> {
        let mut columns = Vec::new();
        if let Some((record, cut)) = row.iter().next() {
            if let Some(bytes) = cut {
                return Err(format!("a header row of {bytes} bytes"));
            }
            for field in Fields::new(record, delimiter) {
                let field = field.map_err(|_| "a quote in the header row has no end")?;
                let name = std::str::from_utf8(&field).map_err(|_| "a header row not in UTF-8")?;
                columns.push(name.to_owned());
            }
        }
        Ok(Self { delimiter, columns })
    }

    /// Whether nothing would be lost: of two columns of one name one is, and with lines that end
    /// with a carriage return all records, which are taken for the header. Columns without a name
    /// are nobody's.
    pub(super) fn check(&self) -> Result<(), String> {
        let mut seen = HashSet::new();
        for name in &self.columns {
            if name.replace("\r\n", "").contains('\r') {
                return Err("lines end with a carriage return; end them with LF or CR LF".into());
            }
            if !name.is_empty() && !seen.insert(name) {
                return Err(format!("the header row has two columns {name:?}; rename one"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cut in two anywhere, the same records follow each other.
    #[test]
    fn rows_split_and_stay_the_same() {
        let mut rows = Rows::default();
        rows.push(b"one");
        rows.push_cut(b"two", 2000);
        rows.push(b"");
        rows.push_cut(b"four", 4000);
        let each: Vec<&[u8]> = (0..4).map(|index| rows.get(index)).collect();
        assert_eq!(each, rows.iter().map(|(row, _)| row).collect::<Vec<_>>());
        assert_eq!(rows.get(4), b"");
        for count in 0..=5 {
            let mut first = rows.clone();
            let rest = first.split_off(count);
            assert_eq!(first.len(), count.min(4));
            let joined: Vec<_> = first.iter().chain(rest.iter()).collect();
            assert_eq!(joined, rows.iter().collect::<Vec<_>>());
        }
    }
}
