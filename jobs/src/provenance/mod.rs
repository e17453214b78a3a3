//! Where rows come from: from a number to people, from a person to identifiers, links and claims,
//! and from these to the records that show them.
//!
//! Nothing of this is kept while a job runs. It follows from what was bound: the records are read
//! again ([`past`]) and explained by the rules that the job had. So it is as exact as the tables,
//! of any epoch, and costs a running job nothing.

mod connected;
pub mod number;
pub mod past;
pub mod person;
mod picture;
pub mod said;
mod telling;
mod text;
