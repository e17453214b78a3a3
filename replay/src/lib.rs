//! the past: which records made up each epoch
