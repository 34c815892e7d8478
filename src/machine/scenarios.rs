//! Behaviours by name: given events, then actions. The same table prints `docs/state-machine.md`.

use std::{
    fmt::Write as _,
    time::{Duration, Instant},
};

use super::{Action, Ending, Event, Fault, Limits, Mode, Outcome, Policy, Reason, State, step};

/// A moment in seconds since boot, and what happens then.
type Happening = (f64, Event);

struct Scenario {
    name: &'static str,
    limits: fn(&mut Limits),
    happenings: Vec<Happening>,
}

fn defaults() -> Limits {
    Limits {
        stop_timeout: Some(Duration::from_secs(30)),
        drain_delay: Duration::ZERO,
        ready_timeout: Some(Duration::from_secs(60)),
        probation: Duration::from_secs(1),
        mode: Mode::Overlap,
        policy: Policy::Never,
        restart_delay: Duration::from_secs(1),
        restart_max_delay: Duration::from_secs(30),
        restart_limit: Some(5),
        stable_delay: Duration::from_secs(10),
        pre_start: false,
        post_stop: false,
        success_codes: Vec::new(),
        success_signal: None,
    }
}

fn started(generation: u64) -> Event {
    Event::Started { generation }
}
fn ready(generation: u64) -> Event {
    Event::BecameReady { generation }
}
fn exited(generation: u64, code: u8) -> Event {
    Event::Exited {
        generation,
        ending: Ending::Code(code),
        queued: false,
    }
}
fn killed(generation: u64, signal: i32) -> Event {
    Event::Exited {
        generation,
        ending: Ending::Signal(signal),
        queued: false,
    }
}
fn emptied(generation: u64) -> Event {
    Event::Emptied { generation }
}
fn queue_emptied(generation: u64) -> Event {
    Event::QueueEmptied { generation }
}
fn not_started(generation: u64, code: u8, reason: &str) -> Event {
    Event::NotStarted {
        generation,
        fault: Fault {
            code,
            reason: reason.into(),
        },
    }
}
const HUP: Event = Event::RestartRequested { reason: Reason::Hup };
const STOP: Event = Event::StopRequested;
const TIME: Event = Event::TimePassed;

