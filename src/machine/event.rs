//! Everything that can happen to segue, in the past tense.
//!
//! Events carry numbers and words only: no pid, no file descriptor, no channel, so that they can be compared, printed
//! and made up by a test.

/// What has happened since the last turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Everything before the first generation is set up.
    Booted,
    /// The command before a generation (`SEGUE_PRE_START`) ended.
    Prepared {
        /// Whom it prepared.
        generation: u64,
        /// Why the generation must not start, if it must not.
        outcome: Result<(), Fault>,
    },
    /// The program was executed.
    Started {
        /// Whose program.
        generation: u64,
    },
    /// The program could not be executed; no process of it is left.
    NotStarted {
        /// Whose program.
        generation: u64,
        /// What stood in the way.
        fault: Fault,
    },
    /// The generation listens somewhere, and has the connections to there if nobody else has: it will be ready soon.
    BeganToListen {
        /// Which one.
        generation: u64,
    },
    /// The generation may get traffic.
    BecameReady {
        /// Which one.
        generation: u64,
    },
    /// Does a generation on trial still have to listen on an address that its predecessor serves?
    AddressesAwaited {
        /// The generation on trial.
        generation: u64,
        /// Is there such an address?
        awaited: bool,
    },
    /// The main process of a generation ended.
    Exited {
        /// Whose main process.
        generation: u64,
        /// With what.
        ending: Ending,
        /// Do connections wait in its accept queues? Only the next generation to begin can be given them.
        queued: bool,
    },
    /// Nothing that a generation started is left.
    Emptied {
        /// Which one.
        generation: u64,
    },
    /// There is nothing to wait for before the stop signal of a generation: no connection of its own is busy, or it
    /// finishes them itself.
    Drained {
        /// Whose connections.
        generation: u64,
    },
    /// A signal came that is the program's, not segue's.
    SignalReceived {
        /// Its number, after `SEGUE_SIGNAL_MAP`.
        signal: i32,
        /// The value that came along (sigqueue(3)), if one did.
        value: Option<usize>,
    },
    /// Somebody wants a new generation.
    RestartRequested {
        /// Who or what.
        reason: Reason,
    },
    /// Somebody wants segue to be ready no more, so that no new traffic is sent, while the program goes on.
    DrainRequested,
    /// Somebody wants the end.
    StopRequested,
    /// The command after the last generation (`SEGUE_POST_STOP`) ended.
    PostStopEnded,
    /// Nothing but time.
    TimePassed,
}

impl Event {
    /// The event in a few constant words, for the log.
    #[must_use]
    pub fn headline(&self) -> &'static str {
        match self {
            Event::Booted => "segue is set up",
            Event::Prepared { outcome: Ok(()), .. } => "pre-start command succeeded",
            Event::Prepared { outcome: Err(_), .. } => "pre-start command failed",
            Event::Started { .. } => "generation started",
            Event::NotStarted { .. } => "generation could not be started",
            Event::BeganToListen { .. } => "generation listens",
            Event::BecameReady { .. } => "generation became ready",
            Event::AddressesAwaited { awaited: true, .. } => "addresses of the predecessor are awaited",
            Event::AddressesAwaited { awaited: false, .. } => "no address of the predecessor is awaited any more",
            Event::Exited { .. } => "program ended",
            Event::Emptied { .. } => "generation is gone",
            Event::Drained { .. } => "connections are finished",
            Event::SignalReceived { .. } => "signal received",
            Event::RestartRequested { .. } => "restart requested",
            Event::DrainRequested => "drain requested",
            Event::StopRequested => "stop requested",
            Event::PostStopEnded => "post-stop command ended",
            Event::TimePassed => "time passed",
        }
    }

    /// The generation that the event is about, if it is about one.
    #[must_use]
    pub fn generation(&self) -> Option<u64> {
        match self {
            Event::Prepared { generation, .. }
            | Event::Started { generation }
            | Event::NotStarted { generation, .. }
            | Event::BeganToListen { generation }
            | Event::BecameReady { generation }
            | Event::AddressesAwaited { generation, .. }
            | Event::Exited { generation, .. }
            | Event::Emptied { generation }
            | Event::Drained { generation } => Some(*generation),
            Event::Booted
            | Event::SignalReceived { .. }
            | Event::RestartRequested { .. }
            | Event::DrainRequested
            | Event::StopRequested
            | Event::PostStopEnded
            | Event::TimePassed => None,
        }
    }
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// By itself, with this code.
    Code(u8),
    /// By this signal.
    Signal(i32),
    /// By the kernel, which had no memory for it any more.
    OutOfMemory,
}

impl Ending {
    /// The exit code that tells of it: the code itself, or 128 plus the signal's number, as shells have it.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Ending::Code(code) => code,
            Ending::Signal(signal) => u8::try_from(128 + signal).unwrap_or(u8::MAX),
            // SIGKILL, as `docker inspect` has it.
            Ending::OutOfMemory => 128 + 9,
        }
    }
}

impl std::fmt::Display for Ending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Ending::Code(code) => write!(f, "exited with code {code}"),
            Ending::Signal(signal) => write!(f, "was ended by signal {signal}"),
            Ending::OutOfMemory => f.write_str("was killed by the kernel: out of memory"),
        }
    }
}

/// Why a generation could not start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The exit code that tells of it, if segue has to end over it.
    pub code: u8,
    /// The reason, for people.
    pub reason: String,
}

/// Who or what asked for a new generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// SIGHUP.
    Hup,
    /// `segue restart`.
    Command,
    /// Watched files have changed: which, in words.
    Watch(String),
    /// The program ended, and `SEGUE_RESTART` wants it back.
    Crash,
}

impl Reason {
    /// The reason as logs, metrics and people have it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Reason::Hup => "hup",
            Reason::Command => "command",
            Reason::Watch(_) => "watch",
            Reason::Crash => "crash",
        }
    }

    /// What exactly it was, where the name does not say it.
    #[must_use]
    pub fn cause(&self) -> Option<&str> {
        match self {
            Reason::Watch(what) => Some(what),
            Reason::Hup | Reason::Command | Reason::Crash => None,
        }
    }
}
