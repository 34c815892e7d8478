//! What holds for every sequence of events, tried on random ones against a toy world that obeys each action.

mod chances;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use proptest::{
    collection::vec,
    prelude::{ProptestConfig, any, prop_assert, prop_assert_eq, proptest},
    test_runner::TestCaseError,
};

use self::chances::{Chance, chance, limits};
use super::{Action, Ending, Event, Fault, Limits, Mode, Outcome, Phase, Reason, Role, State, step};

/// A process of the toy world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Process {
    Hook,
    /// Forked, and not executed yet.
    Fork,
    Program,
    Gone,
}

#[derive(Debug)]
struct World {
    limits: Limits,
    state: State,
    now: Instant,
    living: BTreeMap<u64, Process>,
    highest: u64,
    steered: Option<u64>,
    stop_asked: bool,
    drain_asked: bool,
    /// Another restart has its turn.
    asked_again: Option<Reason>,
    terminated: Vec<u64>,
    exit: Option<u8>,
    post_stop: bool,
}

impl World {
    fn new(limits: Limits) -> Result<World, TestCaseError> {
        let mut world = World {
            limits,
            state: State::new(),
            now: Instant::now(),
            living: BTreeMap::new(),
            highest: 0,
            steered: None,
            stop_asked: false,
            drain_asked: false,
            asked_again: None,
            terminated: Vec::new(),
            exit: None,
            post_stop: false,
        };
        world.happen(Event::Booted)?;
        Ok(world)
    }

    fn pick(&self, process: Process, who: usize) -> Option<u64> {
        let such = self.living.iter().filter(|it| *it.1 == process);
        let candidates: Vec<u64> = such.map(|it| *it.0).collect();
        candidates.get(who % candidates.len().max(1)).copied()
    }

    fn chance(&mut self, chance: Chance) -> Result<(), TestCaseError> {
        let fault = || Fault {
            code: 71,
            reason: "no".into(),
        };
        let event = match chance {
            Chance::HookEnds(who, well) => self.pick(Process::Hook, who).map(|generation| {
                self.living.insert(generation, Process::Gone);
                Event::Prepared {
                    generation,
                    outcome: if well { Ok(()) } else { Err(fault()) },
                }
            }),
            Chance::Starts(who) => self.pick(Process::Fork, who).map(|generation| {
                self.living.insert(generation, Process::Program);
                Event::Started { generation }
            }),
            Chance::CannotStart(who) => self.pick(Process::Fork, who).map(|generation| {
                self.living.insert(generation, Process::Gone);
                Event::NotStarted {
                    generation,
                    fault: fault(),
                }
            }),
            Chance::Listens(who) => self
                .pick(Process::Program, who)
                .map(|generation| Event::BeganToListen { generation }),
            Chance::Ready(who) => self
                .pick(Process::Program, who)
                .map(|generation| Event::BecameReady { generation }),
            Chance::Awaits(who, awaited) => self
                .pick(Process::Program, who)
                .map(|generation| Event::AddressesAwaited { generation, awaited }),
            Chance::Ends(who, code, queued) => self.pick(Process::Program, who).map(|generation| {
                self.living.insert(generation, Process::Gone);
                Event::Exited {
                    generation,
                    ending: Ending::Code(code),
                    queued,
                }
            }),
            Chance::Empties(who) => {
                let generation = self.pick(Process::Gone, who);
                generation.map(|generation| Event::Emptied { generation })
            }
            Chance::Drains(who) => self
                .pick(Process::Program, who)
                .map(|generation| Event::Drained { generation }),
            Chance::Hup => Some(Event::RestartRequested { reason: Reason::Hup }),
            Chance::Drain => Some(Event::DrainRequested),
            Chance::Stop => Some(Event::StopRequested),
            Chance::Signal(signal) => Some(Event::SignalReceived { signal, value: None }),
            Chance::PostStopEnds => self.post_stop.then_some(Event::PostStopEnded),
            Chance::Wait(milliseconds) => return self.wait(Duration::from_millis(milliseconds)),
            Chance::Nonsense(generation) if !self.living.contains_key(&generation) => {
                self.happen(Event::BecameReady { generation })?;
                self.happen(Event::AddressesAwaited {
                    generation,
                    awaited: true,
                })?;
                self.happen(Event::Drained { generation })?;
                self.happen(Event::Prepared {
                    generation,
                    outcome: Ok(()),
                })?;
                Some(Event::Exited {
                    generation,
                    ending: Ending::Signal(9),
                    queued: false,
                })
            }
            Chance::Nonsense(_) => None,
        };
        event.map_or(Ok(()), |event| self.happen(event))
    }

