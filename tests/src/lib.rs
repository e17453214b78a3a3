//! scenarios, oracles, crashes

pub mod delta;
pub mod histories;
pub mod kafka;
pub mod python;
pub mod rows;
pub mod team;
