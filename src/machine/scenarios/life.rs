//! Start, stop, signals and the end of the program.

use std::time::Duration;

use super::*;

pub(super) fn scenarios() -> Vec<Scenario> {
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
            happenings: up(&[(5.0, STOP), (5.2, drained(1)), (6.0, exited(1, 0)), (6.0, emptied(1))]),
        },
        Scenario {
            name: "a stop with a delay: not ready, still accepting, then the stop signal",
            limits: |l| l.drain_delay = Duration::from_secs(4),
            happenings: up(&[
                (5.0, STOP),
                (6.0, STOP),
                (9.0, TIME),
                (9.2, drained(1)),
                (9.5, killed(1, 15)),
                (9.5, emptied(1)),
            ]),
        },
        Scenario {
            name: "a drain before a stop: not ready, and the delay (4 s) counts from the drain",
            limits: |l| l.drain_delay = Duration::from_secs(4),
            happenings: up(&[
                (5.0, Event::DrainRequested),
                (6.0, Event::DrainRequested),
                (8.0, STOP),
                (9.0, TIME),
                (9.2, drained(1)),
                (9.5, killed(1, 15)),
                (9.5, emptied(1)),
            ]),
        },
        Scenario {
            name: "a drain does not keep a restart from replacing the program",
            limits: plain,
            happenings: up(&[
                (5.0, Event::DrainRequested),
                (6.0, HUP),
                (6.1, started(2)),
                (6.2, ready(2)),
                (7.2, TIME),
                (7.3, drained(1)),
                (7.4, exited(1, 0)),
                (7.4, emptied(1)),
            ]),
        },
        Scenario {
            name: "a repeated stop request is passed on again, and is no escalation",
            limits: plain,
            happenings: up(&[
                (5.0, STOP),
                (5.5, STOP),
                (5.7, drained(1)),
                (6.0, STOP),
                (7.0, exited(1, 0)),
                (7.0, emptied(1)),
            ]),
        },
        Scenario {
            name: "a stop whose connections do not finish: the stop signal at the drain timeout",
            limits: plain,
            happenings: up(&[(5.0, STOP), (20.0, TIME), (20.1, killed(1, 15)), (20.1, emptied(1))]),
        },
        Scenario {
            name: "a stop whose delay and drain take all the time there is",
            limits: |l| l.drain_delay = Duration::from_secs(20),
            happenings: up(&[
                (5.0, STOP),
                (25.0, TIME),
                (35.0, TIME),
                (35.0, killed(1, 9)),
                (35.0, emptied(1)),
            ]),
        },
        Scenario {
            name: "a program that ignores the stop signal is killed at the deadline",
            limits: plain,
            happenings: up(&[
                (5.0, STOP),
                (5.2, drained(1)),
                (35.0, TIME),
                (35.0, killed(1, 9)),
                (35.0, emptied(1)),
            ]),
        },
        Scenario {
            name: "a process that even SIGKILL does not end is left to the kernel",
            limits: plain,
            happenings: up(&[(5.0, STOP), (5.2, drained(1)), (35.0, TIME), (37.0, TIME)]),
        },
        Scenario {
            name: "what the program left behind gets time to clean up, then SIGKILL",
            limits: plain,
            happenings: up(&[(5.0, exited(1, 0)), (10.0, TIME), (10.0, emptied(1))]),
        },
        Scenario {
            name: "success: dying of the stop signal that was asked for",
            limits: |l| l.success_signal = Some(15),
            happenings: up(&[(5.0, STOP), (5.0, drained(1)), (5.1, killed(1, 15)), (5.1, emptied(1))]),
        },
        Scenario {
            name: "success: a listed exit code",
            limits: |l| l.success_codes = vec![143],
            happenings: up(&[(5.0, killed(1, 15)), (5.1, emptied(1))]),
        },
        Scenario {
            name: "a stop with a delay before the program is ready, which is woken early",
            limits: |l| l.drain_delay = Duration::from_secs(4),
            happenings: vec![
                (0.0, Event::Booted),
                (0.0, started(1)),
                (5.0, STOP),
                (7.0, TIME),
                (9.0, TIME),
                (9.2, drained(1)),
                (9.5, exited(1, 0)),
                (9.5, emptied(1)),
            ],
        },
        Scenario {
            name: "a stop while the program is being executed, which fails: the last command has the time that is left",
            limits: |l| l.post_stop = true,
            happenings: vec![
                (0.0, Event::Booted),
                (1.0, STOP),
                (1.0, not_started(1, 126, "it is a directory")),
                (1.0, emptied(1)),
                (7.0, TIME),
                (31.0, TIME),
            ],
        },
        Scenario {
            name: "a stop during the delay of which a later program cannot be executed",
            limits: |l| {
                l.post_stop = true;
                l.drain_delay = Duration::from_secs(4);
            },
            happenings: vec![
                (0.0, Event::Booted),
                (0.0, started(1)),
                (1.0, HUP),
                (1.0, killed(1, 15)),
                (1.0, emptied(1)),
                (1.0, STOP),
                (1.1, not_started(2, 126, "it is a directory")),
                (1.1, emptied(2)),
                (7.0, TIME),
                (31.0, TIME),
            ],
        },
        Scenario {
            name: "a signal for the program is passed on, and one that comes after SIGKILL is not",
            limits: plain,
            happenings: up(&[
                (1.0, USR1),
                (5.0, STOP),
                (5.2, drained(1)),
                (6.0, USR1),
                (35.0, TIME),
                (35.1, USR1),
                (35.2, killed(1, 9)),
                (35.2, emptied(1)),
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
            name: "a signal that comes during the pre-start command waits for the program",
            limits: |l| l.pre_start = true,
            happenings: vec![
                (0.0, Event::Booted),
                (0.5, USR1),
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
                (5.2, drained(1)),
                (6.0, exited(1, 0)),
                (6.0, emptied(1)),
                (7.0, Event::PostStopEnded),
            ]),
        },
        Scenario {
            name: "a post-stop command that hangs",
            limits: |l| l.post_stop = true,
            happenings: up(&[(5.0, exited(1, 0)), (5.0, emptied(1)), (9.0, TIME), (10.0, TIME)]),
        },
    ]
}
