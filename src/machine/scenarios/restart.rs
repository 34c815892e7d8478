//! Restarts: overlap, stop-first, probation, roll-back.

use super::*;

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "a restart: ready, steered, proved, emptied, stopped, gone",
            limits: plain,
            happenings: up(&[
                (5.0, HUP),
                (5.0, started(2)),
                (7.0, ready(2)),
                (8.0, TIME),
                (8.1, drained(1)),
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
                (9.5, TIME),
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
                (5.5, drained(1)),
                (6.0, exited(1, 0)),
                (6.0, emptied(1)),
                (6.0, started(2)),
                (7.0, ready(2)),
            ]),
        },
        Scenario {
            name: "stop-first: an old one that ignores the stop signal",
            limits: |l| l.mode = Mode::StopFirst,
            happenings: up(&[
                (5.0, HUP),
                (5.2, drained(1)),
                (35.0, TIME),
                (35.0, killed(1, 9)),
                (35.0, emptied(1)),
            ]),
        },
        Scenario {
            name: "a stop wins over a restart that waits for readiness",
            limits: plain,
            happenings: up(&[
                (5.0, HUP),
                (5.0, started(2)),
                (6.0, STOP),
                (6.0, drained(1)),
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
                (6.5, drained(2)),
                (6.5, drained(1)),
                (6.6, exited(1, 4)),
                (6.6, emptied(1)),
                (7.0, exited(2, 5)),
                (7.0, emptied(2)),
            ]),
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
    ]
}
