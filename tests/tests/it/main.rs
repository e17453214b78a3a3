//! Scenarios, oracles, crashes: the product driven as its user drives it.

mod commits;
mod shop;
mod support;
mod tidy;
