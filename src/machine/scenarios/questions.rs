//! What others ask of a state and of an event, on the way through a life.

use std::time::{Duration, Instant};

use super::super::Phase;
use super::{Action, Event, HUP, Limits, Policy, Reason, State, TIME, defaults, emptied, exited, ready, started, step};

/// A life at whose moments questions are asked.
struct Life {
    limits: Limits,
    state: State,
    boot: Instant,
}

impl Life {
    fn begin(adjust: impl Fn(&mut Limits)) -> Life {
        let mut limits = defaults();
        adjust(&mut limits);
        let mut life = Life {
            limits,
            state: State::new(),
            boot: Instant::now(),
        };
        for event in [Event::Booted, started(1)] {
            life.happen(0, event);
        }
        life
    }

    fn happen(&mut self, second: u64, event: Event) {
        let (state, actions) = step(&self.limits, self.state.clone(), event, self.at(second));
        self.state = state;
        for action in actions {
            let Action::RestartNext { reason } = action else {
                continue;
            };
            self.happen(second, Event::RestartRequested { reason });
        }
    }

    fn at(&self, second: u64) -> Instant {
        self.boot + Duration::from_secs(second)
    }

    /// Is it ready, is it restarting, will it again, and which generation has been begun last?
    fn told(&self) -> (bool, bool, bool, u64) {
        let it = &self.state;
        let (restarts, again) = (it.is_restarting(), it.is_another_restart_queued());
        (it.is_ready(), restarts, again, it.last_generation())
    }
}

#[test]
fn a_restart_is_told_while_it_lasts_and_the_next_while_it_waits() {
    let mut life = Life::begin(|_| {});
    assert_eq!(life.told(), (false, false, false, 1));
    life.happen(1, ready(1));
    assert_eq!(life.told(), (true, false, false, 1));
    life.happen(2, HUP);
    assert_eq!(life.told(), (true, true, false, 2));
    life.happen(3, HUP);
    assert_eq!(life.told(), (true, true, true, 2));
    life.happen(4, ready(2));
    life.happen(5, TIME);
    assert_eq!(life.told(), (true, true, false, 3), "the one that waited has begun");
    life.happen(6, ready(3));
    life.happen(7, TIME);
    assert_eq!(life.told(), (true, false, false, 3));
}

#[test]
fn a_drain_is_told_since_when_and_is_not_ready() {
    let mut life = Life::begin(|_| {});
    life.happen(1, ready(1));
    assert_eq!(life.state.draining_since(), None);
    life.happen(2, Event::DrainRequested);
    life.happen(3, Event::DrainRequested);
    assert_eq!(life.state.draining_since(), Some(life.at(2)));
    assert!(!life.state.is_ready());
    assert_eq!(life.state.phase(), Phase::Running);
}

#[test]
fn who_has_crashed_is_told_when_to_come_back() {
    let mut life = Life::begin(|limits| limits.policy = Policy::Always);
    life.happen(1, ready(1));
    life.happen(2, exited(1, 1));
    assert_eq!(life.state.retry_at(), Some(life.at(3)));
    assert!(!life.state.is_ready());
    life.happen(2, emptied(1));
    assert_eq!(life.state.deadline(), Some(life.at(3)));
    life.happen(3, TIME);
    assert_eq!((life.state.retry_at(), life.state.last_generation()), (None, 2));
}

/// However long somebody wants to wait: as long as that, or for longer than anybody lives.
#[test]
fn a_wait_may_be_of_any_length() {
    const YEAR: u64 = 365 * 24 * 3600;
    let until = |wait: Duration| {
        let mut life = Life::begin(|limits| limits.ready_timeout = Some(wait));
        life.happen(0, ready(1));
        life.happen(0, HUP);
        life.state.deadline().map(|it| it - life.boot)
    };
    for wait in [Duration::ZERO, Duration::from_millis(1), Duration::from_secs(99 * YEAR)] {
        assert_eq!(until(wait), Some(wait));
    }
    assert!(until(Duration::MAX) >= Some(Duration::from_secs(99 * YEAR)));
}

#[test]
fn reasons_have_a_name_and_the_watch_says_more() {
    let file = Reason::Watch("app.toml changed".into());
    assert_eq!(file.cause(), Some("app.toml changed"));
    let names = [&file, &Reason::Hup, &Reason::Command, &Reason::Crash].map(Reason::name);
    assert_eq!(names, ["watch", "hup", "command", "crash"]);
    assert!(
        [Reason::Hup, Reason::Command, Reason::Crash]
            .iter()
            .all(|it| it.cause().is_none())
    );
}