fn scenarios() -> Vec<Scenario> {
    let plain = |_: &mut Limits| {};
    let up = |more: &[Happening]| {
        let mut all = vec![(0.0, Event::Booted), (0.0, started(1)), (0.1, ready(1))];
        all.extend_from_slice(more);
        all
    };
    vec![
        Scenario {
            name: "the program ends by itself, and segue with its code",
            limits: plain,
            happenings: up(&[(5.0, exited(1, 7)), (5.0, emptied(1))]),
        },
        Scenario {
            name: "the program cannot be found",
            limits: plain,
            happenings: vec![
                (0.0, Event::Booted),
                (0.0, not_started(1, 127, "not found")),
                (0.0, emptied(1)),
            ],
        },
        Scenario {
            name: "a graceful stop, over as soon as nothing is left",
            limits: plain,
            happenings: up(&[(5.0, STOP), (6.0, exited(1, 0)), (6.0, emptied(1))]),
        },
        Scenario {
            name: "a stop with a delay: not ready, still accepting, then the stop signal",
            limits: |l| l.drain_delay = Duration::from_secs(4),
            happenings: up(&[
                (5.0, STOP),
                (6.0, STOP),
                (9.0, TIME),
                (9.5, killed(1, 15)),
                (9.5, emptied(1)),
            ]),
        },
        Scenario {
            name: "a repeated stop request is passed on again, and is no escalation",
            limits: plain,
            happenings: up(&[(5.0, STOP), (6.0, STOP), (7.0, exited(1, 0)), (7.0, emptied(1))]),
        },
        Scenario {
            name: "a program that ignores the stop signal is killed at the deadline",
            limits: plain,
            happenings: up(&[(5.0, STOP), (35.0, TIME), (35.0, killed(1, 9)), (35.0, emptied(1))]),
        },
        Scenario {
            name: "a process that even SIGKILL does not end is left to the kernel",
            limits: plain,
            happenings: up(&[(5.0, STOP), (35.0, TIME), (37.0, TIME)]),
        },
        Scenario {
            name: "what the program left behind gets time to clean up, then SIGKILL",
            limits: plain,
            happenings: up(&[(5.0, exited(1, 0)), (10.0, TIME), (10.0, emptied(1))]),
        },
        Scenario {
            name: "success: dying of the stop signal that was asked for",
            limits: |l| l.success_signal = Some(15),
            happenings: up(&[(5.0, STOP), (5.1, killed(1, 15)), (5.1, emptied(1))]),
        },
        Scenario {
            name: "success: a listed exit code",
            limits: |l| l.success_codes = vec![143],
            happenings: up(&[(5.0, killed(1, 15)), (5.1, emptied(1))]),
        },
        Scenario {
            name: "a restart: ready, steered, proved, emptied, stopped, gone",
            limits: plain,
            happenings: up(&[
                (5.0, HUP),
                (5.0, started(2)),
                (7.0, ready(2)),
                (8.0, TIME),
                (8.1, queue_emptied(1)),
                (9.0, exited(1, 0)),
                (9.0, emptied(1)),
            ]),
        },
        Scenario {
            name: "roll-back: the new generation crashes before it is ready",
            limits: plain,
            happenings: up(&[(5.0, HUP), (5.0, started(2)), (6.0, exited(2, 1)), (6.0, emptied(2))]),
        },
        Scenario {
            name: "roll-back: the new generation is never ready",
            limits: plain,
            happenings: up(&[
                (5.0, HUP),
                (5.0, started(2)),
                (65.0, TIME),
                (65.0, killed(2, 9)),
                (65.0, emptied(2)),
            ]),
        },
        Scenario {
            name: "roll-back: the new generation crashes on probation",
            limits: plain,
            happenings: up(&[
                (5.0, HUP),
                (5.0, started(2)),
                (6.0, ready(2)),
                (6.5, killed(2, 11)),
                (6.5, emptied(2)),
            ]),
        },
        Scenario {
            name: "roll-back: the new program cannot be executed",
            limits: plain,
            happenings: up(&[
                (5.0, HUP),
                (5.0, not_started(2, 126, "it is a directory")),
                (5.0, emptied(2)),
            ]),
        },
        Scenario {
            name: "the old generation ends while the new one is on probation",
            limits: plain,
            happenings: up(&[
                (5.0, HUP),
                (5.0, started(2)),
                (6.0, ready(2)),
                (6.5, exited(1, 0)),
                (6.5, emptied(1)),
                (9.0, exited(2, 3)),
                (9.0, emptied(2)),
            ]),
        },
        Scenario {
            name: "the old generation ends while the new one is not ready, with connections in its queue: a newer one gets them",
            limits: plain,
            happenings: up(&[
                (5.0, HUP),
                (5.0, started(2)),
                (
                    5.5,
                    Event::Exited {
                        generation: 1,
                        ending: Ending::Code(1),
                        queued: true,
                    },
                ),
                (5.5, emptied(1)),
                (5.6, killed(2, 9)),
                (5.6, emptied(2)),
                (5.6, started(3)),
                (9.0, ready(3)),
            ]),
        },
        Scenario {
            name: "the old generation ends while the new one is not ready: the new one has the service",
            limits: plain,
            happenings: up(&[
                (5.0, HUP),
                (5.0, started(2)),
                (5.5, exited(1, 1)),
                (5.5, emptied(1)),
                (99.0, ready(2)),
            ]),
        },
        Scenario {
            name: "restarts asked for during a restart are remembered once",
            limits: plain,
            happenings: up(&[
                (5.0, HUP),
                (5.0, started(2)),
                (5.1, HUP),
                (5.2, HUP),
                (5.3, HUP),
                (6.0, ready(2)),
                (7.0, TIME),
                (7.0, started(3)),
            ]),
        },
        Scenario {
            name: "a fourth generation: the oldest that drains is stopped early",
            limits: plain,
            happenings: up(&[
                (5.0, HUP),
                (5.0, started(2)),
                (5.0, ready(2)),
                (6.0, TIME),
                (6.0, HUP),
                (6.0, started(3)),
                (6.0, ready(3)),
                (7.0, TIME),
                (7.0, HUP),
                (12.0, TIME),
                (12.0, killed(1, 9)),
                (12.0, emptied(1)),
            ]),
        },
        Scenario {
            name: "a generation that never was ready is replaced at once",
            limits: plain,
            happenings: vec![
                (0.0, Event::Booted),
                (0.0, started(1)),
                (5.0, HUP),
                (5.0, killed(1, 15)),
                (5.0, emptied(1)),
                (6.0, ready(2)),
            ],
        },
        Scenario {
            name: "stop-first: the old one is gone before the new one begins",
            limits: |l| l.mode = Mode::StopFirst,
            happenings: up(&[
                (5.0, HUP),
                (6.0, exited(1, 0)),
                (6.0, emptied(1)),
                (6.0, started(2)),
                (7.0, ready(2)),
            ]),
        },
        Scenario {
            name: "stop-first: an old one that ignores the stop signal",
            limits: |l| l.mode = Mode::StopFirst,
            happenings: up(&[(5.0, HUP), (35.0, TIME), (35.0, killed(1, 9)), (35.0, emptied(1))]),
        },
        Scenario {
            name: "a stop wins over a restart that waits for readiness",
            limits: plain,
            happenings: up(&[
                (5.0, HUP),
                (5.0, started(2)),
                (6.0, STOP),
                (6.1, exited(2, 0)),
                (6.1, emptied(2)),
                (7.0, exited(1, 4)),
                (7.0, emptied(1)),
            ]),
        },
        Scenario {
            name: "a stop during probation: the new one's code counts",
            limits: plain,
            happenings: up(&[
                (5.0, HUP),
                (5.0, started(2)),
                (6.0, ready(2)),
                (6.5, STOP),
                (6.5, queue_emptied(1)),
                (6.6, exited(1, 4)),
                (6.6, emptied(1)),
                (7.0, exited(2, 5)),
                (7.0, emptied(2)),
            ]),
        },
        Scenario {
            name: "a stop during the pre-start command",
            limits: |l| l.pre_start = true,
            happenings: vec![
                (0.0, Event::Booted),
                (1.0, STOP),
                (
                    1.0,
                    Event::Prepared {
                        generation: 1,
                        outcome: Err(Fault {
                            code: 143,
                            reason: "it was ended by signal 15".into(),
                        }),
                    },
                ),
                (1.0, emptied(1)),
            ],
        },
        Scenario {
            name: "pre-start before each generation; its failure rolls back",
            limits: |l| l.pre_start = true,
            happenings: vec![
                (0.0, Event::Booted),
                (
                    1.0,
                    Event::Prepared {
                        generation: 1,
                        outcome: Ok(()),
                    },
                ),
                (1.0, started(1)),
                (1.0, ready(1)),
                (5.0, HUP),
                (
                    6.0,
                    Event::Prepared {
                        generation: 2,
                        outcome: Err(Fault {
                            code: 1,
                            reason: "the pre-start command exited with code 1".into(),
                        }),
                    },
                ),
                (6.0, emptied(2)),
            ],
        },
        Scenario {
            name: "a signal that comes during the pre-start command waits for the program",
            limits: |l| l.pre_start = true,
            happenings: vec![
                (0.0, Event::Booted),
                (
                    0.5,
                    Event::SignalReceived {
                        signal: 10,
                        value: None,
                    },
                ),
                (
                    1.0,
                    Event::Prepared {
                        generation: 1,
                        outcome: Ok(()),
                    },
                ),
            ],
        },
        Scenario {
            name: "post-stop after the last generation",
            limits: |l| l.post_stop = true,
            happenings: up(&[
                (5.0, STOP),
                (6.0, exited(1, 0)),
                (6.0, emptied(1)),
                (7.0, Event::PostStopEnded),
            ]),
        },
        Scenario {
            name: "a post-stop command that hangs",
            limits: |l| l.post_stop = true,
            happenings: up(&[(5.0, exited(1, 0)), (5.0, emptied(1)), (10.0, TIME)]),
        },
        Scenario {
            name: "crashes: back again with a doubling delay, and in the end not",
            limits: |l| {
                l.policy = Policy::OnFailure;
                l.restart_limit = Some(2);
            },
            happenings: up(&[
                (1.0, exited(1, 1)),
                (1.0, emptied(1)),
                (2.0, TIME),
                (2.0, started(2)),
                (2.1, ready(2)),
                (3.0, exited(2, 1)),
                (3.0, emptied(2)),
                (5.0, TIME),
                (5.0, started(3)),
                (5.0, ready(3)),
                (6.0, exited(3, 9)),
                (6.0, emptied(3)),
            ]),
        },
        Scenario {
            name: "crashes: a success ends segue under on-failure",
            limits: |l| l.policy = Policy::OnFailure,
            happenings: up(&[(1.0, exited(1, 0)), (1.0, emptied(1))]),
        },
        Scenario {
            name: "crashes: up-time resets the count",
            limits: |l| {
                l.policy = Policy::Always;
                l.restart_limit = Some(1);
            },
            happenings: up(&[
                (20.0, exited(1, 1)),
                (20.0, emptied(1)),
                (21.0, TIME),
                (21.0, started(2)),
                (21.0, ready(2)),
                (40.0, exited(2, 1)),
                (40.0, emptied(2)),
                (41.0, TIME),
            ]),
        },
        Scenario {
            name: "crashes: a restart request does not wait for the delay",
            limits: |l| l.policy = Policy::Always,
            happenings: up(&[(1.0, exited(1, 1)), (1.0, emptied(1)), (1.1, HUP)]),
        },
        Scenario {
            name: "crashes: a stop during the delay ends segue with the last code",
            limits: |l| l.policy = Policy::Always,
            happenings: up(&[(1.0, exited(1, 3)), (1.0, emptied(1)), (1.1, STOP)]),
        },
    ]
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "a table for people: most print themselves"
)]
fn say(action: &Action) -> String {
    match action {
        Action::Report(report) => {
            let generation = report.generation.map_or_else(|| "-".to_owned(), |it| it.to_string());
            match &report.outcome {
                Outcome::Replaced => format!("Report: replaced, generation {generation} serves"),
                Outcome::RolledBack { why } => format!("Report: generation {generation} rolled back, {why}"),
                Outcome::Failed { why } => format!("Report: failed, {why}"),
            }
        }
        other => {
            let words = format!("{other:?}");
            words
                .replace(" { generation: ", " ")
                .replace(" { code: ", " ")
                .replace(", signal: ", ", signal ")
                .replace(", value: None", "")
                .replace(" }", "")
        }
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "a table for people: most print themselves"
)]
fn tell(event: &Event) -> String {
    let what = event.headline();
    let whose = event
        .generation()
        .map_or_else(String::new, |generation| format!(" ({generation})"));
    match event {
        Event::Exited { ending, .. } => format!("program{whose} {ending}"),
        Event::Prepared {
            outcome: Err(fault), ..
        }
        | Event::NotStarted { fault, .. } => {
            format!("{what}{whose}: {}", fault.reason)
        }
        _ => format!("{what}{whose}"),
    }
}

