//! How parts of a batch cross to another process.

/// Bytes as they are, and not one by one.
pub(super) mod bytes {
    use std::fmt;

    use serde::de::{Deserializer, Error, SeqAccess, Visitor};
    use serde::ser::Serializer;

    pub(in super::super) fn serialize<S: Serializer>(
        bytes: &[u8],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytes)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<u8>, D::Error> {
        deserializer.deserialize_byte_buf(Bytes)
    }

    struct Bytes;

    impl<'de> Visitor<'de> for Bytes {
        type Value = Vec<u8>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("bytes")
        }

        fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
            Ok(bytes.to_vec())
        }

        fn visit_byte_buf<E: Error>(self, bytes: Vec<u8>) -> Result<Vec<u8>, E> {
            Ok(bytes)
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<u8>, A::Error> {
            let mut bytes = Vec::new();
            while let Some(byte) = list.next_element()? {
                bytes.push(byte);
            }
            Ok(bytes)
        }
    }
}

/// Rows of Parquet as a stream of Arrow.
pub(super) mod table {
    use arrow::array::RecordBatch;
    use arrow::error::ArrowError;
    use arrow::ipc::reader::StreamReader;
    use arrow::ipc::writer::StreamWriter;
    use serde::de::{Deserializer, Error as _};
    use serde::ser::{Error as _, Serializer};

    pub(in super::super) fn serialize<S: Serializer>(
        table: &RecordBatch,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let write = || -> Result<Vec<u8>, ArrowError> {
            let mut writer = StreamWriter::try_new(Vec::new(), table.schema_ref())?;
            writer.write(table)?;
            writer.into_inner()
        };
        serializer.serialize_bytes(&write().map_err(S::Error::custom)?)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<RecordBatch, D::Error> {
        let bytes = super::bytes::deserialize(deserializer)?;
        let mut reader = StreamReader::try_new(&bytes[..], None).map_err(D::Error::custom)?;
        let first = reader.next().ok_or_else(|| D::Error::custom("a stream without a batch"))?;
        first.map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};

    use super::super::{Header, RawBatch, RawRecords, Rows};

    fn crossed(records: RawRecords) -> RawBatch {
        let batch = RawBatch {
            source: 1,
            partition: 2,
            first: 3,
            offsets: Some(Arc::from([3, 5])),
            records,
            bytes: 4,
        };
        let bytes = bincode::serialize(&batch).unwrap();
        let read: RawBatch = bincode::deserialize(&bytes).unwrap();
        assert_eq!((read.source, read.partition, read.first, read.bytes), (1, 2, 3, 4));
        assert_eq!((read.offset(0), read.offset(1), read.len()), (3, 5, batch.len()));
        read
    }

    #[test]
    fn records_of_every_kind_cross() {
        let mut rows = Rows::default();
        rows.push(b"one");
        rows.push_cut(b"two", 2000);
        rows.push_wrong(b"", "nothing");
        let rows = Arc::new(rows);
        let mut beside = Rows::default();
        ["{}", "", "{\"key\":1}"].iter().for_each(|text| beside.push(text.as_bytes()));
        let beside = Some(Arc::new(beside));
        let messages = RawRecords::Messages { rows: Arc::clone(&rows), beside: beside.clone() };
        let RawRecords::Messages { rows: read, beside: read_beside } = crossed(messages).records
        else {
            panic!("messages stay messages");
        };
        assert_eq!((&read, &read_beside), (&rows, &beside));
        let header = Arc::new(Header { delimiter: b';', columns: vec!["a".to_owned()] });
        let delimited = RawRecords::Delimited { header: Arc::clone(&header), rows };
        let RawRecords::Delimited { header: read, .. } = crossed(delimited).records else {
            panic!("rows of CSV stay such rows");
        };
        assert_eq!(read, header);
        let columns: [(&str, ArrayRef); 2] = [
            ("n", Arc::new(Int64Array::from(vec![Some(1), None, Some(3)]))),
            ("text", Arc::new(StringArray::from(vec!["a", "", "c"]))),
        ];
        let table = RecordBatch::try_from_iter(columns).unwrap();
        // A part of a larger table, as readers cut them.
        let part = table.slice(1, 2);
        let RawRecords::Table(read) = crossed(RawRecords::Table(part.clone())).records else {
            panic!("a table stays a table");
        };
        assert_eq!(read, part);
    }
}
