//! DECIDES how long a connection may stay as it is, and what is done then. No I/O; time is an argument.

use std::time::{Duration, Instant};

use super::{
    limits::Limits,
    state::{Progress, Stage},
};

/// How long a client may go on sending after the last response, so that it gets to read it: to close at once would reset
/// the connection and take the response away from it.
const LINGER: Duration = Duration::from_secs(2);

/// So long, in a drain, a client may take to begin with its first request. One that connects has mostly something to say;
/// browsers connect ahead.
const FIRST_BYTE: Duration = Duration::from_secs(5);

/// What is done with a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deed {
    /// No more requests are taken, and it is closed; unless there is something to be read, which has come first.
    Leave,
    /// It is dropped.
    Cut,
}

/// A drain, as one connection sees it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Drain {
    pub(super) since: Instant,
    /// Its own part of the spread.
    pub(super) jitter: Duration,
}

/// When something is to be done with a connection that has been at this stage since then, if ever.
#[must_use]
pub(super) fn due(
    progress: Progress,
    since: Instant,
    drain: Option<Drain>,
    limits: &Limits,
) -> Option<(Instant, Deed)> {
    let after = |wait: Duration| since.checked_add(wait);
    let in_drain = |since: Instant| {
        let wait = limits.idle_min.saturating_add(drain?.jitter);
        since.max(drain?.since).checked_add(wait)
    };
    let (at, deed) = match progress.stage {
        Stage::New => {
            let normal = after(limits.first_byte_timeout);
            let soon = after(FIRST_BYTE.min(limits.first_byte_timeout));
            let drained = drain.and_then(|drain| in_drain(drain.since)).max(soon);
            (if drain.is_some() { drained } else { normal }, Deed::Leave)
        }
        // The second GOAWAY: long after the first, so that no request can be on its way that has not seen it.
        Stage::Active | Stage::Idle if progress.multiplexed && drain.is_some() => {
            (drain.and_then(|drain| in_drain(drain.since)), Deed::Leave)
        }
        Stage::Idle if drain.is_some() => (in_drain(since), Deed::Leave),
        Stage::Idle => (after(limits.idle_timeout), Deed::Leave),
        Stage::Heading => (after(limits.header_timeout), Deed::Cut),
        Stage::Stalled => (after(limits.response_timeout), Deed::Cut),
        Stage::Closing => (after(LINGER), Deed::Cut),
        Stage::Active | Stage::Hijacked | Stage::Closed => return None,
    };
    Some((at?, deed))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{
        super::{
            limits::Limits,
            state::{Event, Progress},
        },
        Deed, Drain, due,
    };

    /// In seconds from zero.
    type Due = Option<(u32, Deed)>;

    const SECOND: Duration = Duration::from_secs(1);

    fn progress(events: &[Event]) -> Progress {
        events
            .iter()
            .fold(Progress::NEW, |progress, event| progress.after(*event))
    }

    #[test]
    fn how_long_each_may_stay() {
        use Event::{Begun, Blocked, Preface, Read, Sent, ShutDown, Upgraded, Written};
        let limits = Limits {
            first_byte_timeout: 30 * SECOND,
            header_timeout: 10 * SECOND,
            idle_timeout: 75 * SECOND,
            response_timeout: 60 * SECOND,
            idle_min: SECOND,
            ..Limits::DEFAULT
        };
        let idle = [Read, Begun, Written, Sent];
        let h2 = [Read, Preface, Begun];
        let cases: &[(&[Event], Due, Due)] = &[
            // At second 100 the stage begins, at 102 the drain, of whose spread a second is the connection's own.
            (&[], Some((130, Deed::Leave)), Some((105, Deed::Leave))),
            (&[Read], Some((110, Deed::Cut)), Some((110, Deed::Cut))),
            (&idle, Some((175, Deed::Leave)), Some((104, Deed::Leave))),
            (&[Begun], None, None),
            (&[Begun, Blocked], Some((160, Deed::Cut)), Some((160, Deed::Cut))),
            (&[ShutDown], Some((102, Deed::Cut)), Some((102, Deed::Cut))),
            (&[Begun, Upgraded], None, None),
            (&h2, None, Some((104, Deed::Leave))),
            (&h2[..2], Some((175, Deed::Leave)), Some((104, Deed::Leave))),
        ];
        let zero = Instant::now();
        let at = |seconds: u32| zero + seconds * SECOND;
        for (events, normal, draining) in cases {
            let due = |drain| due(progress(events), at(100), drain, &limits);
            let drain = Drain {
                since: at(102),
                jitter: SECOND,
            };
            assert_eq!(due(None), normal.map(|(it, deed)| (at(it), deed)), "{events:?}");
            assert_eq!(
                due(Some(drain)),
                draining.map(|(it, deed)| (at(it), deed)),
                "{events:?}"
            );
        }
    }

    #[test]
    fn who_answered_after_the_drain_began_has_its_idle_time_from_there() {
        let idle = progress(&[Event::Begun, Event::Written, Event::Sent]);
        let now = Instant::now();
        let drain = Drain {
            since: now,
            jitter: Duration::ZERO,
        };
        let due = due(idle, now + 3 * SECOND, Some(drain), &Limits::DEFAULT);
        assert_eq!(due, Some((now + 3 * SECOND + Limits::DEFAULT.idle_min, Deed::Leave)));
    }
}
