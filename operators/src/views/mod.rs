//! Views: what is computed from each person's events, and the numbers over people.

pub mod catalog;
pub mod contribution;
pub mod counts;
pub mod events;
pub mod funnel;
pub mod predicate;
pub mod sessions;
pub mod spec;
pub mod trend;
