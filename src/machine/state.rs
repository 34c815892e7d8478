//! What the machine remembers: the phase of segue × the role of each generation, and what is asked of it next.

use std::time::{Duration, Instant};

use super::event::{Ending, Reason};

/// All of it. Made by [`State::new`], changed by [`step`](super::step) only.
#[derive(Debug, Clone)]
pub struct State {
    pub(super) phase: Phase,
    /// The living, oldest first.
    pub(super) generations: Vec<Generation>,
    /// The generation that has the service, or had it last and is being stopped: it gets the signals, and its exit
    /// code is segue's.
    pub(super) current: Option<u64>,
    pub(super) restart: Option<Restart>,
    /// A restart was asked for while one was under way: one more after this.
    pub(super) queued: Option<Reason>,
    /// The program ended by itself: when it starts again.
    pub(super) retry_at: Option<Instant>,
    /// How often in a row it ended by itself.
    pub(super) failures: u32,
    /// The highest number given to a generation.
    pub(super) last_number: u64,
    /// How long a successor of the generation that had the service last has to run, if it listens on nothing, to have proved
    /// itself; `None`: it has to become ready.
    pub(super) proof: Option<Duration>,
    /// How the last current generation ended.
    pub(super) ending: Option<Ending>,
    /// Has any program been executed yet?
    pub(super) ever_started: bool,
    pub(super) stop_asked: bool,
    /// Since when segue is not ready because a drain was asked for.
    pub(super) draining_since: Option<Instant>,
}

/// The phase of segue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Nothing was started yet.
    Booting,
    /// Generations come and go.
    Running,
    /// A stop was asked for.
    Stopping {
        /// When new connections are refused and the old ones finish; `None` once that has begun.
        drain_at: Option<Instant>,
        /// When everything is killed.
        deadline: Option<Instant>,
    },
    /// The program ended by itself and does not come back; what is left is being ended.
    Closing,
    /// Every generation is gone; the last command runs.
    Finishing {
        /// When it is killed.
        until: Instant,
    },
    /// The exit code was told.
    Ended,
}

/// One run of the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generation {
    /// Counted from 1, never reused.
    pub number: u64,
    /// What it is doing.
    pub role: Role,
    /// When it was begun.
    pub since: Instant,
    /// Was its program asked for? Until then its only process is the pre-start command.
    pub(super) has_program: bool,
    /// When its program was executed.
    pub(super) executed: Option<Instant>,
    /// Does it listen somewhere?
    pub(super) listens: bool,
    /// Was it ever ready?
    pub(super) ready: bool,
    /// Does its predecessor serve an address on which it does not listen yet?
    pub(super) awaits_addresses: bool,
    /// When the present role has lasted too long; of one that serves, when it has had time to listen.
    pub(super) until: Option<Instant>,
    /// When it is killed, whatever its role.
    pub(super) kill_by: Option<Instant>,
}

/// What a generation is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Its `SEGUE_PRE_START` runs.
    Preparing,
    /// Its program was asked for and is not ready.
    Starting,
    /// It gets the new connections.
    Serving,
    /// Replaced, but kept until its successor has proved itself.
    Standby,
    /// Replaced for good, or about to be stopped; the connections that it has are finished.
    Draining,
    /// It has the stop signal.
    Terminating,
    /// Its main process is gone; what that left behind is being ended.
    Leaving,
    /// It has SIGKILL.
    Killed,
}

/// A restart under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Restart {
    pub(super) reason: Reason,
    pub(super) since: Instant,
    pub(super) stage: Stage,
    /// When a newcomer that is not ready is given up; `None` = never.
    pub(super) ready_by: Option<Instant>,
    /// As [`State::proof`], of the generation to be replaced.
    pub(super) proof: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Somebody has to be gone before the new generation can begin.
    Clearing,
    /// `new` is not ready, `old` serves, or at least runs.
    Candidate { new: u64, old: u64 },
    /// `new` is not ready, and there is nobody to go back to.
    Alone { new: u64 },
    /// `new` serves, `old` stands by: until then, and until no address of the old one is awaited, but never after `at_most`.
    Probation {
        new: u64,
        old: u64,
        until: Instant,
        at_most: Instant,
    },
}

impl State {
    /// Before anything has happened.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "a state is begun on purpose, once")]
    pub fn new() -> State {
        State {
            phase: Phase::Booting,
            generations: Vec::new(),
            current: None,
            restart: None,
            queued: None,
            retry_at: None,
            failures: 0,
            last_number: 0,
            proof: None,
            ending: None,
            ever_started: false,
            stop_asked: false,
            draining_since: None,
        }
    }

    /// The phase of segue.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// The living generations, oldest first.
    #[must_use]
    pub fn generations(&self) -> &[Generation] {
        &self.generations
    }

