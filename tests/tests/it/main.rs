//! Scenarios, oracles, crashes: the product driven as its user drives it.

mod commits;
mod crash;
mod job_files;
mod restart;
mod shop;
mod snowplow;
mod support;
mod tidy;
