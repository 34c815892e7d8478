//! KEEPS the metrics. They take longer to set up than a short program runs, so that what is counted before there is time for
//! them is remembered, and counted then.

use crate::control::metrics::Metrics;

/// So much is remembered before they are set up after all.
const MOST: usize = 64;

type Count = Box<dyn FnOnce(&Metrics)>;

/// The metrics, or what is to be counted once they are there.
#[derive(Default)]
pub(super) struct Tally {
    metrics: Option<Metrics>,
    early: Vec<Count>,
}

impl Tally {
    /// Counts something.
    pub(super) fn count(&mut self, count: impl FnOnce(&Metrics) + 'static) {
        match &self.metrics {
            Some(metrics) => count(metrics),
            None => {
                self.early.push(Box::new(count));
                if self.early.len() >= MOST {
                    self.metrics();
                }
            }
        }
    }

    /// All of them, with everything that was counted.
    pub(super) fn metrics(&mut self) -> &Metrics {
        let metrics = self.metrics.get_or_insert_with(Metrics::new);
        for count in self.early.drain(..) {
            count(metrics);
        }
        metrics
    }
}

impl std::fmt::Debug for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tally")
            .field("early", &self.early.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::{MOST, Tally};
    use crate::control::sample;

    #[test]
    fn nothing_that_is_counted_early_is_forgotten() {
        let mut tally = Tally::default();
        for _ in 0..3 {
            tally.count(|metrics| metrics.killed());
        }
        assert!(tally.metrics.is_none());
        for _ in 0..MOST {
            tally.count(|metrics| metrics.killed());
        }
        assert!(tally.metrics.is_some() && tally.early.is_empty());
        let text = tally.metrics().openmetrics(&sample::status());
        assert!(text.contains(&format!("segue_kills_total {}\n", MOST + 3)), "{text}");
    }
}
