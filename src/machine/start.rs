//! How a generation comes to be: prepared, started, ready, or not.

use super::{Action, Ending, Fault, Generation, Outcome, Phase, Role, Turn, state::Stage};

impl Turn<'_> {
    pub(super) fn on_booted(&mut self) {
        if self.state.phase == Phase::Booting {
            self.state.phase = Phase::Running;
            self.state.current = Some(self.begin());
        }
    }

    /// A new generation; its number.
    pub(super) fn begin(&mut self) -> u64 {
        let number = self.state.last_number + 1;
        self.state.last_number = number;
        let role = if self.limits.pre_start {
            Role::Preparing
        } else {
            Role::Starting
        };
        self.state.generations.push(Generation {
            number,
            role,
            since: self.now,
            has_program: !self.limits.pre_start,
            executed: None,
            listens: false,
            ready: false,
            awaits_addresses: false,
            until: None,
            kill_by: None,
        });
        if self.limits.pre_start {
            self.act(Action::Prepare { generation: number });
        } else {
            self.start(number);
        }
        number
    }

    fn start(&mut self, generation: u64) {
        self.act(Action::Start { generation });
    }

    pub(super) fn on_prepared(&mut self, number: u64, outcome: Result<(), Fault>) {
        let stopped = match self.state.role(number) {
            Some(Role::Preparing) => false,
            Some(Role::Terminating | Role::Killed) => true,
            Some(Role::Starting | Role::Serving | Role::Standby | Role::Draining | Role::Leaving) | None => return,
        };
        match outcome {
            Ok(()) if stopped => self.leave(number),
            Ok(()) => {
                if let Some(generation) = self.state.generation_mut(number) {
                    generation.role = Role::Starting;
                    generation.has_program = true;
                }
                self.start(number);
            }
            Err(fault) => self.fail(number, &fault),
        }
    }

    pub(super) fn on_started(&mut self, number: u64) {
        self.state.ever_started = true;
        let now = self.now;
        if let Some(generation) = self.state.generation_mut(number) {
            generation.executed.get_or_insert(now);
        }
        if let Some(Stage::Candidate { new, old }) = self.state.restart.as_ref().map(|restart| restart.stage)
            && new == number
            && self.is_young(old)
        {
            self.stop_generation(old, self.limits.retire_timeout);
            self.succeed(new);
        }
    }

    pub(super) fn on_not_started(&mut self, number: u64, fault: &Fault) {
        match self.state.role(number) {
            Some(Role::Starting | Role::Draining | Role::Terminating | Role::Killed) => self.fail(number, fault),
            Some(Role::Preparing | Role::Serving | Role::Standby | Role::Leaving) | None => {}
        }
    }

    /// The generation has no program and gets none.
    fn fail(&mut self, number: u64, fault: &Fault) {
        let stopped = matches!(
            self.state.role(number),
            Some(Role::Draining | Role::Terminating | Role::Killed)
        );
        self.leave(number);
        let ending = Ending::Code(fault.code);
        match self.state.restart.as_ref().map(|restart| restart.stage) {
            Some(Stage::Candidate { new, .. }) if new == number => self.roll_back(&fault.reason),
            Some(Stage::Candidate { new, old }) if old == number => {
                self.ended_as_asked(ending);
                self.succeed(new);
            }
            Some(Stage::Alone { new }) if new == number => {
                self.report(Outcome::Failed {
                    why: fault.reason.clone(),
                });
                self.ended_by_itself(ending);
            }
            _ if self.state.current != Some(number) => {}
            _ if stopped => self.ended_as_asked(ending),
            _ if self.state.ever_started => self.ended_by_itself(ending),
            // Before the first start there is nothing that trying again would mend.
            _ => {
                self.ended_as_asked(ending);
                self.close();
            }
        }
    }

    pub(super) fn on_listening(&mut self, number: u64) {
        if let Some(generation) = self.state.generation_mut(number) {
            generation.listens = true;
        }
    }

    pub(super) fn on_ready(&mut self, number: u64) {
        let Some(generation) = self.state.generation_mut(number) else {
            return;
        };
        match generation.role {
            Role::Starting => {}
            // Whoever goes back to it has a generation that serves.
            Role::Standby => return generation.ready = true,
            Role::Preparing | Role::Serving | Role::Draining | Role::Terminating | Role::Leaving | Role::Killed => {
                return;
            }
        }
        generation.ready = true;
        generation.role = Role::Serving;
        generation.until = None;
        self.act(Action::Steer { generation: number });
        self.promote(number);
    }
}
