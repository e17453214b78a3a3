//! Views: what is computed from each person's events, and the numbers over people.

pub mod catalog;
pub mod contribution;
pub mod predicate;
pub mod spec;