    /// Lets time pass, waking the machine whenever it wants to be woken.
    fn wait(&mut self, wait: Duration) -> Result<(), TestCaseError> {
        let end = self.now + wait;
        for _ in 0..1_000 {
            match self.state.deadline() {
                Some(deadline) if deadline <= end && self.exit.is_none() => {
                    self.now = deadline.max(self.now);
                    self.happen(Event::TimePassed)?;
                }
                Some(_) | None => {
                    self.now = end;
                    return Ok(());
                }
            }
        }
        Err(TestCaseError::fail("the machine asks for the time again and again"))
    }

    fn happen(&mut self, event: Event) -> Result<(), TestCaseError> {
        if self.exit.is_some() {
            return Ok(());
        }
        let current = self.state.current();
        let ran = current.filter(|it| self.living.get(it) == Some(&Process::Program));
        let served = current.filter(|it| self.role(*it) == Some(Role::Serving));
        self.stop_asked |= event == Event::StopRequested;
        self.drain_asked |= event == Event::DrainRequested;
        let only_asked = event == Event::DrainRequested;
        let time_passed = event == Event::TimePassed;
        let unstoppable = self.stop_asked || self.limits.mode == Mode::StopFirst;
        let gone = matches!(&event, Event::Exited { generation, .. } if Some(*generation) == served);
        let ended = matches!(
            &event,
            Event::Exited { .. } | Event::NotStarted { .. } | Event::Prepared { .. }
        );
        let (state, actions) = step(&self.limits, self.state.clone(), event, self.now);
        self.state = state;
        prop_assert!(
            !only_asked || actions.is_empty(),
            "a drain does something to the program: {actions:?}"
        );
        for action in &actions {
            prop_assert!(self.exit.is_none(), "an exit is the last action: {actions:?}");
            self.obey(action)?;
        }
        let asked_again = self.asked_again.take();
        // Whoever serves in overlap mode is stopped only once a ready successor has the connections.
        if let (Some(served), false, false) = (served, unstoppable, gone) {
            prop_assert!(
                !actions
                    .iter()
                    .any(|it| *it == Action::Terminate { generation: served }
                        || *it == Action::Kill { generation: served }),
                "stopped the serving generation {served}: {actions:?}"
            );
        }
        // Whoever runs, ready or not, is not asked to end before its successor was executed.
        if let (Some(ran), false, false) = (ran, unstoppable, ended) {
            let is_succeeded = self.living.iter().any(|it| *it.0 > ran && *it.1 == Process::Program);
            prop_assert!(
                is_succeeded || !actions.iter().any(|it| World::ends(it, ran)),
                "stopped {ran} before another was executed: {actions:?}"
            );
        }
        if time_passed && let Some(deadline) = self.state.deadline() {
            prop_assert!(
                deadline > self.now,
                "a deadline that does not move: {:?} at {:?}",
                self.state,
                self.now
            );
        }
        self.check()?;
        asked_again.map_or(Ok(()), |reason| self.happen(Event::RestartRequested { reason }))
    }

    /// Is somebody asked to end by it?
    fn ends(action: &Action, number: u64) -> bool {
        let ends = [
            Action::Terminate { generation: number },
            Action::Kill { generation: number },
            Action::Drain {
                generation: number,
                last: false,
            },
        ];
        ends.contains(action)
    }

    fn role(&self, number: u64) -> Option<Role> {
        self.state
            .generations()
            .iter()
            .find(|it| it.number == number)
            .map(|it| it.role)
    }

