//! DECIDES at which level a turn of the machine is logged: what an operator wants to find later is logged by default, and
//! nothing else, so that a command that starts, does its work and ends leaves no line of segue's.

use crate::machine::{Ending, Event};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

/// What is known about a turn besides its event.
#[derive(Debug, Clone, Copy)]
pub(super) struct Context {
    /// The machine asked for something.
    pub(super) acts: bool,
    /// There was no other generation than the first, and no stop was asked for.
    pub(super) is_first_run: bool,
    /// The generation served, or ran for SEGUE_STABLE_DELAY.
    pub(super) proved_itself: bool,
    /// It is started again when it ends.
    pub(super) is_restarted: bool,
}

pub(super) fn level(event: &Event, context: Context) -> Level {
    match event {
        Event::NotStarted { .. } => Level::Error,
        Event::Prepared { outcome: Err(_), .. } => Level::Warn,
        Event::Exited { ending, .. } if context.is_first_run => match ending {
            // The program's own output tells why, and segue exits with its code.
            Ending::Code(_) if !context.proved_itself && !context.is_restarted => Level::Debug,
            Ending::Code(0) => Level::Info,
            Ending::Code(_) | Ending::Signal(_) | Ending::OutOfMemory => Level::Warn,
        },
        Event::Booted
        | Event::Prepared { outcome: Ok(()), .. }
        | Event::BeganToListen { .. }
        | Event::AddressesAwaited { .. }
        | Event::SignalReceived { .. }
        | Event::TimePassed => Level::Debug,
        Event::Started { .. } | Event::Emptied { .. } | Event::PostStopEnded if context.is_first_run => Level::Debug,
        Event::BecameReady { .. } if !context.acts => Level::Debug,
        Event::Started { .. }
        | Event::BecameReady { .. }
        | Event::Exited { .. }
        | Event::Emptied { .. }
        | Event::Drained { .. }
        | Event::RestartRequested { .. }
        | Event::DrainRequested
        | Event::StopRequested
        | Event::PostStopEnded => Level::Info,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Context = Context {
        acts: true,
        is_first_run: true,
        proved_itself: false,
        is_restarted: false,
    };

    fn exited(ending: Ending) -> Event {
        Event::Exited {
            generation: 1,
            ending,
            queued: false,
        }
    }

    /// A command that starts, does its work and ends.
    #[test]
    fn a_one_off_command_is_not_noteworthy() {
        let events = [
            Event::Booted,
            Event::Started { generation: 1 },
            Event::SignalReceived {
                signal: 28,
                value: None,
            },
            exited(Ending::Code(0)),
            exited(Ending::Code(3)),
            Event::Emptied { generation: 1 },
        ];
        for event in events {
            assert_eq!(level(&event, FIRST), Level::Debug, "{event:?}");
        }
    }

    #[test]
    fn a_crash_is_noteworthy() {
        let served = Context {
            proved_itself: true,
            ..FIRST
        };
        let restarted = Context {
            is_restarted: true,
            ..FIRST
        };
        assert_eq!(level(&exited(Ending::Signal(11)), FIRST), Level::Warn);
        assert_eq!(level(&exited(Ending::OutOfMemory), FIRST), Level::Warn);
        assert_eq!(level(&exited(Ending::Code(1)), served), Level::Warn);
        assert_eq!(level(&exited(Ending::Code(1)), restarted), Level::Warn);
        assert_eq!(level(&exited(Ending::Code(0)), served), Level::Info);
    }

    #[test]
    fn restarts_and_stops_are_noteworthy() {
        let later = Context {
            is_first_run: false,
            ..FIRST
        };
        let events = [
            Event::RestartRequested {
                reason: crate::machine::Reason::Hup,
            },
            Event::Started { generation: 2 },
            Event::BecameReady { generation: 2 },
            exited(Ending::Code(0)),
            Event::Emptied { generation: 1 },
            Event::StopRequested,
        ];
        for event in events {
            assert_eq!(level(&event, later), Level::Info, "{event:?}");
        }
        let idle = Context { acts: false, ..later };
        assert_eq!(level(&Event::BecameReady { generation: 2 }, idle), Level::Debug);
    }
}
