//! The program ends by itself: `SEGUE_RESTART`.

use std::time::Duration;

use super::*;

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
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
            name: "crashes: what cannot be executed the first time is not tried again",
            limits: |l| l.policy = Policy::Always,
            happenings: vec![
                (0.0, Event::Booted),
                (0.0, not_started(1, 127, "not found")),
                (0.0, emptied(1)),
            ],
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
            name: "crashes: whoever comes after one that is gone has some time to listen wherever connections wait",
            limits: |l| l.policy = Policy::Always,
            happenings: up(&[
                (5.0, exited(1, 1)),
                (5.0, emptied(1)),
                (6.0, TIME),
                (6.0, started(2)),
                (6.5, ready(2)),
                (16.5, TIME),
            ]),
        },
        Scenario {
            name: "crashes: that time is a second at least, and begins again after a roll-back",
            limits: |l| {
                l.policy = Policy::Always;
                l.stable_delay = Duration::ZERO;
            },
            happenings: up(&[
                (5.0, exited(1, 1)),
                (5.0, emptied(1)),
                (6.0, TIME),
                (6.0, started(2)),
                (6.5, ready(2)),
                (6.6, HUP),
                (6.6, started(3)),
                (6.7, ready(3)),
                (6.9, exited(3, 1)),
                (6.9, emptied(3)),
                (7.9, TIME),
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