    fn obey(&mut self, action: &Action) -> Result<(), TestCaseError> {
        match action {
            Action::Prepare { generation } | Action::Start { generation } => {
                prop_assert!(!self.stop_asked, "a start after the stop request");
                let hook = matches!(action, Action::Prepare { .. });
                if hook || !self.limits.pre_start {
                    prop_assert!(*generation > self.highest, "numbers only grow");
                    self.highest = *generation;
                }
                self.living
                    .insert(*generation, if hook { Process::Hook } else { Process::Fork });
            }
            Action::Steer { generation } => {
                // A restart that waited in the queue may stop it within the same turn (stop-first); an heir gets them
                // before it is ready.
                let role = self.role(*generation);
                let heir =
                    self.state.current() == Some(*generation) && matches!(role, Some(Role::Starting | Role::Preparing));
                prop_assert!(
                    heir || matches!(role, Some(Role::Serving | Role::Draining | Role::Terminating)),
                    "steered to {role:?}"
                );
                self.steered = Some(*generation);
            }
            Action::Settle { generation } => {
                prop_assert!(self.state.serves(*generation), "settles who does not serve");
            }
            Action::Terminate { generation } => {
                prop_assert!(self.living.contains_key(generation), "a stop signal for nobody");
                self.terminated.push(*generation);
            }
            Action::Kill { generation } | Action::EndLeftovers { generation } | Action::Drain { generation, .. } => {
                prop_assert!(self.living.contains_key(generation), "{action:?} for nobody");
            }
            Action::Signal { generation, .. } => {
                let process = self.living.get(generation);
                prop_assert!(process.is_some(), "a signal for {process:?}");
            }
            Action::Release { generation } => {
                prop_assert!(self.living.remove(generation).is_some(), "released twice");
            }
            Action::PostStop => {
                prop_assert!(self.living.is_empty());
                self.post_stop = true;
            }
            Action::Exit { code } => {
                prop_assert!(self.living.is_empty(), "somebody is left");
                prop_assert!(
                    self.post_stop || !self.limits.post_stop,
                    "the last command was forgotten"
                );
                self.exit = Some(*code);
            }
            Action::Report(report) => {
                if let Outcome::RolledBack { .. } = report.outcome {
                    let current = self.state.current().and_then(|it| self.role(it));
                    prop_assert!(
                        matches!(
                            current,
                            Some(Role::Starting | Role::Serving | Role::Draining | Role::Terminating)
                        ),
                        "rolled back to nobody"
                    );
                }
            }
            Action::RestartNext { reason } => self.asked_again = Some(reason.clone()),
            Action::CloseListeners => prop_assert!(self.stop_asked),
            Action::Hold => prop_assert!(self.limits.mode == Mode::StopFirst),
            Action::KillPostStop => prop_assert!(self.post_stop),
        }
        Ok(())
    }

    fn check(&self) -> Result<(), TestCaseError> {
        let known: Vec<u64> = self.state.generations().iter().map(|it| it.number).collect();
        prop_assert_eq!(
            &known,
            &self.living.keys().copied().collect::<Vec<_>>(),
            "known and living differ"
        );
        prop_assert!(known.len() <= 3, "more than three generations");
        let serving = self.state.generations().iter().filter(|it| it.role == Role::Serving);
        let serving: Vec<u64> = serving.map(|it| it.number).collect();
        prop_assert!(serving.len() <= 1, "two generations serve");
        for number in 0..=self.highest {
            prop_assert_eq!(self.state.serves(number), serving.contains(&number));
        }
        if let Some(serving) = serving.first() {
            prop_assert_eq!(self.state.current(), Some(*serving), "who serves is not current");
            prop_assert_eq!(self.steered, Some(*serving), "who serves does not get the connections");
        }
        prop_assert!(!(self.stop_asked && self.state.is_ready()), "ready while stopping");
        prop_assert!(!(self.drain_asked && self.state.is_ready()), "ready while draining");
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_lives_keep_the_rules(limits in limits(), chances in vec(chance(), 1..80)) {
        let mut world = World::new(limits)?;
        for chance in chances {
            world.chance(chance)?;
        }
    }

    /// From wherever chance has led: a restart ends, and the one after it, if every process ignores what it is told and does nothing.
    #[test]
    fn a_restart_always_ends(limits in limits(), chances in vec(chance(), 0..60), asked in any::<bool>()) {
        // In stop-first mode the old one has as long as that; in overlap it does not matter.
        let endless = limits.mode == Mode::StopFirst && limits.retire_timeout.is_none();
        let mut world = World::new(limits)?;
        for chance in chances {
            world.chance(chance)?;
        }
        if asked {
            world.happen(Event::RestartRequested { reason: Reason::Hup })?;
        }
        world.wait(Duration::from_secs(3_600))?;
        prop_assert!(endless || world.exit.is_some() || !world.state.is_restarting(), "it lasts: {:?}", world.state);
    }

    /// From wherever chance has led: a stop request, and time, and nothing else (every process ignores what it is
    /// told) end segue within the stop timeout, the last command and the graces.
    #[test]
    fn a_stop_always_ends(limits in limits(), chances in vec(chance(), 0..60)) {
        let bound = limits.stop_timeout.unwrap_or_default() + Duration::from_secs(2 + 5 + 1);
        let mut world = World::new(limits)?;
        for chance in chances {
            world.chance(chance)?;
        }
        world.happen(Event::StopRequested)?;
        world.wait(bound)?;
        prop_assert!(world.exit.is_some(), "still there after {bound:?}: {:?}", world.state);
        prop_assert_eq!(world.state.phase(), Phase::Ended);
    }
}
