//! Kafka in and out, on a real broker.

mod avro;
mod beside;
mod bindings;
mod cluster;
mod crash;
mod exactly_once;
mod gone;
mod hanging;
mod harness;
mod job;
mod outage;
mod registry;
mod replays;
mod running;
mod secure;
mod sink;
mod source;
mod support;
