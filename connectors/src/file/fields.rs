//! The fields of a row of CSV or TSV.

use std::borrow::Cow;

use memchr::memchr;

use super::text::closing_quote;

/// A quote that has no end in its row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HalfQuote;

/// Splits a row into fields. Text after a closing quote belongs to the field, as it stands.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    rest: Option<&'a [u8]>,
    delimiter: u8,
}

impl<'a> Fields<'a> {
    /// The fields of `row`, which has no line end.
    pub fn new(row: &'a [u8], delimiter: u8) -> Self {
        Self { rest: Some(row), delimiter }
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Cow<'a, [u8]>, HalfQuote>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.rest.take()?;
        if rest.first() != Some(&b'"') {
            let end = memchr(self.delimiter, rest);
            self.rest = end.map(|end| &rest[end + 1..]);
            return Some(Ok(Cow::Borrowed(&rest[..end.unwrap_or(rest.len())])));
        }
        let text = &rest[1..];
        let Some(close) = closing_quote(text) else { return Some(Err(HalfQuote)) };
        let after = &text[close + 1..];
        let end = memchr(self.delimiter, after);
        self.rest = end.map(|end| &after[end + 1..]);
        let tail = &after[..end.unwrap_or(after.len())];
        let text = &text[..close];
        if tail.is_empty() && memchr(b'"', text).is_none() {
            return Some(Ok(Cow::Borrowed(text)));
        }
        let mut plain = Vec::with_capacity(text.len() + tail.len());
        let mut at = 0;
        while let Some(quote) = memchr(b'"', &text[at..]) {
            plain.extend_from_slice(&text[at..=at + quote]);
            at += quote + 2;
        }
        plain.extend_from_slice(&text[at..]);
        plain.extend_from_slice(tail);
        Some(Ok(Cow::Owned(plain)))
    }
}
