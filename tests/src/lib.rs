//! scenarios, oracles, crashes

pub mod collector;
pub mod delta;
pub mod histories;
mod http;
pub mod kafka;
pub mod python;
pub mod rows;
pub mod s3;
pub mod team;