    /// The generation that has the service, or had it last and is being stopped.
    #[must_use]
    pub fn current(&self) -> Option<u64> {
        self.current
    }

    /// The highest number that a generation has had.
    #[must_use]
    pub fn last_generation(&self) -> u64 {
        self.last_number
    }

    /// Is a restart under way?
    #[must_use]
    pub fn is_restarting(&self) -> bool {
        self.restart.is_some()
    }

    /// May this generation still be thrown away, because the one before it is there to go back to?
    #[must_use]
    pub fn is_on_trial(&self, number: u64) -> bool {
        match self.restart.as_ref().map(|restart| restart.stage) {
            Some(Stage::Candidate { new, .. } | Stage::Probation { new, .. }) => new == number,
            Some(Stage::Clearing | Stage::Alone { .. }) | None => false,
        }
    }

    /// Does the predecessor of this generation serve an address on which it does not listen yet?
    #[must_use]
    pub fn awaits_addresses(&self, number: u64) -> bool {
        self.generation(number).is_some_and(|it| it.awaits_addresses)
    }

    /// The generation that would serve again if this one, which is on trial, were thrown away.
    #[must_use]
    pub fn predecessor(&self, number: u64) -> Option<u64> {
        match self.restart.as_ref().map(|restart| restart.stage) {
            Some(Stage::Candidate { new, old } | Stage::Probation { new, old, .. }) if new == number => Some(old),
            Some(_) | None => None,
        }
    }

    /// Was a restart asked for that is to follow the one under way?
    #[must_use]
    pub fn is_another_restart_queued(&self) -> bool {
        self.queued.is_some()
    }

    /// The program ended by itself: when it starts again.
    #[must_use]
    pub fn retry_at(&self) -> Option<Instant> {
        self.retry_at
    }

    /// Since when segue is not ready because a drain was asked for.
    #[must_use]
    pub fn draining_since(&self) -> Option<Instant> {
        self.draining_since
    }

    /// Does a ready generation serve, with no drain and no stop under way?
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.phase == Phase::Running
            && self.draining_since.is_none()
            && self
                .current
                .and_then(|number| self.generation(number))
                .is_some_and(|it| it.role == Role::Serving)
    }

    /// Is the generation ready, and has it the new connections?
    #[must_use]
    pub fn serves(&self, number: u64) -> bool {
        self.role(number) == Some(Role::Serving)
    }

    /// When the machine wants to be woken by [`Event::TimePassed`](super::Event::TimePassed), if nothing happens first.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let phase = match self.phase {
            Phase::Stopping { drain_at, .. } => drain_at,
            Phase::Finishing { until } => Some(until),
            Phase::Booting | Phase::Running | Phase::Closing => None,
            Phase::Ended => return None,
        };
        let probation = match self.restart.as_ref().map(|restart| restart.stage) {
            Some(Stage::Probation {
                new, until, at_most, ..
            }) => Some(if self.awaits_addresses(new) { at_most } else { until }),
            Some(Stage::Clearing | Stage::Candidate { .. } | Stage::Alone { .. }) | None => None,
        };
        // While something of the ended generation is left, its own deadline is what the retry waits for.
        let retry = if self.is_clear() { self.retry_at } else { None };
        let generations = self.generations.iter().filter_map(|generation| generation.until);
        generations.chain(phase).chain(probation).chain(retry).min()
    }

    pub(super) fn generation(&self, number: u64) -> Option<&Generation> {
        self.generations.iter().find(|generation| generation.number == number)
    }

    pub(super) fn generation_mut(&mut self, number: u64) -> Option<&mut Generation> {
        self.generations
            .iter_mut()
            .find(|generation| generation.number == number)
    }

    pub(super) fn role(&self, number: u64) -> Option<Role> {
        self.generation(number).map(|generation| generation.role)
    }

    /// Is nothing left of generations whose program has ended?
    pub(super) fn is_clear(&self) -> bool {
        !self
            .generations
            .iter()
            .any(|it| matches!(it.role, Role::Leaving | Role::Killed))
    }
}

impl Generation {
    /// Was it never ready, and does it not listen either?
    #[must_use]
    pub fn listens_on_nothing(&self) -> bool {
        self.role == Role::Starting && !self.ready && !self.listens
    }

    /// When its present role has lasted too long.
    #[must_use]
    pub fn until(&self) -> Option<Instant> {
        self.until
    }
}

impl Role {
    /// Can the generation's main process get a signal?
    pub(super) fn is_running(self) -> bool {
        match self {
            Role::Starting | Role::Serving | Role::Standby | Role::Draining | Role::Terminating => true,
            Role::Preparing | Role::Leaving | Role::Killed => false,
        }
    }
}
