//! Programs that listen on nothing, and are never ready by `SEGUE_READY=auto`.

use super::*;

/// A worker, and what happens then.
fn runs(more: &[Happening]) -> Vec<Happening> {
    let mut all = vec![(0.0, Event::Booted), (0.0, started(1))];
    all.extend_from_slice(more);
    all
}

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "a worker is replaced: the new one outlives its probation, then the old one is stopped",
            limits: plain,
            happenings: runs(&[
                (20.0, HUP),
                (20.1, started(2)),
                (21.1, TIME),
                (21.1, drained(1)),
                (22.0, exited(1, 0)),
                (22.0, emptied(1)),
            ]),
        },
        Scenario {
            name: "a worker: the new program cannot be executed",
            limits: plain,
            happenings: runs(&[
                (20.0, HUP),
                (20.1, not_started(2, 126, "it is a directory")),
                (20.1, emptied(2)),
            ]),
        },
        Scenario {
            name: "a worker: the new one ends at the end of its probation, if only with 0",
            limits: plain,
            happenings: runs(&[
                (20.0, HUP),
                (20.1, started(2)),
                (21.0, exited(2, 0)),
                (21.0, emptied(2)),
            ]),
        },
        Scenario {
            name: "a worker: the new one begins to listen, and is judged as any server",
            limits: plain,
            happenings: runs(&[
                (20.0, HUP),
                (20.1, started(2)),
                (20.5, listens(2)),
                (21.1, TIME),
                (30.0, ready(2)),
                (31.0, TIME),
                (31.0, drained(1)),
            ]),
        },
        Scenario {
            name: "a worker: the new one listens, becomes ready and crashes: the worker goes on, not ready as before",
            limits: plain,
            happenings: runs(&[
                (20.0, HUP),
                (20.1, started(2)),
                (20.5, ready(2)),
                (20.6, exited(2, 1)),
                (20.6, emptied(2)),
            ]),
        },
        Scenario {
            name: "the old one listens and is ready while the new one is on its way: the new one has to be ready, too",
            limits: plain,
            happenings: runs(&[
                (20.0, HUP),
                (20.1, started(2)),
                (20.2, ready(1)),
                (21.1, TIME),
                (80.0, TIME),
            ]),
        },
        Scenario {
            name: "a worker ends by itself while the new one is on its way: that one has its place",
            limits: plain,
            happenings: runs(&[
                (20.0, HUP),
                (20.1, started(2)),
                (20.5, exited(1, 3)),
                (20.5, emptied(1)),
                (21.1, TIME),
            ]),
        },
        Scenario {
            name: "a generation that is young and not ready is replaced once the new one was executed",
            limits: plain,
            happenings: runs(&[
                (5.0, HUP),
                (5.1, started(2)),
                (5.2, exited(1, 0)),
                (5.2, emptied(1)),
                (15.1, TIME),
            ]),
        },
        Scenario {
            name: "one that is young and not ready goes on if the new program cannot be executed",
            limits: plain,
            happenings: runs(&[
                (5.0, HUP),
                (5.1, not_started(2, 127, "it is not there")),
                (5.1, emptied(2)),
            ]),
        },
        Scenario {
            name: "restarts asked for again and again: each new one has its probation",
            limits: plain,
            happenings: runs(&[
                (5.0, HUP),
                (5.1, started(2)),
                (5.2, exited(1, 0)),
                (5.2, emptied(1)),
                (5.3, HUP),
                (5.5, HUP),
                (6.1, TIME),
                (6.2, started(3)),
            ]),
        },
        Scenario {
            name: "a one-off command that ends in the moment of a restart",
            limits: plain,
            happenings: runs(&[
                (1.0, HUP),
                (1.0, exited(1, 3)),
                (1.0, emptied(1)),
                (1.0, started(2)),
                (2.0, exited(2, 3)),
                (2.0, emptied(2)),
            ]),
        },
        Scenario {
            name: "stop-first: a worker that holds a lock",
            limits: |l| l.mode = Mode::StopFirst,
            happenings: runs(&[
                (20.0, HUP),
                (20.5, exited(1, 0)),
                (20.5, emptied(1)),
                (20.6, started(2)),
                (21.6, TIME),
            ]),
        },
        Scenario {
            name: "SEGUE_READY says what is waited for: a generation that never was ready is kept until the new one is",
            limits: |l| l.survival_proves = false,
            happenings: runs(&[
                (20.0, HUP),
                (20.1, started(2)),
                (80.0, TIME),
                (80.0, killed(2, 9)),
                (80.0, emptied(2)),
            ]),
        },
        Scenario {
            name: "nobody to go back to, and not ready in time: the restart is over, and the program goes on",
            limits: |l| l.survival_proves = false,
            happenings: runs(&[
                (5.0, HUP),
                (5.1, started(2)),
                (5.2, exited(1, 0)),
                (5.2, emptied(1)),
                (65.0, TIME),
                (99.0, ready(2)),
            ]),
        },
        Scenario {
            name: "SEGUE_RESTART=always: a worker that has ended after its share of jobs comes back at once",
            limits: |l| l.policy = Policy::Always,
            happenings: runs(&[
                (20.0, exited(1, 0)),
                (20.0, emptied(1)),
                (20.0, started(2)),
                (21.0, TIME),
                (40.0, exited(2, 0)),
                (40.0, emptied(2)),
            ]),
        },
        Scenario {
            name: "SEGUE_RETIRE_TIMEOUT=0: as long as it takes, until a stop",
            limits: |l| {
                l.retire_timeout = None;
                l.retire_drain_timeout = None;
            },
            happenings: runs(&[
                (20.0, HUP),
                (20.1, started(2)),
                (21.1, TIME),
                (21.1, drained(1)),
                (4000.0, TIME),
                (5000.0, STOP),
                (5000.0, drained(2)),
                (5030.0, TIME),
            ]),
        },
    ]
}
