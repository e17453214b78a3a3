//! Scenarios, oracles, crashes: the product driven as its user drives it.

mod clickhouse;
mod commits;
mod crash;
mod generated;
mod job_files;
mod restart;
mod shop;
mod snowplow;
mod support;
mod tidy;
