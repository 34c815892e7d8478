//! CONFIRMS a restart before it is called a success: every address that the old generation served is served by the new one, now,
//! and the old one is gone, or is busy only with connections that it had.

use std::time::{Duration, Instant};

use super::{Supervisor, choosing::Chosen, served::Missing};
use crate::{
    machine::{Outcome, Phase, Reason, Report},
    settings::value::Ready,
};

/// So long the outcome of a restart waits for the end of the old generation. One that takes longer has connections to finish, and is
/// looked after once more when it is gone.
const FOR_THE_OLD_ONE: Duration = Duration::from_secs(3);
/// Connections that are busy after so long are no requests that are about to end.
const AT_WORK: Duration = Duration::from_millis(100);
/// Between two looks at addresses that are not served yet.
const INTERVAL: Duration = Duration::from_millis(200);

/// A restart whose new generation serves, as far as the machine knows.
#[derive(Debug)]
pub(super) struct Unconfirmed {
    report: Report,
    chosen: Chosen,
    since: Instant,
    next_look: Instant,
}

/// What is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    /// Is no generation left that was there before?
    is_old_one_gone: bool,
    /// Has the old one connections to finish?
    is_old_one_busy: bool,
    /// Since the new one has the service.
    waited: Duration,
    /// How long addresses may take to be served.
    patience: Duration,
    /// Is segue about to end, so that nothing can be waited for?
    ends: bool,
    /// Does the user say what shows readiness? Then it is no fault that a generation does not listen where its predecessor did.
    by_the_user: bool,
    /// What is not served.
    missing: Missing,
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Wait,
    /// Without these addresses.
    Replaced(Vec<String>),
    Failed(String),
}

fn decide(seen: &Seen) -> Verdict {
    let Missing { lost, never } = &seen.missing;
    let out_of_time = seen.waited >= seen.patience || seen.ends;
    let may_come = !lost.is_empty() || !(never.is_empty() || seen.by_the_user);
    if may_come && !out_of_time {
        return Verdict::Wait;
    }
    if !lost.is_empty() {
        let lost = lost.join(", ");
        return Verdict::Failed(format!("the new generation does not listen on {lost} any more"));
    }
    if !never.is_empty() && !seen.by_the_user {
        let never = never.join(", ");
        return Verdict::Failed(format!(
            "the new generation does not listen on {never}, as its predecessor did"
        ));
    }
    let finishes = seen.is_old_one_busy && seen.waited >= AT_WORK;
    if seen.is_old_one_gone || seen.ends || finishes || seen.waited >= FOR_THE_OLD_ONE {
        Verdict::Replaced(never.clone())
    } else {
        Verdict::Wait
    }
}

impl Supervisor {
    /// The outcome of a restart: a success is reported once it is verified.
    pub(super) fn on_report(&mut self, report: &Report) {
        let begun_by_itself = report.reason == Reason::Crash;
        let chosen = if begun_by_itself {
            Chosen::default()
        } else {
            self.chosen.clone()
        };
        if report.outcome != Outcome::Replaced {
            return self.tell_report(report, &chosen);
        }
        let now = Instant::now();
        self.unconfirmed.push_back(Unconfirmed {
            report: report.clone(),
            chosen,
            since: now,
            next_look: now,
        });
    }

    /// Reports the restarts that are verified by now, in their order.
    pub(super) fn confirm(&mut self) {
        while let Some(verdict) = self.look_at_first() {
            let Some(Unconfirmed { mut report, chosen, .. }) = self.unconfirmed.pop_front() else {
                return;
            };
            match verdict {
                Verdict::Failed(why) => {
                    report.outcome = Outcome::Failed { why };
                    self.next_look_at_served = Some(Instant::now());
                }
                Verdict::Replaced(never) if !never.is_empty() => tracing::warn!(
                    generation = report.generation,
                    addresses = never.join(", "),
                    "the new generation is ready, and does not listen everywhere its predecessor did"
                ),
                Verdict::Replaced(_) | Verdict::Wait => {}
            }
            self.tell_report(&report, &chosen);
        }
        self.see_whether_all_is_served();
    }

    fn look_at_first(&mut self) -> Option<Verdict> {
        let now = Instant::now();
        let first = self.unconfirmed.front()?;
        let (since, next_look, new) = (first.since, first.next_look, first.report.generation);
        let ends = self.state.phase() != Phase::Running;
        let is_old_one_gone = self.generations.keys().all(|number| Some(*number) >= new);
        let waited = now.saturating_duration_since(since);
        if next_look > now && !is_old_one_gone && !ends {
            return None;
        }
        let is_old_one_busy = waited >= AT_WORK && !is_old_one_gone && self.is_busy_before(new);
        // After another restart, that one's generation is verified instead.
        let serving = self.state.current().or(new)?;
        let verdict = decide(&Seen {
            is_old_one_gone,
            is_old_one_busy,
            waited,
            patience: self.settings.stable_delay,
            ends,
            by_the_user: !matches!(self.settings.ready, Ready::Auto | Ready::Listening),
            missing: self.not_served_by(serving),
        });
        if let (Verdict::Wait, Some(first)) = (&verdict, self.unconfirmed.front_mut()) {
            let pause = if waited < AT_WORK { AT_WORK } else { INTERVAL };
            first.next_look = now + pause;
            return None;
        }
        Some(verdict)
    }