fn print() -> String {
    let mut page = String::from(
        "# The state machine, by example\n\nPrinted by a test from the scenario table in `src/machine/scenarios.rs`; \
         `make docs` prints it again. Times are seconds since boot. Settings are the defaults, but for what a \
         scenario's name says.\n",
    );
    let boot = Instant::now();
    for scenario in scenarios() {
        let mut limits = defaults();
        (scenario.limits)(&mut limits);
        let mut state = State::new();
        write!(
            page,
            "\n## {}\n\n| at | event | actions |\n|---:|---|---|\n",
            scenario.name
        )
        .unwrap();
        for (at, event) in scenario.happenings {
            let told = tell(&event);
            let (next, actions) = step(&limits, state, event, boot + Duration::from_secs_f64(at));
            state = next;
            let said: Vec<String> = actions.iter().map(say).collect();
            writeln!(page, "| {at:.1} | {told} | {} |", said.join(" · ")).unwrap();
        }
    }
    page
}

/// The table is the specification: a change of behaviour shows as a change of the page, and is read as one.
#[test]
fn the_page_shows_what_the_machine_does() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/state-machine.md");
    let page = print();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, &page).unwrap();
    }
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    let differs = page.lines().zip(kept.lines()).find(|(new, old)| new != old);
    assert!(
        page == kept,
        "docs/state-machine.md differs, first here: {differs:?}; run make docs and read the change"
    );
}
