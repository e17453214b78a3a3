//! Which of several copies of one message id is the first.

use siphasher::sip::SipHasher13;

use crate::model::{CommandKind, Event, EventKey, Ident};

/// The place of a copy in the order of copies of one message id: time, sequence, and then what the
/// event says but for its properties, for a view that asks for one more property is no reason that
/// another copy counts; copies that differ in properties only go by these.
pub(super) fn order(event: &Event) -> EventKey {
    let id = u128::from(says(event)) << 64 | u128::from(event.content);
    EventKey { id, ..event.key }
}

/// A stable hash of what an event says but for its properties. Lengths stand before texts, so that
/// no two are written alike.
fn says(event: &Event) -> u64 {
    fn put_ident(buffer: &mut Vec<u8>, ident: Ident) {
        buffer.push(ident.kind);
        buffer.extend_from_slice(&ident.token.0.to_le_bytes());
    }
    let mut buffer = Vec::with_capacity(128);
    for text in [&event.kind.channel, &event.kind.name] {
        buffer.extend_from_slice(&(text.len() as u64).to_le_bytes());
        buffer.extend_from_slice(text.as_bytes());
    }
    buffer.extend_from_slice(&(event.idents.len() as u64).to_le_bytes());
    event.idents.iter().for_each(|&ident| put_ident(&mut buffer, ident));
    if let Some(command) = event.command() {
        buffer.push(1 + u8::from(command.kind == CommandKind::Unmerge));
        put_ident(&mut buffer, command.x);
        put_ident(&mut buffer, command.y);
    } else {
        buffer.push(0);
    }
    if let Some(business_key) = event.business_key() {
        buffer.extend_from_slice(&business_key.0.to_le_bytes());
    }
    SipHasher13::new_with_keys(0x6272_6169_645f_6f72, 0x6465_725f_7630_3031).hash(&buffer)
}
