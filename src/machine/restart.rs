//! How one generation replaces another: overlap, stop-first, probation, roll-back.

use super::{
    Action, Mode, Outcome, Phase, Reason, Report, Role, Turn,
    limits::{GENERATIONS_LIMIT, LEFTOVER_GRACE, SETTLING},
    state::{Restart, Stage},
};

impl Turn<'_> {
    pub(super) fn on_restart_requested(&mut self, reason: Reason) {
        match self.state.phase {
            Phase::Running => {}
            Phase::Booting | Phase::Stopping { .. } | Phase::Closing | Phase::Finishing { .. } | Phase::Ended => return,
        }
        match self.state.restart.as_ref().map(|restart| restart.stage) {
            None => self.begin_restart(reason),
            // It has connections, and will not be long.
            Some(Stage::Alone { new }) if self.state.generation(new).is_some_and(|it| it.listens) => {
                self.state.queued = Some(reason);
            }
            // It will soon have proved itself.
            Some(Stage::Alone { new })
                if self.state.role(new) == Some(Role::Starting)
                    && self
                        .state
                        .restart
                        .as_ref()
                        .is_some_and(|restart| restart.proof.is_some()) =>
            {
                self.state.queued = Some(reason);
            }
            Some(Stage::Alone { .. }) => {
                self.report(Outcome::Failed {
                    why: "another restart was asked for before it was ready".into(),
                });
                self.begin_restart(reason);
            }
            Some(Stage::Clearing | Stage::Candidate { .. } | Stage::Probation { .. }) => {
                self.state.queued = Some(reason);
            }
        }
    }

    fn begin_restart(&mut self, reason: Reason) {
        self.state.retry_at = None;
        let current = self.state.current;
        self.state.restart = Some(Restart {
            reason,
            since: self.now,
            stage: Stage::Clearing,
            ready_by: None,
            proof: if current.is_some() {
                self.proof_of_a_successor()
            } else {
                self.state.proof
            },
        });
        if let Some(current) = current {
            let role = self.state.role(current);
            match self.limits.mode {
                // It goes on until the new one has taken over, or at least runs.
                Mode::Overlap if matches!(role, Some(Role::Serving | Role::Starting)) => {}
                Mode::StopFirst if role == Some(Role::Serving) => {
                    self.act(Action::Hold);
                    self.retire(current);
                }
                Mode::StopFirst => self.stop_generation(current, self.limits.retire_timeout),
                // There is no program yet that could go on.
                Mode::Overlap => {
                    self.stop_generation(current, self.limits.retire_timeout);
                    self.state.current = None;
                }
            }
        }
        self.proceed();
    }

    /// Begins the new generation if nobody is in its way.
    pub(super) fn proceed(&mut self) {
        if self.state.restart.as_ref().map(|restart| restart.stage) != Some(Stage::Clearing) {
            return;
        }
        let old = self.state.current;
        let clear = match self.limits.mode {
            Mode::StopFirst => self.state.generations.is_empty(),
            Mode::Overlap => (old.is_some() || self.state.is_clear()) && self.make_room(),
        };
        if !clear {
            return;
        }
        let new = self.begin();
        let stage = match old {
            Some(old) => Stage::Candidate { new, old },
            None => {
                self.state.current = Some(new);
                Stage::Alone { new }
            }
        };
        let ready_by = self.limits.ready_timeout.map(|wait| self.after(wait));
        if let Some(restart) = self.state.restart.as_mut() {
            restart.stage = stage;
            restart.ready_by = ready_by;
        }
    }

    /// Is there room for one more generation? If not, and nobody is about to go anyway, the oldest that drains is
    /// stopped early: it has half of the grace to empty its queue, and the rest to end.
    fn make_room(&mut self) -> bool {
        if self.state.generations.len() < GENERATIONS_LIMIT {
            return true;
        }
        if !self.state.is_clear() {
            return false;
        }
        let (soon, sooner) = (self.after(LEFTOVER_GRACE), self.after(LEFTOVER_GRACE / 2));
        let current = self.state.current;
        if let Some(oldest) = self.state.generations.iter_mut().find(|it| Some(it.number) != current) {
            let until = if oldest.role == Role::Draining { sooner } else { soon };
            oldest.kill_by = super::earlier(oldest.kill_by, Some(soon));
            oldest.until = super::earlier(oldest.until, Some(until));
        }
        false
    }

    /// `number` is ready and has the new connections: what that means for the restart it belongs to.
    pub(super) fn promote(&mut self, number: u64) {
        let Some(restart) = self.state.restart.as_mut() else {
            // The restart was over before it was ready.
            if number > 1 {
                self.settle_later(number);
            }
            return;
        };
        match restart.stage {
            Stage::Candidate { new, old } if new == number => {
                let until = super::later(self.now, self.limits.probation);
                let at_most = super::later(until, self.limits.stable_delay);
                restart.stage = Stage::Probation {
                    new,
                    old,
                    until,
                    at_most,
                };
                self.state.current = Some(new);
                if let Some(generation) = self.state.generation_mut(old) {
                    generation.role = Role::Standby;
                    generation.until = None;
                }
                self.end_probation_if_over();
            }
            Stage::Alone { new } if new == number => {
                self.settle_later(new);
                self.report(Outcome::Replaced);
                self.next_in_queue();
            }
            Stage::Clearing | Stage::Candidate { .. } | Stage::Alone { .. } | Stage::Probation { .. } => {}
        }
    }

    /// Connections that wait for a predecessor which is gone wait for this one now, wherever it comes to listen.
    fn settle_later(&mut self, number: u64) {
        let until = self.after(self.limits.stable_delay.max(SETTLING));
        if let Some(generation) = self.state.generation_mut(number) {
            generation.until = Some(until);
        }
    }

    pub(super) fn settle(&mut self, number: u64) {
        if let Some(generation) = self.state.generation_mut(number) {
            generation.until = None;
        }
        self.act(Action::Settle { generation: number });
    }

    pub(super) fn end_probation_if_over(&mut self) {
        match self.state.restart.as_ref().map(|restart| restart.stage) {
            Some(Stage::Probation {
                new,
                old,
                until,
                at_most,
            }) => {
                let over = if self.state.awaits_addresses(new) {
                    at_most
                } else {
                    until
                };
                if over <= self.now {
                    self.report(Outcome::Replaced);
                    self.retire(old);
                    self.next_in_queue();
                }
            }
            Some(Stage::Clearing | Stage::Candidate { .. } | Stage::Alone { .. }) | None => {}
        }
    }

    pub(super) fn on_addresses_awaited(&mut self, number: u64, awaited: bool) {
        if let Some(generation) = self.state.generation_mut(number) {
            generation.awaits_addresses = awaited;
            self.end_probation_if_over();
        }
    }

    /// The old generation ended while its successor was on probation: nothing is left to go back to.
    pub(super) fn commit_without_old(&mut self) {
        self.report(Outcome::Replaced);
        self.next_in_queue();
    }

    /// The serving generation ended while its successor was not ready yet: the successor has the service, and new
    /// connections wait for it.
    pub(super) fn succeed(&mut self, new: u64) {
        self.state.current = Some(new);
        if let Some(restart) = self.state.restart.as_mut() {
            restart.stage = Stage::Alone { new };
        }
        self.act(Action::Steer { generation: new });
    }

    /// The same, but connections wait for the one that ended, and a successor that has begun already cannot be given
    /// them: it makes way for one that can.
    pub(super) fn begin_again(&mut self, new: u64) {
        self.kill(new);
        if let Some(restart) = self.state.restart.as_mut() {
            restart.stage = Stage::Clearing;
        }
    }

    /// Throws the new generation away; the old one never noticed.
    pub(super) fn roll_back(&mut self, why: &str) {
        let (new, old, steered) = match self.state.restart.as_ref().map(|restart| restart.stage) {
            Some(Stage::Candidate { new, old }) => (new, old, false),
            Some(Stage::Probation { new, old, .. }) => (new, old, true),
            Some(Stage::Clearing | Stage::Alone { .. }) | None => return,
        };
        self.state.current = Some(old);
        let mut was_ready = false;
        if let Some(generation) = self.state.generation_mut(old) {
            was_ready = generation.ready;
            generation.role = if was_ready { Role::Serving } else { Role::Starting };
        }
        if steered {
            self.act(Action::Steer { generation: old });
        }
        if steered && was_ready {
            self.settle_later(old);
        }
        if self.state.role(new).is_some_and(|role| role != Role::Leaving) {
            self.kill(new);
        }
        self.report(Outcome::RolledBack { why: why.to_owned() });
        self.next_in_queue();
    }

    /// The replaced generation finishes what waits for it, then gets the stop signal.
    pub(super) fn retire(&mut self, number: u64) {
        self.drain(number, false);
    }

    pub(super) fn drain(&mut self, number: u64, last: bool) {
        let (drain, all) = if last {
            (self.limits.drain_timeout, self.limits.stop_timeout)
        } else {
            (self.limits.retire_drain_timeout, self.limits.retire_timeout)
        };
        let until = drain.map(|wait| self.after(wait));
        let kill_by = all.map(|wait| self.after(wait));
        let Some(generation) = self.state.generation_mut(number) else {
            return;
        };
        generation.role = Role::Draining;
        generation.kill_by = super::earlier(generation.kill_by, kill_by);
        generation.until = super::earlier(until, generation.kill_by);
        self.act(Action::Drain {
            generation: number,
            last,
        });
    }

    pub(super) fn on_drained(&mut self, number: u64) {
        if self.state.role(number) == Some(Role::Draining) {
            self.terminate(number);
        }
    }

    /// It is asked for anew, as what speaks for one way to restart or another may have changed meanwhile.
    pub(super) fn next_in_queue(&mut self) {
        if let Some(reason) = self.state.queued.take() {
            self.act(Action::RestartNext { reason });
        }
    }

    /// Ends the restart under way by telling how it came out.
    pub(super) fn report(&mut self, outcome: Outcome) {
        self.report_as(outcome, false);
    }

    pub(super) fn report_as(&mut self, outcome: Outcome, outlived: bool) {
        let Some(restart) = self.state.restart.take() else {
            return;
        };
        let generation = match restart.stage {
            Stage::Clearing => None,
            Stage::Candidate { new, .. } | Stage::Alone { new } | Stage::Probation { new, .. } => Some(new),
        };
        let took = self.now.saturating_duration_since(restart.since);
        self.act(Action::Report(Report {
            generation,
            reason: restart.reason,
            took,
            outcome,
            outlived,
        }));
    }
}
