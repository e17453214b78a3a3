//! Funnels: what others expect, and the worked examples of `SPEC.md`.

mod near;
mod posthog;
mod random;
