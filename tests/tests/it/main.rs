//! Scenarios, oracles, crashes: the product driven as its user drives it.

mod commits;
mod generated;
mod shop;
mod snowplow;
mod support;
mod tidy;
