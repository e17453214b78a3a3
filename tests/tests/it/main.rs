//! Scenarios, oracles, crashes: the product driven as its user drives it.

mod archive;
mod as_known;
mod clickhouse;
mod cluster;
mod cohorts;
mod commits;
mod crash;
mod damage;
mod dead_letters;
mod delta_python;
mod deploy;
mod generated;
mod histories;
mod identity_spec;
mod job_files;
mod replays;
mod restart;
mod schemas;
mod shop;
mod snapshots;
mod snowplow;
mod support;
mod tidy;
mod traces;
mod upgrades;
mod whatif;
