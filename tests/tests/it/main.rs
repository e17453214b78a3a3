//! Scenarios, oracles, crashes: the product driven as its user drives it.

mod clickhouse;
mod commits;
mod delta_python;
mod generated;
mod histories;
mod identity_spec;
mod job_files;
mod shop;
mod snowplow;
mod support;
mod tidy;
