//! Which of several copies of one message id is the first.

use std::hash::Hasher as _;

use siphasher::sip::SipHasher13;

use crate::model::{CommandKind, Event, EventKey, Ident};

/// The place of a copy in the order of copies of one message id: time, sequence, and then what the
/// event says but for its properties, for a view that asks for one more property is no reason that
/// another copy counts; copies that differ in properties only go by these. There is a key after
/// each.
pub(super) fn order(event: &Event) -> EventKey {
    let id = u128::from(says(event) >> 1) << 64 | u128::from(event.content);
    EventKey { id, ..event.key }
}

/// A stable hash of what an event says but for its properties. Lengths stand before texts, so that
/// no two are written alike.
fn says(event: &Event) -> u64 {
    let mut hasher = SipHasher13::new_with_keys(0x6272_6169_645f_6f72, 0x6465_725f_7630_3031);
    let put_ident = |hasher: &mut SipHasher13, ident: Ident| {
        hasher.write(&[ident.kind]);
        hasher.write(&ident.token.0.to_le_bytes());
    };
    for text in [&event.kind.channel, &event.kind.name] {
        hasher.write(&(text.len() as u64).to_le_bytes());
        hasher.write(text.as_bytes());
    }
    hasher.write(&(event.idents.len() as u64).to_le_bytes());
    event.idents.iter().for_each(|&ident| put_ident(&mut hasher, ident));
    if let Some(command) = event.command() {
        hasher.write(&[1 + u8::from(command.kind == CommandKind::Unmerge)]);
        put_ident(&mut hasher, command.x);
        put_ident(&mut hasher, command.y);
    } else {
        hasher.write(&[0]);
    }
    if let Some(business_key) = event.business_key() {
        hasher.write(&business_key.0.to_le_bytes());
    }
    hasher.finish()
}
