//! Funnels: what others expect, and the worked examples of `SPEC.md`.

mod posthog;
mod random;
