//! Everything the machine can ask for, in the imperative; `runtime` obeys.

use std::time::Duration;

use super::event::Reason;

/// One thing to do. Those of one turn are done in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Run `SEGUE_PRE_START` for this generation; answered by `Prepared`.
    Prepare {
        /// For whom.
        generation: u64,
    },
    /// Start the program; answered by `Started` or `NotStarted`, and later by `BecameReady`.
    Start {
        /// As which generation.
        generation: u64,
    },
    /// Let new connections go to this generation.
    Steer {
        /// To whom.
        generation: u64,
    },
    /// It has had time to listen: nobody waits any more for it to listen where it does not.
    Settle {
        /// Who serves.
        generation: u64,
    },
    /// Tell by `Drained` when this generation's connections are finished.
    Drain {
        /// Whose connections.
        generation: u64,
        /// Does nobody come after it? Then new connections are refused.
        last: bool,
    },
    /// Let new connections wait for the next generation to begin.
    Hold,
    /// Send the stop signal.
    Terminate {
        /// To whom.
        generation: u64,
    },
    /// Send SIGKILL to every process of the generation.
    Kill {
        /// Whose processes.
        generation: u64,
    },
    /// Send SIGTERM to what the main process left behind; answered by `Emptied`, at once if nothing is left.
    EndLeftovers {
        /// Whose leftovers.
        generation: u64,
    },
    /// Pass a signal on.
    Signal {
        /// To whom.
        generation: u64,
        /// Its number.
        signal: i32,
        /// The value that goes along.
        value: Option<usize>,
    },
    /// The generation is over: let go of what was held for it.
    Release {
        /// Which one.
        generation: u64,
    },
    /// Give up segue's own copies of the listening sockets, so that the program's closing them refuses connections.
    CloseListeners,
    /// Run `SEGUE_POST_STOP`; answered by `PostStopEnded`.
    PostStop,
    /// `SEGUE_POST_STOP` takes too long: SIGKILL.
    KillPostStop,
    /// Tell how a restart came out.
    Report(Report),
    /// Another restart was asked for meanwhile, and has its turn: answered by `RestartRequested`, once the mode is chosen anew.
    RestartNext {
        /// What asked for it.
        reason: Reason,
    },
    /// End segue. Always the last action.
    Exit {
        /// With this code.
        code: u8,
    },
}

/// Why a generation that is not ready in time is rolled back.
pub const LATE: &str = "it was not ready within SEGUE_READY_TIMEOUT";
/// The same, where there is no predecessor to go back to.
pub const LATE_ALONE: &str =
    "it was not ready within SEGUE_READY_TIMEOUT, and goes on because there is no predecessor to go back to";

/// How a restart came out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The generation that was to serve, if it came to be.
    pub generation: Option<u64>,
    /// Who or what had asked.
    pub reason: Reason,
    /// From the request to the outcome.
    pub took: Duration,
    /// The outcome.
    pub outcome: Outcome,
    /// Is the new generation not ready, but has outlived its probation, as one that listens on nothing?
    pub outlived: bool,
}

/// The ways a restart can come out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The new generation serves.
    Replaced,
    /// The new generation was thrown away; the old one goes on.
    RolledBack {
        /// What was wrong with it.
        why: String,
    },
    /// There is no new generation and none to go back to.
    Failed {
        /// What was wrong.
        why: String,
    },
}
