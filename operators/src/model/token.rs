//! Identifiers as tokens, and the hash of a message id.

use std::fmt;
use std::hash::Hasher as _;

use serde::{Deserialize, Serialize};
use siphasher::sip128::{Hasher128, SipHasher13};

/// Hexadecimal digits, as ids are shown.
pub(super) const HEX: &[u8; 16] = b"0123456789abcdef";

/// The keyed hash of one identifier: what the product knows of it from decode on.
///
/// Ordered as its lower-case hexadecimal form, which is how it is shown. Aligned to eight bytes: at
/// the sixteen of a plain `u128`, half of an identifier and of many a row would be padding.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[repr(Rust, packed(8))]
pub struct Token(pub u128);

impl Token {
    /// The token as it is shown: 32 lower-case hexadecimal digits, written to `buffer`.
    pub fn hex(self, buffer: &mut [u8; 32]) -> &str {
        for (pair, byte) in buffer.chunks_exact_mut(2).zip({ self.0 }.to_be_bytes()) {
            pair[0] = HEX[usize::from(byte >> 4)];
            pair[1] = HEX[usize::from(byte & 15)];
        }
        // The digits are ASCII: this can't fail.
        std::str::from_utf8(buffer).unwrap_or_default()
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.hex(&mut [0; 32]))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An identifier: its type, as an index into the job's `[[identity.type]]`, and its token.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
pub struct Ident {
    /// Index of the identity type.
    pub kind: u8,
    /// The keyed hash of type and value.
    pub token: Token,
}

/// The key of the identifier hash. Two jobs with the same key give the same tokens.
#[derive(Clone, Copy)]
pub struct Secret([u8; 32]);

impl Secret {
    /// Derives the key from a passphrase, as BLAKE3's `derive_key` mode does.
    pub fn new(passphrase: &str) -> Self {
        Self(blake3::derive_key("braid 2026 identifier tokens v1", passphrase.as_bytes()))
    }

    /// The token of an identifier: the first 128 bits of keyed BLAKE3 over `type NUL value`.
    pub fn token(&self, kind: &str, value: &str) -> Token {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(kind.as_bytes()).update(&[0]).update(value.as_bytes());
        let mut first = [0; 16];
        first.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        Token(u128::from_be_bytes(first))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// The 128-bit hash of a sender's message id: SipHash-1-3 with a fixed key, stable over versions.
///
/// It orders events of the same time and sequence, and is the id of the event inside the product.
pub fn message_hash(message_id: &str) -> u128 {
    let mut hasher = SipHasher13::new_with_keys(0x6272_6169_645f_6d73, 0x675f_6964_5f76_3031);
    hasher.write(message_id.as_bytes());
    hasher.finish128().as_u128()
}
