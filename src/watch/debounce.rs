//! DECIDES when a burst of changes is over. No clock: time is an argument.

use std::time::{Duration, Instant};

/// A burst, from its first change to the moment at which it is looked at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Debounce {
    quiet: Duration,
    longest: Duration,
    burst: Option<(Instant, Instant)>,
    /// Is a file that has changed still being written? Then quiet is not enough.
    held: bool,
}

impl Debounce {
    /// A burst is over after so much quiet, and at the latest so long after its beginning.
    pub(super) fn new(quiet: Duration, longest: Duration) -> Debounce {
        Debounce {
            quiet,
            longest: longest.max(quiet),
            burst: None,
            held: false,
        }
    }

    /// Is a file that has changed still being written?
    pub(super) fn hold(&mut self, held: bool) {
        self.held = held;
    }

    /// From now on a burst is over after so much quiet.
    pub(super) fn set_quiet(&mut self, quiet: Duration) {
        self.quiet = quiet;
        self.longest = self.longest.max(quiet);
    }

    /// Something has changed.
    pub(super) fn note(&mut self, now: Instant) {
        let first = self.burst.map_or(now, |(first, _)| first);
        self.burst = Some((first, now));
    }

    /// When it is to be looked at, if there is a burst.
    pub(super) fn due(&self) -> Option<Instant> {
        let (first, last) = self.burst?;
        let late = first.checked_add(self.longest)?;
        Some(if self.held {
            late
        } else {
            last.checked_add(self.quiet)?.min(late)
        })
    }

    /// It is looked at.
    pub(super) fn over(&mut self) {
        self.burst = None;
        self.held = false;
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use proptest::prelude::*;

    use super::Debounce;

    const MS: Duration = Duration::from_millis(1);

    proptest! {
        #[test]
        fn a_burst_is_looked_at_once_quiet_or_late(pauses in proptest::collection::vec(0..1_000_u32, 1..40)) {
            let (quiet, longest) = (300 * MS, 5_000 * MS);
            let mut debounce = Debounce::new(quiet, longest);
            let begin = Instant::now();
            let (mut now, mut first) = (begin, None);
            for pause in pauses {
                now += pause * MS;
                if let Some(due) = debounce.due().filter(|due| *due <= now) {
                    let first: Instant = first.unwrap();
                    prop_assert!(due <= first + longest);
                    debounce.over();
                }
                if debounce.due().is_none() {
                    first = Some(now);
                }
                debounce.note(now);
                let due = debounce.due().unwrap();
                prop_assert!(due == now + quiet || due == first.unwrap() + longest);
            }
        }
    }

    #[test]
    fn without_a_change_there_is_nothing_to_look_at() {
        let mut debounce = Debounce::new(300 * MS, MS);
        assert_eq!(debounce.due(), None);
        let now = Instant::now();
        debounce.note(now);
        assert_eq!(
            debounce.due(),
            Some(now + 300 * MS),
            "never shorter than the quiet time"
        );
        debounce.set_quiet(900 * MS);
        assert_eq!(debounce.due(), Some(now + 900 * MS), "of a burst that has begun, too");
        debounce.over();
        assert_eq!(debounce.due(), None);
    }

    #[test]
    fn a_file_that_is_being_written_is_waited_for_but_not_for_ever() {
        let mut debounce = Debounce::new(300 * MS, 5_000 * MS);
        let now = Instant::now();
        debounce.note(now);
        debounce.hold(true);
        debounce.note(now + 500 * MS);
        assert_eq!(debounce.due(), Some(now + 5_000 * MS));
        debounce.hold(false);
        debounce.note(now + 700 * MS);
        assert_eq!(debounce.due(), Some(now + 1_000 * MS));
        debounce.hold(true);
        debounce.over();
        debounce.note(now + 9_000 * MS);
        assert_eq!(debounce.due(), Some(now + 9_300 * MS), "the next burst is another one");
    }
}