    /// Has a generation before this one connections that it finishes?
    fn is_busy_before(&mut self, new: Option<u64>) -> bool {
        let before: Vec<u64> = self
            .generations
            .keys()
            .copied()
            .filter(|number| Some(*number) < new)
            .collect();
        before
            .into_iter()
            .any(|number| self.busy(number).is_some_and(|busy| busy > 0))
    }

    /// When a restart is to be looked at again.
    pub(super) fn next_confirmation(&self) -> Option<Instant> {
        let first = self.unconfirmed.front().map(|first| first.next_look);
        let unserved = (!self.unserved.is_empty())
            .then_some(self.next_look_at_served)
            .flatten();
        [first, unserved].into_iter().flatten().min()
    }

    /// A replaced generation gets the stop signal some time after the restart was reported: what is served now has to be served then.
    pub(super) fn note_what_its_end_may_take(&mut self, generation: u64) {
        let serving = self
            .state
            .current()
            .filter(|it| *it != generation && self.state.serves(*it));
        if let (Some(serving), true) = (serving, self.unconfirmed.is_empty()) {
            self.expect_what_is_served(serving);
        }
    }

    /// It is gone.
    pub(super) fn look_after_its_end(&mut self, generation: u64) {
        let was_replaced = self.state.current().is_some_and(|current| current > generation);
        if was_replaced && self.state.phase() == Phase::Running && self.unconfirmed.is_empty() {
            self.next_look_at_served = Some(Instant::now());
        }
    }

    fn see_whether_all_is_served(&mut self) {
        let now = Instant::now();
        if self.next_look_at_served.is_none_or(|at| at > now) || !self.unconfirmed.is_empty() {
            return;
        }
        self.next_look_at_served = None;
        let serving = self.state.current().filter(|current| self.state.serves(*current));
        let Some(serving) = serving.filter(|_| self.state.phase() == Phase::Running) else {
            return self.unserved.clear();
        };
        let missing = self.not_served_by(serving).lost;
        if !missing.is_empty() {
            self.next_look_at_served = Some(now + self.settings.stable_delay.max(INTERVAL));
        }
        if missing == self.unserved {
            return;
        }
        if missing.is_empty() {
            tracing::info!(generation = serving, "every address is served again");
        } else {
            tracing::error!(
                generation = serving,
                missing = missing.join(", "),
                remedy = "segue restart",
                "addresses are not served any more since the old generation has ended"
            );
        }
        self.unserved = missing;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(gone: bool, waited: u64, lost: &[&str], never: &[&str]) -> Seen {
        let names = |names: &[&str]| names.iter().map(|it| (*it).to_owned()).collect();
        Seen {
            is_old_one_gone: gone,
            is_old_one_busy: false,
            waited: Duration::from_millis(waited),
            patience: Duration::from_secs(10),
            ends: false,
            by_the_user: false,
            missing: Missing {
                lost: names(lost),
                never: names(never),
            },
        }
    }

    #[test]
    fn a_success_is_told_when_it_was_looked_at() {
        let replaced = || Verdict::Replaced(Vec::new());
        assert_eq!(decide(&seen(true, 0, &[], &[])), replaced());
        assert_eq!(decide(&seen(false, 0, &[], &[])), Verdict::Wait);
        assert_eq!(decide(&seen(false, 2_900, &[], &[])), Verdict::Wait);
        assert_eq!(
            decide(&seen(false, 3_000, &[], &[])),
            replaced(),
            "it takes long to end"
        );
        let busy = |waited| Seen {
            is_old_one_busy: true,
            ..seen(false, waited, &[], &[])
        };
        assert_eq!(decide(&busy(0)), Verdict::Wait);
        assert_eq!(decide(&busy(100)), replaced(), "it has connections to finish");
        let ends = Seen {
            ends: true,
            ..seen(false, 0, &[], &[])
        };
        assert_eq!(decide(&ends), replaced(), "nothing comes after");
    }

    #[test]
    fn what_is_not_served_has_its_time_and_is_named_then() {
        for (gone, waited) in [(true, 0), (false, 5_000), (true, 9_900)] {
            assert_eq!(decide(&seen(gone, waited, &["a"], &[])), Verdict::Wait);
            assert_eq!(decide(&seen(gone, waited, &[], &["a"])), Verdict::Wait);
        }
        let failed = |why: &str| Verdict::Failed(format!("the new generation does not listen on {why}"));
        assert_eq!(
            decide(&seen(true, 10_000, &["a", "b"], &["c"])),
            failed("a, b any more")
        );
        let never = seen(true, 10_000, &[], &["a", "b"]);
        assert_eq!(decide(&never), failed("a, b, as its predecessor did"));
        let by_the_user = Seen {
            by_the_user: true,
            ..seen(true, 0, &[], &["a", "b"])
        };
        assert_eq!(decide(&by_the_user), Verdict::Replaced(vec!["a".into(), "b".into()]));
    }
}
