//! Judges a new generation that is not ready: late, or a worker that listens on nothing, as its predecessor did, and has proved
//! itself by outliving its probation.

use std::time::{Duration, Instant};

use super::{
    Action, LATE, LATE_ALONE, Outcome, Role, Turn, earlier, later,
    state::{Restart, Stage},
};

impl Turn<'_> {
    /// Is it not ready, and so young that it may be about to be?
    pub(super) fn is_young(&self, number: u64) -> bool {
        self.state.generation(number).is_some_and(|it| {
            it.role == Role::Starting && self.now.saturating_duration_since(it.since) < self.limits.stable_delay
        })
    }

    /// How long a successor of the current generation has to run, if it listens on nothing, to have proved itself; `None`: it has to
    /// become ready. What was young and not ready may be a worker, or a server that is slow.
    pub(super) fn proof_of_a_successor(&self) -> Option<Duration> {
        let current = self.state.current.and_then(|number| self.state.generation(number))?;
        let age = self.now.saturating_duration_since(current.since);
        match (current.ready || current.listens, self.limits.survival_proves) {
            (true, _) | (_, false) => None,
            (false, true) if age >= self.limits.stable_delay => Some(self.limits.probation),
            (false, true) => Some(self.limits.stable_delay.max(self.limits.probation)),
        }
    }

    /// The newcomer, and how long it has to run to have proved itself, if it can by that: neither it listens nor its predecessor.
    pub(super) fn may_outlive(&self) -> Option<(u64, Duration)> {
        let Restart { stage, proof, .. } = self.state.restart.as_ref()?;
        let (new, wait) = match *stage {
            Stage::Candidate { new, old } => {
                let may_prove = self.limits.survival_proves && self.state.generation(old)?.listens_on_nothing();
                (new, may_prove.then_some(self.limits.probation)?)
            }
            // Whoever asks for the next restart does not wait for long.
            Stage::Alone { new } if self.state.queued.is_some() => (new, (*proof)?.min(self.limits.probation)),
            Stage::Alone { new } => (new, (*proof)?),
            Stage::Clearing | Stage::Probation { .. } => return None,
        };
        let listens_on_nothing = self.state.generation(new)?.listens_on_nothing();
        listens_on_nothing.then_some((new, wait))
    }

    /// When it has proved itself by that.
    fn outlives_at(&self) -> Option<Instant> {
        let (new, wait) = self.may_outlive()?;
        let executed = self.state.generation(new)?.executed?;
        Some(later(executed, wait))
    }

    /// After each event: when the newcomer is to be judged.
    pub(super) fn watch_newcomer(&mut self) {
        let Some(Restart {
            stage: Stage::Candidate { new, .. } | Stage::Alone { new },
            ready_by,
            ..
        }) = self.state.restart
        else {
            return;
        };
        let until = earlier(ready_by, self.outlives_at());
        if let Some(generation) = self.state.generation_mut(new) {
            match generation.role {
                Role::Preparing | Role::Starting => generation.until = until,
                Role::Serving | Role::Standby | Role::Draining | Role::Terminating | Role::Leaving | Role::Killed => {}
            }
        }
    }

    /// Its time is over.
    pub(super) fn judge_newcomer(&mut self, number: u64) {
        let has_proved = self.outlives_at().is_some_and(|at| at <= self.now);
        match self.state.restart.as_ref().map(|restart| restart.stage) {
            Some(Stage::Candidate { new, old }) if new == number => {
                if !has_proved {
                    return self.roll_back(LATE);
                }
                self.state.current = Some(new);
                self.act(Action::Steer { generation: new });
                self.forget_deadline(new);
                self.report_as(Outcome::Replaced, true);
                self.retire(old);
                self.next_in_queue();
            }
            Some(Stage::Alone { new }) if new == number => {
                self.forget_deadline(new);
                if has_proved {
                    self.report_as(Outcome::Replaced, true);
                } else {
                    self.report(Outcome::Failed { why: LATE_ALONE.into() });
                }
                self.next_in_queue();
            }
            Some(_) | None => self.forget_deadline(number),
        }
    }

    fn forget_deadline(&mut self, number: u64) {
        if let Some(generation) = self.state.generation_mut(number) {
            generation.until = None;
        }
    }
}
