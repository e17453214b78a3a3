//! The `braid` command.
