//! DECIDES when children may be looked at again after a look that took long. Pure.
//!
//! The kernel goes through all children until it comes to a dead one, so that a look costs as much as there are living ones
//! before that. In a storm, one after each death would cost the square of their number, and hold the lock that the dying need.
//! No more than a part of the time goes into long looks; meanwhile the dead become more, and the looks short.

use std::time::{Duration, Instant};

/// After a look as short as this nobody needs a rest.
pub const SHORT: Duration = Duration::from_micros(50);
/// A rest is so many times as long as the look.
const TIMES: u32 = 8;

/// The rest between two looks.
#[derive(Debug, Default)]
pub struct Rest {
    until: Option<Instant>,
    is_wanted: bool,
}

impl Rest {
    /// May children be looked at? If not, it is remembered that they are to be.
    pub fn may_look(&mut self, now: Instant) -> bool {
        self.is_wanted = self.until.is_some_and(|until| now < until);
        !self.is_wanted
    }

    /// A look took so long.
    pub fn looked(&mut self, took: Duration, now: Instant) {
        self.until = (took > SHORT).then(|| now.checked_add(took.saturating_mul(TIMES)).unwrap_or(now));
    }

    /// When to look again, if somebody wanted to meanwhile.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        self.until.filter(|_| self.is_wanted)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::Rest;

    /// So many children die one after the other, anywhere among the others, and who looks is told of each. How many children are
    /// gone through until the last of them is found?
    fn storm(children: u64) -> u64 {
        let (one_dies, one_is_seen) = (5_000, 50);
        let (boot, mut rest) = (Instant::now(), Rest::default());
        let nanoseconds = Duration::from_nanos;
        let (mut now, mut seen, mut reaped) = (boot, 0, 0);
        while reaped < children {
            let dead = u64::try_from((now - boot).as_nanos()).unwrap() / one_dies;
            let (dead, alive) = (dead.min(children) - reaped, children.saturating_sub(dead));
            if !rest.may_look(now) {
                now = rest.due().unwrap();
                continue;
            }
            let gone_through = alive / (dead + 1) + 1;
            reaped += dead.min(1);
            seen += gone_through;
            now += nanoseconds(one_is_seen * gone_through);
            rest.looked(nanoseconds(one_is_seen * gone_through), now);
            if dead == 0 {
                now = now.max(boot + nanoseconds(one_dies * (reaped + 1)));
            }
        }
        seen
    }

    #[test]
    fn what_a_storm_costs_grows_with_it_and_no_faster() {
        let [small, large] = [20_000, 200_000].map(storm);
        assert!(small / 20_000 < 200 && large / 200_000 < 200, "{small} {large}");
    }

    #[test]
    fn a_look_at_few_is_followed_by_the_next_at_once() {
        let (mut rest, now) = (Rest::default(), Instant::now());
        rest.looked(Duration::from_micros(50), now);
        assert!(rest.may_look(now) && rest.due().is_none());
        rest.looked(Duration::from_millis(1), now);
        assert_eq!(rest.due(), None, "nobody has died");
        assert!(!rest.may_look(now + Duration::from_millis(7)));
        let due = now + Duration::from_millis(8);
        assert_eq!(rest.due(), Some(due));
        assert!(rest.may_look(due));
        assert_eq!(rest.due(), None);
    }
}
