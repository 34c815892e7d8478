//! What the end of a program means: for the restart it was part of, for the crash policy, for segue's exit code.

use super::{
    Ending, Outcome, Phase, Policy, Reason, Role, Turn,
    state::{Restart, Stage},
};

impl Turn<'_> {
    pub(super) fn on_exited(&mut self, number: u64, ending: Ending, queued: bool) {
        match self.state.role(number) {
            Some(
                Role::Starting | Role::Serving | Role::Standby | Role::Draining | Role::Terminating | Role::Killed,
            ) => {}
            Some(Role::Preparing | Role::Leaving) | None => return,
        }
        let may_outlive = self.may_outlive().is_some();
        self.leave(number);
        let why = |when: &str| format!("it {ending} {when}");
        match self.state.restart.as_ref().map(|restart| restart.stage) {
            Some(Stage::Candidate { new, .. }) if new == number => {
                let when = if may_outlive {
                    "before it had outlived SEGUE_PROBATION"
                } else {
                    "before it was ready"
                };
                self.roll_back(&why(when));
            }
            Some(Stage::Candidate { new, old }) if old == number => {
                self.ended_as_asked(ending);
                if queued {
                    self.begin_again(new)
                } else {
                    self.succeed(new)
                }
            }
            Some(Stage::Probation { new, .. }) if new == number => self.roll_back(&why("on probation")),
            Some(Stage::Probation { old, .. }) if old == number => self.commit_without_old(),
            Some(Stage::Alone { new }) if new == number => {
                self.report(Outcome::Failed {
                    why: why("before it was ready"),
                });
                self.ended_by_itself(ending);
            }
            Some(Stage::Clearing) if self.state.current == Some(number) => self.ended_as_asked(ending),
            _ if self.state.current == Some(number) => self.ended_by_itself(ending),
            _ => {}
        }
    }

    pub(super) fn ended_as_asked(&mut self, ending: Ending) {
        self.state.proof = self.proof_of_a_successor();
        self.state.ending = Some(ending);
        self.state.current = None;
    }

    /// The program that had the service ended, and no restart wanted it to: an accident, unless a stop is under way.
    pub(super) fn ended_by_itself(&mut self, ending: Ending) {
        let up_since = self
            .state
            .current
            .and_then(|number| self.state.generation(number))
            .map(|it| it.since);
        self.ended_as_asked(ending);
        if self.state.phase != Phase::Running {
            return;
        }
        let stable =
            up_since.is_some_and(|since| self.now.saturating_duration_since(since) >= self.limits.stable_delay);
        if stable {
            self.state.failures = 0;
        }
        let again = match self.limits.policy {
            Policy::Never => false,
            Policy::OnFailure => !self.limits.is_success(ending),
            Policy::Always => true,
        };
        let spent = self
            .limits
            .restart_limit
            .is_some_and(|limit| self.state.failures >= limit);
        if let Some(reason) = self.state.queued.take() {
            self.on_restart_requested(reason);
        } else if again && stable && self.limits.is_success(ending) {
            // It has done its share, as a worker that ends after so many jobs.
            self.state.retry_at = Some(self.now);
            self.retry_if_due();
        } else if again && !spent {
            self.state.failures += 1;
            self.state.retry_at = Some(self.after(self.limits.back_off(self.state.failures)));
            self.retry_if_due();
        } else {
            self.close();
        }
    }

    pub(super) fn retry_if_due(&mut self) {
        let due = self.state.retry_at.is_some_and(|at| at <= self.now);
        if due && self.state.phase == Phase::Running && self.state.is_clear() {
            self.state.retry_at = None;
            let new = self.begin();
            self.state.current = Some(new);
            self.state.restart = Some(Restart {
                reason: Reason::Crash,
                since: self.now,
                stage: Stage::Alone { new },
                ready_by: self.limits.ready_timeout.map(|wait| self.after(wait)),
                proof: self.state.proof,
            });
        }
    }

    pub(super) fn on_emptied(&mut self, number: u64) {
        match self.state.role(number) {
            Some(Role::Leaving | Role::Killed) => self.remove(number),
            Some(
                Role::Preparing | Role::Starting | Role::Serving | Role::Standby | Role::Draining | Role::Terminating,
            )
            | None => {}
        }
    }

    /// SIGKILL did not do it: segue goes on without the process.
    pub(super) fn abandon(&mut self, number: u64) {
        if self.state.current == Some(number) {
            self.ended_as_asked(Ending::Signal(9));
        }
        self.remove(number);
    }

    fn remove(&mut self, number: u64) {
        self.state.generations.retain(|it| it.number != number);
        if self.state.current == Some(number) {
            self.state.current = None;
        }
        self.act(super::Action::Release { generation: number });
        self.proceed();
        self.retry_if_due();
        self.finish_if_empty();
    }

    /// The code that tells how the program ended, as the settings want it told.
    pub(super) fn exit_code(&self) -> u8 {
        match self.state.ending {
            None => 0,
            Some(Ending::Signal(signal)) if self.state.stop_asked && self.limits.success_signal == Some(signal) => 0,
            Some(ending) if self.limits.is_success(ending) => 0,
            Some(ending) => ending.code(),
        }
    }
}
