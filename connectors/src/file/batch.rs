//! Records on their way from the reader to the decoders.

use std::sync::Arc;

use arrow::array::RecordBatch;

use super::Fields;

/// A run of consecutive records of one file, split but not decoded. Cheap to clone.
#[derive(Clone, Debug)]
pub struct RawBatch {
    /// Index of the source in the job file.
    pub source: u16,
    /// Index of the file in the source's list.
    pub partition: u32,
    /// Number of the first record in its file, from 1.
    pub first: u64,
    /// The records.
    pub records: RawRecords,
    /// Bytes in memory, for bounds on what is in flight.
    pub bytes: usize,
}

impl RawBatch {
    /// How many records there are.
    pub fn len(&self) -> usize {
        match &self.records {
            RawRecords::Json(rows) | RawRecords::Delimited { rows, .. } => rows.len(),
            RawRecords::Table(batch) => batch.num_rows(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The records of a batch.
#[derive(Clone, Debug)]
pub enum RawRecords {
    /// JSON texts.
    Json(Arc<Rows>),
    /// Rows of CSV or TSV.
    Delimited {
        /// Names of the columns: the first row of the file.
        header: Arc<Header>,
        /// The rows after it.
        rows: Arc<Rows>,
    },
    /// Rows of Parquet.
    Table(RecordBatch),
}

/// The first row of a CSV or TSV file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Header {
    /// What stands between two fields.
    pub delimiter: u8,
    /// Names of the columns. Of two columns of one name the last counts, as with JSON keys.
    pub columns: Vec<String>,
}

/// Records of text, one after the other in one buffer.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Rows {
    /// The records without their line ends.
    pub(super) data: Vec<u8>,
    /// Where in `data` each record ends.
    pub(super) ends: Vec<u32>,
    /// Records that were too large: their index and full length in bytes. Only their first
    /// [`Rows::KEPT_BYTES`] bytes are in `data`.
    pub(super) cut: Vec<(u32, u64)>,
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
}
