//! How far event time is complete.

use std::collections::BTreeMap;

use crate::model::Micros;

#[derive(Clone, Copy, Debug, Default)]
struct Source {
    largest: Option<Micros>,
    at_end: bool,
}

/// The watermark: the smallest over the sources that are not at their end of the largest event time
/// seen less the disorder. When all are at their end, the largest over all. It never goes back.
#[derive(Clone, Debug)]
pub struct Watermark {
    disorder: Micros,
    sources: BTreeMap<u16, Source>,
    current: Micros,
}

impl Watermark {
    /// The watermark of sources 0 to `sources` - 1, of which nothing is known yet.
    pub fn new(disorder: Micros, sources: u16) -> Self {
        let sources = (0..sources).map(|source| (source, Source::default())).collect();
        Self { disorder, sources, current: Micros::MIN }
    }

    /// Notes the largest event time of some records of a source, and whether it is at its end.
    pub fn observe(&mut self, source: u16, largest: Option<Micros>, at_end: bool) {
        let entry = self.sources.entry(source).or_default();
        entry.largest = entry.largest.max(largest);
        entry.at_end |= at_end;
    }

    /// The watermark after everything observed so far.
    pub fn advance(&mut self) -> Micros {
        let behind =
            |s: &Source| s.largest.map_or(Micros::MIN, |t| t.saturating_sub(self.disorder));
        let open = self.sources.values().filter(|s| !s.at_end).map(behind).min();
        let now = open.or_else(|| self.sources.values().map(behind).max());
        self.current = self.current.max(now.unwrap_or(Micros::MIN));
        self.current
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_slowest_source_that_is_not_at_its_end() {
        let mut watermark = Watermark::new(10, 2);
        watermark.observe(0, Some(100), false);
        assert_eq!(watermark.advance(), Micros::MIN);
        watermark.observe(1, Some(50), false);
        assert_eq!(watermark.advance(), 40);
        watermark.observe(1, Some(45), true);
        assert_eq!(watermark.advance(), 90);
        watermark.observe(0, None, true);
        assert_eq!(watermark.advance(), 90);
    }

    #[test]
    fn it_never_goes_back_when_a_source_appears() {
        let mut watermark = Watermark::new(0, 1);
        watermark.observe(0, Some(100), false);
        assert_eq!(watermark.advance(), 100);
        watermark.observe(1, Some(10), false);
        assert_eq!(watermark.advance(), 100);
    }
}
