//! Where records end.

use operators::identity::testing::Seeded;
use operators::model::Reason;

use super::super::text::TextReader;
use super::*;

const MAX: usize = Reason::MAX_BYTES;

/// Records with their full length where they are cut.
fn split(bytes: &[u8], delimiter: Option<u8>, most: usize) -> Vec<(Vec<u8>, Option<u64>)> {
    let input = Box::new(std::io::Cursor::new(bytes.to_vec()));
    let mut reader = TextReader::new(input, delimiter).unwrap();
    let mut all = Vec::new();
    loop {
        let mut rows = Rows::default();
        if reader.read(most, &mut rows).unwrap() == 0 {
            return all;
        }
        all.extend(rows.iter().map(|(row, cut)| (row.to_vec(), cut)));
    }
}

fn whole(rows: &[&str]) -> Vec<(Vec<u8>, Option<u64>)> {
    rows.iter().map(|row| (row.as_bytes().to_vec(), None)).collect()
}

#[test]
fn line_ends_and_marks() {
    let expected = whole(&["a", "", "b"]);
    assert_eq!(split(b"a\n\nb\n", None, 9), expected);
    assert_eq!(split(b"\xef\xbb\xbfa\r\n\r\nb", None, 9), expected);
    assert_eq!(split(b"", None, 9), []);
    assert_eq!(split(b"\"a\nb\"\n", None, 9), whole(&["\"a", "b\""]));
}

#[test]
fn quoted_line_ends_belong_to_the_row() {
    let rows = ["1,\"a\nb\",c", "2,\"say \"\"hi\"\"\n\",", "3,5\" disk,x", "\"\"", "4,\"\",\"\""];
    let text = rows.join("\r\n") + "\n";
    assert_eq!(split(text.as_bytes(), Some(b','), 2), whole(&rows));
    // A quote without end costs its line, here at the end of the file.
    assert_eq!(split(b"1,\"a\n2,b\n", Some(b','), 9), whole(&["1,\"a", "2,b"]));
}

#[test]
fn a_record_of_the_limit_is_cut_and_the_next_is_whole() {
    for (length, delimiter) in
        [(MAX - 1, None), (MAX, None), (MAX + 1, None), (3 * MAX, None), (MAX, Some(b','))]
    {
        for end in ["\n", "\r\n", ""] {
            let text = format!("first\n{}{end}", "x".repeat(length));
            let text = if end.is_empty() { text } else { text + "last" };
            let got = split(text.as_bytes(), delimiter, 9);
            assert_eq!(got.len(), 2 + usize::from(!end.is_empty()), "{length} {end:?}");
            let (row, cut) = &got[1];
            if length < MAX {
                assert_eq!((row.len(), *cut), (length, None), "{end:?}");
            } else {
                assert_eq!(row.len(), Rows::KEPT_BYTES);
                assert!((length as u64..=length as u64 + 1).contains(&cut.unwrap()), "{end:?}");
            }
        }
    }
}

#[test]
fn a_stray_quote_does_not_take_the_file() {
    // No other quote closes it within the limit: each line stands for itself.
    let line = "12345,abc\n";
    let text = format!("1,\"stray\n{}2,\"a\nb\"\n", line.repeat(MAX / line.len() + 10));
    let got = split(text.as_bytes(), Some(b','), 1000);
    assert_eq!(got.len(), MAX / line.len() + 12);
    assert_eq!(got.last().unwrap().0, b"2,\"a\nb\"");
}

#[test]
fn half_quotes_everywhere_take_linear_time() {
    // Each line opens a quote that the next one closes only to open another.
    let text = "\"x\",\"\n".repeat(1_000_000);
    assert_eq!(split(text.as_bytes(), Some(b','), usize::MAX).len() % 10, 0);
}

/// Rows as the csv crate reads them, which knows no limit.
fn csv_rows(bytes: &[u8]) -> Vec<Vec<Vec<u8>>> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(bytes);
    let rows = reader.byte_records().map(Result::unwrap);
    rows.map(|row| row.iter().map(<[u8]>::to_vec).collect()).collect()
}

/// Two thousand small texts dense in quotes, delimiters and line ends.
#[test]
fn rows_and_fields_agree_with_the_csv_crate() {
    for seed in 0..2000 {
        let mut random = Seeded(seed);
        let length = random.below(41);
        let mut text: Vec<u8> = (0..length).map(|_| random.pick(b"a,\"\n")).collect();
        // Close a last quote, for which the two differ on purpose.
        let open = |text: &[u8]| {
            let rows = split(text, Some(b','), 99);
            rows.iter().any(|(row, _)| Fields::new(row, b',').any(|field| field.is_err()))
        };
        if open(&text) {
            text.push(b'"');
            if open(&text) {
                continue;
            }
        }
        let mut got = Vec::new();
        for (row, cut) in split(&text, Some(b','), 3) {
            assert!(cut.is_none());
            // The csv crate passes over blank lines; here they are counted and passed over later.
            if !row.is_empty() {
                let fields: Result<Vec<_>, _> = Fields::new(&row, b',').collect();
                got.push(
                    fields
                        .unwrap()
                        .into_iter()
                        .map(std::borrow::Cow::into_owned)
                        .collect::<Vec<_>>(),
                );
            }
        }
        assert_eq!(got, csv_rows(&text), "seed {seed}");
    }
}

#[test]
fn long_lines_agree_with_a_plain_split() {
    for seed in 0..200 {
        let mut random = Seeded(seed);
        let lines: Vec<String> =
            (0..=random.below(2)).map(|_| "y".repeat(random.below(1_300_000) as usize)).collect();
        let text = lines.join("\n");
        let expected: Vec<_> = text.split('\n').map(str::len).collect();
        let mut got: Vec<_> = split(text.as_bytes(), None, 2)
            .into_iter()
            .map(|(row, cut)| cut.map_or(row.len(), |bytes| bytes as usize))
            .collect();
        // A line end at the very end begins no further record.
        got.resize(expected.len(), 0);
        assert_eq!(got, expected, "seed {seed}");
    }
}
