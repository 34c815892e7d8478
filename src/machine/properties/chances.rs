//! What may happen to the toy world, and the limits that it is tried with, at random.

use std::time::Duration;

use proptest::prelude::{Just, Strategy, any, prop_oneof};

use crate::machine::{Limits, Mode, Policy};

/// A number chooses among the living.
#[derive(Debug, Clone)]
pub(super) enum Chance {
    HookEnds(usize, bool),
    Starts(usize),
    CannotStart(usize),
    Listens(usize),
    Ready(usize),
    Awaits(usize, bool),
    Ends(usize, u8, bool),
    Empties(usize),
    Drains(usize),
    Hup,
    Drain,
    Stop,
    Signal(i32),
    PostStopEnds,
    Wait(u64),
    /// About a generation that may not be there, or not in such a role.
    Nonsense(u64),
}

pub(super) fn chance() -> impl Strategy<Value = Chance> {
    let who = any::<usize>();
    prop_oneof![
        2 => (who, any::<bool>()).prop_map(|(who, well)| Chance::HookEnds(who, well)),
        4 => who.prop_map(Chance::Starts),
        1 => who.prop_map(Chance::CannotStart),
        2 => who.prop_map(Chance::Listens),
        4 => who.prop_map(Chance::Ready),
        2 => (who, any::<bool>()).prop_map(|(who, awaited)| Chance::Awaits(who, awaited)),
        3 => (who, 0..3_u8, any::<bool>()).prop_map(|(who, code, queued)| Chance::Ends(who, code, queued)),
        3 => who.prop_map(Chance::Empties),
        2 => who.prop_map(Chance::Drains),
        3 => Just(Chance::Hup),
        1 => Just(Chance::Drain),
        1 => Just(Chance::Stop),
        1 => (1..65).prop_map(Chance::Signal),
        1 => Just(Chance::PostStopEnds),
        4 => (0..40_000_u64).prop_map(Chance::Wait),
        1 => (0..9_u64).prop_map(Chance::Nonsense),
    ]
}

pub(super) fn limits() -> impl Strategy<Value = Limits> {
    let seconds = |most: u64| (0..=most).prop_map(Duration::from_secs);
    (
        (1..60_u64, seconds(20), 0..30_u64, 1..60_u64, seconds(3)),
        (any::<bool>(), 0..3_u8, seconds(3), 0..4_u32),
        (any::<bool>(), any::<bool>()),
        (any::<bool>(), proptest::option::of(1..60_u64)),
    )
        .prop_map(
            |(
                (stop, delay, drain, ready, probation),
                (overlap, policy, retry, limit),
                (pre, post),
                (survival, retire),
            )| Limits {
                stop_timeout: Some(Duration::from_secs(stop)),
                drain_delay: delay,
                drain_timeout: Some(Duration::from_secs(drain)),
                retire_timeout: retire.map(Duration::from_secs),
                retire_drain_timeout: retire.map(|retire| Duration::from_secs(retire) / 2),
                survival_proves: survival,
                ready_timeout: Some(Duration::from_secs(ready)),
                probation,
                mode: if overlap { Mode::Overlap } else { Mode::StopFirst },
                policy: match policy {
                    0 => Policy::Never,
                    1 => Policy::OnFailure,
                    _ => Policy::Always,
                },
                restart_delay: retry,
                restart_max_delay: Duration::from_secs(4),
                restart_limit: (limit > 0).then_some(limit),
                stable_delay: Duration::from_secs(10),
                pre_start: pre,
                post_stop: post,
                success_codes: vec![2],
                success_signal: Some(15),
            },
        )
}
