//! The past: which records made up each epoch, and how they are read again.

pub mod history;
