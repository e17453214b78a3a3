//! Message ids as sent, in few bytes.

use std::cmp::Ordering;
use std::fmt;

use serde::de::{Deserializer, Error, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use super::CellRef;
use super::token::HEX;

/// A UUID as it is most often written (RFC 9562, section 4): 32 lower-case hexadecimal digits in
/// five groups. Ordered as that text.
///
/// Aligned to eight bytes, as [`super::Token`] is and for the same reason.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(Rust, packed(8))]
pub struct Uuid(u128);

/// What a byte stands for as a digit; more than 15 if it is none.
const DIGIT: [u8; 256] = {
    let mut digit = [u8::MAX; 256];
    let mut value = 0;
    while value < 16 {
        digit[HEX[value] as usize] = value as u8;
        value += 1;
    }
    digit
};

/// Where two digits stand in the text, byte by byte.
const PAIRS: [usize; 16] = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34];
/// Where hyphens stand.
const HYPHENS: [usize; 4] = [8, 13, 18, 23];

impl Uuid {
    /// Bytes of its text.
    pub const TEXT: usize = 36;

    /// The UUID of a text; `None` if that is written otherwise.
    pub fn parse(text: &str) -> Option<Self> {
        let text: &[u8; Self::TEXT] = text.as_bytes().try_into().ok()?;
        if HYPHENS.iter().any(|&place| text[place] != b'-') {
            return None;
        }
        let (mut bytes, mut all) = ([0; 16], 0);
        for (byte, place) in bytes.iter_mut().zip(PAIRS) {
            let pair = [text[place], text[place + 1]].map(|digit| DIGIT[usize::from(digit)]);
            all |= pair[0] | pair[1];
            *byte = pair[0] << 4 | pair[1];
        }
        (all < 16).then_some(Self(u128::from_be_bytes(bytes)))
    }

    /// Some of its bits.
    pub fn word(self) -> u64 {
        self.0 as u64
    }

    /// Its text, written to `buffer`.
    pub fn text(self, buffer: &mut [u8; Self::TEXT]) -> &str {
        *buffer = [b'-'; Self::TEXT];
        for (byte, place) in { self.0 }.to_be_bytes().into_iter().zip(PAIRS) {
            buffer[place] = HEX[usize::from(byte >> 4)];
            buffer[place + 1] = HEX[usize::from(byte & 15)];
        }
        // Digits and hyphens are ASCII: this can't fail.
        std::str::from_utf8(buffer).unwrap_or_default()
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text(&mut [0; Self::TEXT]))
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The message id of an event: any text, of which a UUID takes no memory of its own. Ordered as its
/// text.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct MessageId(Form);

/// A text that is a UUID is always [`Form::Uuid`], so equal ids have equal forms.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Form {
    Uuid(Uuid),
    Text(Box<str>),
}

impl MessageId {
    /// The text, for which a UUID needs `buffer`.
    pub fn text<'a>(&'a self, buffer: &'a mut [u8; Uuid::TEXT]) -> &'a str {
        match &self.0 {
            Form::Uuid(uuid) => uuid.text(buffer),
            Form::Text(text) => text,
        }
    }

    /// As the value of a row.
    #[inline]
    pub fn as_cell(&self) -> CellRef<'_> {
        match &self.0 {
            Form::Uuid(uuid) => CellRef::Uuid(*uuid),
            Form::Text(text) => CellRef::Str(text),
        }
    }

    /// Memory that it takes beyond itself, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        match &self.0 {
            Form::Uuid(_) => 0,
            Form::Text(text) => text.len(),
        }
    }
}

impl From<&str> for MessageId {
    fn from(text: &str) -> Self {
        Self(Uuid::parse(text).map_or_else(|| Form::Text(text.into()), Form::Uuid))
    }
}

impl From<String> for MessageId {
    fn from(text: String) -> Self {
        Self(Uuid::parse(&text).map_or_else(|| Form::Text(text.into()), Form::Uuid))
    }
}

impl Ord for MessageId {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_cell().cmp(&other.as_cell())
    }
}

impl PartialOrd for MessageId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.text(&mut [0; Uuid::TEXT]))
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.text(&mut [0; Uuid::TEXT]), f)
    }
}

/// Written as its text.
impl Serialize for MessageId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.text(&mut [0; Uuid::TEXT]))
    }
}

impl<'de> Deserialize<'de> for MessageId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl Visitor<'_> for Text {
            type Value = MessageId;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a message id")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<MessageId, E> {
                Ok(text.into())
            }
        }

        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "0123abcd-4567-89ab-cdef-0123456789ab";

    /// Texts that are a UUID but for one thing, and others.
    fn texts() -> Vec<String> {
        let mut texts: Vec<String> = ["", "m1", "\u{e9}", "ffffffff-ffff-ffff-ffff-ffffffffffff"]
            .map(str::to_owned)
            .to_vec();
        texts.extend([UUID.to_uppercase(), UUID.replace('-', ""), format!("{UUID} ")]);
        for place in 0..UUID.len() {
            for byte in [b'-', b'0', b'9', b'a', b'f', b'g', b'/', b':', b'`', b'A', b' '] {
                let mut bytes = UUID.as_bytes().to_vec();
                bytes[place] = byte;
                texts.push(String::from_utf8(bytes).unwrap());
            }
        }
        texts
    }

    #[test]
    fn a_message_id_is_its_text() {
        let mut uuids = 0;
        for text in texts() {
            let id = MessageId::from(&*text);
            assert_eq!(id.text(&mut [0; Uuid::TEXT]), text);
            assert_eq!(id.to_string(), text);
            assert_eq!(id, MessageId::from(text.clone()));
            uuids += usize::from(id.bytes() == 0 && !text.is_empty());
            let json = serde_json::to_string(&id).unwrap();
            assert_eq!(json, serde_json::to_string(&text).unwrap());
            assert_eq!(serde_json::from_str::<MessageId>(&json).unwrap(), id);
        }
        // Each place of a digit takes four of the bytes above, and each hyphen one.
        assert_eq!(uuids, 1 + 32 * 4 + 4);
        assert_eq!(size_of::<MessageId>(), 24);
    }

    /// Also beside a cell that is the text of a UUID, as one read from a table is.
    #[test]
    fn the_order_is_that_of_texts() {
        let texts = texts();
        for a in &texts {
            for b in &texts {
                let (x, y) = (MessageId::from(&**a), MessageId::from(&**b));
                let order = a.cmp(b);
                assert_eq!(x.cmp(&y), order, "{a} {b}");
                assert_eq!(x == y, order.is_eq(), "{a} {b}");
                assert_eq!(x.as_cell().cmp(&CellRef::Str(b)), order, "{a} {b}");
                assert_eq!(CellRef::Str(a).cmp(&y.as_cell()), order, "{a} {b}");
                assert_eq!(x.as_cell() == CellRef::Str(b), order.is_eq(), "{a} {b}");
            }
        }
    }
}
