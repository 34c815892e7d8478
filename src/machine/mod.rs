//! DECIDES what segue does next. Pure: `step` takes what happened and the time, and gives back what to do.
//!
//! No clock is read here, nothing is logged, no pid or file descriptor is known, nothing but std is used. Time is an
//! argument; the next deadline is a question to [`State::deadline`].
//!
//! ```text
//!            Booted              StopRequested              all gone            PostStopEnded
//!  Booting ─────────► Running ──────────────────► Stopping ──────────► Finishing ──────────► Ended
//!                        │                                                ▲
//!                        └── the program ended, no restart ──► Closing ───┘
//!
//!  a generation:  Preparing ─► Starting ─► Serving ─► Standby ─► Draining ─► Terminating ─► Leaving ─► gone
//!                                 │           ▲          │                        │            │
//!                                 │           └──────────┘ rolled back            ▼            ▼
//!                                 └────── late, or crashed ────────────────────► Killed ─────────────► gone
//! ```
//!
//! `docs/state-machine.md` is printed from the scenario table in `scenarios/`.

mod action;
mod end;
mod event;
mod limits;
mod newcomer;
mod restart;
mod start;
mod state;
mod stop;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod scenarios;

use std::time::{Duration, Instant};

pub use action::{Action, LATE, LATE_ALONE, Outcome, Report};
pub use event::{Ending, Event, Fault, Reason};
pub use limits::{Limits, Mode, Policy};
pub use state::{Generation, Phase, Role, State};

/// One turn: what happened becomes what to do.
#[must_use]
pub fn step(limits: &Limits, state: State, event: Event, now: Instant) -> (State, Vec<Action>) {
    let mut turn = Turn {
        limits,
        now,
        state,
        actions: Vec::new(),
    };
    match event {
        Event::Booted => turn.on_booted(),
        Event::Prepared { generation, outcome } => turn.on_prepared(generation, outcome),
        Event::Started { generation } => turn.on_started(generation),
        Event::NotStarted { generation, fault } => turn.on_not_started(generation, &fault),
        Event::BeganToListen { generation } => turn.on_listening(generation),
        Event::BecameReady { generation } => turn.on_ready(generation),
        Event::AddressesAwaited { generation, awaited } => turn.on_addresses_awaited(generation, awaited),
        Event::Exited {
            generation,
            ending,
            queued,
        } => turn.on_exited(generation, ending, queued),
        Event::Emptied { generation } => turn.on_emptied(generation),
        Event::Drained { generation } => turn.on_drained(generation),
        Event::SignalReceived { signal, value } => turn.on_signal(signal, value),
        Event::RestartRequested { reason } => turn.on_restart_requested(reason),
        Event::DrainRequested => turn.on_drain_requested(),
        Event::StopRequested => turn.on_stop_requested(),
        Event::PostStopEnded => turn.on_post_stop_ended(),
        Event::TimePassed => turn.on_time_passed(),
    }
    turn.watch_newcomer();
    (turn.state, turn.actions)
}

/// What the functions of one turn share.
struct Turn<'a> {
    limits: &'a Limits,
    now: Instant,
    state: State,
    actions: Vec<Action>,
}

impl Turn<'_> {
    fn act(&mut self, action: Action) {
        self.actions.push(action);
    }

    /// The moment `wait` from now.
    fn after(&self, wait: Duration) -> Instant {
        later(self.now, wait)
    }

    fn on_signal(&mut self, signal: i32, value: Option<usize>) {
        let Some(current) = self.state.current.and_then(|number| self.state.generation(number)) else {
            return;
        };
        let generation = current.number;
        match current.role {
            role if role == Role::Preparing || role.is_running() && current.has_program => self.act(Action::Signal {
                generation,
                signal,
                value,
            }),
            Role::Preparing
            | Role::Starting
            | Role::Serving
            | Role::Standby
            | Role::Draining
            | Role::Terminating
            | Role::Leaving
            | Role::Killed => {}
        }
    }

    fn on_time_passed(&mut self) {
        let now = self.now;
        match self.state.phase {
            Phase::Stopping { drain_at: Some(at), .. } if at <= now => self.begin_draining(),
            Phase::Finishing { until } if until <= now => {
                self.act(Action::KillPostStop);
                self.exit();
            }
            Phase::Booting
            | Phase::Running
            | Phase::Stopping { .. }
            | Phase::Closing
            | Phase::Finishing { .. }
            | Phase::Ended => {}
        }
        self.end_probation_if_over();
        let late = |it: &Generation| it.until.is_some_and(|until| until <= now);
        let late: Vec<u64> = self
            .state
            .generations
            .iter()
            .filter(|it| late(it))
            .map(|it| it.number)
            .collect();
        for generation in late {
            match self.state.role(generation) {
                Some(Role::Preparing | Role::Starting) => self.judge_newcomer(generation),
                Some(Role::Draining) if self.is_past_deadline(generation) => self.kill(generation),
                Some(Role::Draining) => self.terminate(generation),
                Some(Role::Terminating | Role::Leaving) => self.kill(generation),
                Some(Role::Killed) => self.abandon(generation),
                Some(Role::Serving) => self.settle(generation),
                Some(Role::Standby) | None => {}
            }
        }
        self.retry_if_due();
    }

    fn is_past_deadline(&self, generation: u64) -> bool {
        let kill_by = self.state.generation(generation).and_then(|it| it.kill_by);
        kill_by.is_some_and(|kill_by| kill_by <= self.now)
    }
}

/// `instant + wait`; a sum beyond what the clock can tell is the clock's end as far as anybody will see.
fn later(instant: Instant, wait: Duration) -> Instant {
    const AGE: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
    instant.checked_add(wait.min(AGE)).unwrap_or(instant)
}

/// The earlier of two moments, where `None` is never.
fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (some, None) | (None, some) => some,
    }
}
