//! One copy of each event.
