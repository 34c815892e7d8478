//! COUNTS what a generation is at: requests that it has not answered, bodies that are under way, tunnels and how long each is
//! quiet. It is told, and never looks by itself.

use std::{
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

/// What a generation is at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Load {
    /// Requests whose answer has not begun.
    pub unanswered: usize,
    /// Answers, or what is left of the requests, that are under way.
    pub answering: usize,
    /// For each tunnel (of an upgraded connection), since when no byte has gone by.
    pub tunnels: Vec<Duration>,
}

impl Load {
    /// What is not finished: all but tunnels that are quiet for so long.
    #[must_use]
    pub fn busy(&self, idle: Duration) -> usize {
        let tunnels = self.tunnels.iter().filter(|quiet| **quiet < idle).count();
        self.unanswered.saturating_add(self.answering).saturating_add(tunnels)
    }
}

/// The counts of one generation.
#[derive(Debug, Default)]
pub(super) struct Counts {
    unanswered: AtomicUsize,
    answering: AtomicUsize,
    /// Those that are gone are forgotten at the next look, or when there are many.
    tunnels: Mutex<Vec<Weak<Activity>>>,
}

impl Counts {
    pub(super) fn load(&self) -> Load {
        let mut tunnels = self.tunnels.lock().unwrap_or_else(PoisonError::into_inner);
        tunnels.retain(|it| it.strong_count() > 0);
        Load {
            unanswered: self.unanswered.load(Relaxed),
            answering: self.answering.load(Relaxed),
            tunnels: tunnels.iter().filter_map(|it| Some(it.upgrade()?.quiet())).collect(),
        }
    }

    /// A tunnel, until this is dropped.
    pub(super) fn tunnel(&self) -> Arc<Activity> {
        let activity = Arc::new(Activity::new());
        let mut tunnels = self.tunnels.lock().unwrap_or_else(PoisonError::into_inner);
        if tunnels.len() == tunnels.capacity() {
            tunnels.retain(|it| it.strong_count() > 0);
        }
        tunnels.push(Arc::downgrade(&activity));
        activity
    }
}

/// A request and its answer, until this is dropped.
#[derive(Debug)]
pub(super) struct Passing {
    counts: Arc<Counts>,
    answered: bool,
}

impl Passing {
    pub(super) fn begin(counts: &Arc<Counts>) -> Passing {
        counts.unanswered.fetch_add(1, Relaxed);
        Passing {
            counts: Arc::clone(counts),
            answered: false,
        }
    }

    /// The head of the answer has come.
    pub(super) fn answered(&mut self) {
        if !std::mem::replace(&mut self.answered, true) {
            self.counts.answering.fetch_add(1, Relaxed);
            self.counts.unanswered.fetch_sub(1, Relaxed);
        }
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        let count = if self.answered {
            &self.counts.answering
        } else {
            &self.counts.unanswered
        };
        count.fetch_sub(1, Relaxed);
    }
}

/// One that counts as long as it is there.
#[derive(Debug)]
pub(super) struct Waiting(Arc<AtomicUsize>);

impl Waiting {
    pub(super) fn begin(count: &Arc<AtomicUsize>) -> Waiting {
        count.fetch_add(1, Relaxed);
        Waiting(Arc::clone(count))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// When a byte last went by.
#[derive(Debug)]
pub(super) struct Activity {
    begin: Instant,
    /// Milliseconds after the begin.
    last: AtomicU64,
}

impl Activity {
    fn new() -> Activity {
        Activity {
            begin: Instant::now(),
            last: AtomicU64::new(0),
        }
    }

    pub(super) fn note(&self) {
        let now = u64::try_from(self.begin.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(now, Relaxed);
    }

    fn quiet(&self) -> Duration {
        let last = Duration::from_millis(self.last.load(Relaxed));
        self.begin.elapsed().saturating_sub(last)
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use super::{Counts, Load, Passing};

    #[test]
    fn each_counts_once_and_until_its_end() {
        let counts = Arc::new(Counts::default());
        let (mut first, second) = (Passing::begin(&counts), Passing::begin(&counts));
        first.answered();
        first.answered();
        let load = counts.load();
        assert_eq!((load.unanswered, load.answering, load.busy(Duration::ZERO)), (1, 1, 2));
        drop((first, second));
        assert_eq!(counts.load(), Load::default());
    }

    #[test]
    fn a_quiet_tunnel_is_not_busy() {
        let counts = Counts::default();
        let tunnel = counts.tunnel();
        tunnel.note();
        let load = counts.load();
        assert_eq!((load.busy(Duration::from_secs(60)), load.busy(Duration::ZERO)), (1, 0));
        drop(tunnel);
        assert_eq!(counts.load().tunnels.len(), 0);
        let many: Vec<_> = (0..100).map(|_| counts.tunnel()).collect();
        assert_eq!(counts.load().tunnels.len(), many.len());
    }
}
