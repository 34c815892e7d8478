//! How segue stops, and how a generation is stopped: delay, stop signal, deadline, SIGKILL, the last command, the exit.

use super::{
    Action, Outcome, Phase, Role, Turn, earlier,
    limits::{KILL_GRACE, LEFTOVER_GRACE},
    state::Stage,
};

impl Turn<'_> {
    pub(super) fn on_drain_requested(&mut self) {
        let now = self.now;
        self.state.draining_since.get_or_insert(now);
    }

    pub(super) fn on_stop_requested(&mut self) {
        self.state.stop_asked = true;
        match self.state.phase {
            Phase::Booting | Phase::Running => self.begin_stop(self.limits.drain_delay),
            Phase::Closing => self.begin_stop(std::time::Duration::ZERO),
            // kubelet and dockerd repeat themselves: before the stop signal that is nothing new, after it the program
            // hears it again.
            Phase::Stopping { drain_at: Some(_), .. } => {}
            Phase::Stopping { drain_at: None, .. } => {
                if let Some(generation) = self.state.current
                    && self.state.role(generation) == Some(Role::Terminating)
                {
                    self.act(Action::Terminate { generation });
                }
            }
            Phase::Finishing { .. } | Phase::Ended => {}
        }
    }

    fn begin_stop(&mut self, delay: std::time::Duration) {
        // Load balancers have been looking away since the drain was asked for: the delay counts from there.
        let drained = self
            .state
            .draining_since
            .map(|since| self.now.saturating_duration_since(since));
        let delay = delay.saturating_sub(drained.unwrap_or_default());
        let deadline = self.limits.stop_timeout.map(|wait| self.after(wait));
        let drain_at = earlier(Some(self.after(delay)), deadline);
        self.state.phase = Phase::Stopping { drain_at, deadline };
        self.state.queued = None;
        self.state.retry_at = None;
        match self.state.restart.as_ref().map(|restart| restart.stage) {
            Some(Stage::Probation { .. }) => self.report(Outcome::Replaced),
            Some(Stage::Clearing | Stage::Candidate { .. } | Stage::Alone { .. }) => {
                self.report(Outcome::Failed {
                    why: "a stop was asked for".into(),
                });
            }
            None => {}
        }
        let drain_by = self.limits.drain_timeout.map(|wait| self.after(wait));
        for generation in &mut self.state.generations {
            generation.kill_by = earlier(generation.kill_by, deadline);
            generation.until = match generation.role {
                Role::Preparing | Role::Starting | Role::Serving | Role::Standby => None,
                // One that may take as long as it likes to finish its connections may not any more.
                Role::Draining => earlier(earlier(generation.until, drain_by), deadline),
                Role::Terminating | Role::Leaving | Role::Killed => earlier(generation.until, deadline),
            };
        }
        for (number, role) in self.roles() {
            let current = self.state.current == Some(number);
            match role {
                Role::Preparing => self.terminate(number),
                Role::Starting if !current => self.terminate(number),
                Role::Standby => self.retire(number),
                Role::Starting | Role::Serving | Role::Draining | Role::Terminating | Role::Leaving | Role::Killed => {}
            }
        }
        if delay.is_zero() {
            self.begin_draining();
        }
        self.finish_if_empty();
    }

    pub(super) fn begin_draining(&mut self) {
        if let Phase::Stopping { drain_at, .. } = &mut self.state.phase {
            *drain_at = None;
        }
        let mut drains = false;
        for (number, role) in self.roles() {
            match role {
                // The current one: any other that was starting has been stopped by now.
                Role::Starting | Role::Serving => {
                    drains = true;
                    self.drain(number, true);
                }
                Role::Standby => self.retire(number),
                Role::Preparing => self.terminate(number),
                Role::Draining | Role::Terminating | Role::Leaving | Role::Killed => {}
            }
        }
        if !drains {
            self.act(Action::CloseListeners);
        }
    }

    fn roles(&self) -> Vec<(u64, Role)> {
        self.state.generations.iter().map(|it| (it.number, it.role)).collect()
    }

    /// Stops one generation, which has so long, while segue goes on.
    pub(super) fn stop_generation(&mut self, number: u64, at_most: Option<std::time::Duration>) {
        let kill_by = at_most.map(|wait| self.after(wait));
        if let Some(generation) = self.state.generation_mut(number) {
            generation.kill_by = earlier(generation.kill_by, kill_by);
            match generation.role {
                Role::Preparing | Role::Starting | Role::Serving | Role::Standby | Role::Draining => {
                    self.terminate(number);
                }
                Role::Terminating | Role::Leaving | Role::Killed => {}
            }
        }
    }

    pub(super) fn terminate(&mut self, number: u64) {
        let ends = matches!(self.state.phase, Phase::Stopping { drain_at: None, .. });
        if ends && self.state.current == Some(number) {
            self.act(Action::CloseListeners);
        }
        if let Some(generation) = self.state.generation_mut(number) {
            generation.role = Role::Terminating;
            generation.until = generation.kill_by;
            self.act(Action::Terminate { generation: number });
        }
    }

    pub(super) fn kill(&mut self, number: u64) {
        let until = Some(self.after(KILL_GRACE));
        if let Some(generation) = self.state.generation_mut(number) {
            generation.role = Role::Killed;
            generation.until = until;
            self.act(Action::Kill { generation: number });
        }
    }

    /// The main process is gone: what it left behind is asked to go too.
    pub(super) fn leave(&mut self, number: u64) {
        let until = Some(self.after(LEFTOVER_GRACE));
        let Some(generation) = self.state.generation_mut(number) else {
            return;
        };
        if generation.role == Role::Killed {
            // What was forked between the SIGKILL and the end has not had its own.
            self.act(Action::Kill { generation: number });
        } else {
            generation.role = Role::Leaving;
            generation.until = earlier(until, generation.kill_by);
        }
        self.act(Action::EndLeftovers { generation: number });
    }

    /// Nothing comes after the generations that are left.
    pub(super) fn close(&mut self) {
        self.state.phase = Phase::Closing;
        self.state.queued = None;
        self.state.retry_at = None;
        for (number, role) in self.roles() {
            match role {
                Role::Preparing | Role::Starting | Role::Serving | Role::Standby => {
                    self.stop_generation(number, self.limits.stop_timeout);
                }
                Role::Draining | Role::Terminating | Role::Leaving | Role::Killed => {}
            }
        }
    }

    pub(super) fn finish_if_empty(&mut self) {
        let deadline = match self.state.phase {
            Phase::Stopping { deadline, .. } => deadline,
            Phase::Closing => None,
            Phase::Booting | Phase::Running | Phase::Finishing { .. } | Phase::Ended => return,
        };
        if !self.state.generations.is_empty() {
            return;
        }
        if self.limits.post_stop {
            let least = self.after(LEFTOVER_GRACE);
            self.state.phase = Phase::Finishing {
                until: deadline.map_or(least, |deadline| deadline.max(least)),
            };
            self.act(Action::PostStop);
        } else {
            self.exit();
        }
    }

    pub(super) fn on_post_stop_ended(&mut self) {
        match self.state.phase {
            Phase::Finishing { .. } => self.exit(),
            Phase::Booting | Phase::Running | Phase::Stopping { .. } | Phase::Closing | Phase::Ended => {}
        }
    }

    pub(super) fn exit(&mut self) {
        self.state.phase = Phase::Ended;
        let code = self.exit_code();
        self.act(Action::Exit { code });
    }
}
