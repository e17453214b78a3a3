//! what is computed: dedup, identity, store, people, views
