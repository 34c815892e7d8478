//! What the machine has to know of the settings: times and choices, as plain values.

use std::time::Duration;

use super::event::Ending;

/// How long a rest of a generation has between SIGTERM and SIGKILL.
pub(super) const LEFTOVER_GRACE: Duration = Duration::from_secs(5);

/// How long SIGKILL may take before segue goes on without the process: one in an uninterruptible sleep, or of a user
/// whom segue may not signal. (As PID 1, segue's own exit takes it along.)
pub(super) const KILL_GRACE: Duration = Duration::from_secs(2);

/// How long one that serves may take to listen on whatever else connections wait at, at least.
pub(super) const SETTLING: Duration = Duration::from_secs(1);

/// Never more generations than this live at once.
pub(super) const GENERATIONS_LIMIT: usize = 3;

/// The settings that decide.
#[derive(Debug, Clone)]
pub struct Limits {
    /// From the stop request to SIGKILL; `None` = never.
    pub stop_timeout: Option<Duration>,
    /// After a stop request: not ready, still accepting.
    pub drain_delay: Duration,
    /// Longest wait for connections before the stop signal; `None` = as long as it takes.
    pub drain_timeout: Option<Duration>,
    /// From the moment a generation is replaced to SIGKILL; `None` = as long as it takes.
    pub retire_timeout: Option<Duration>,
    /// Longest wait for the connections of a replaced generation before its stop signal; `None` = as long as it takes.
    pub retire_drain_timeout: Option<Duration>,
    /// How long a replacing generation may take to become ready; `None` = for ever.
    pub ready_timeout: Option<Duration>,
    /// The time after ready in which a crash still rolls back.
    pub probation: Duration,
    /// Has a generation that listens on nothing proved itself, where its predecessor did not listen either, when it has
    /// outlived its probation?
    pub survival_proves: bool,
    /// Whether the new generation starts before the old one is stopped.
    pub mode: Mode,
    /// When to start the program again after it ended by itself.
    pub policy: Policy,
    /// The first wait before such a start.
    pub restart_delay: Duration,
    /// The longest wait before such a start.
    pub restart_max_delay: Duration,
    /// Such starts in a row before giving up; `None` = never give up.
    pub restart_limit: Option<u32>,
    /// Up-time that resets the count, and after which connections wait nowhere for what it does not listen on.
    pub stable_delay: Duration,
    /// Is there a command before each generation?
    pub pre_start: bool,
    /// Is there a command after the last?
    pub post_stop: bool,
    /// Exit codes reported as 0.
    pub success_codes: Vec<u8>,
    /// Is dying of the stop signal, when a stop was asked for, reported as 0? Then this is that signal.
    pub success_signal: Option<i32>,
}

/// `SEGUE_RESTART_MODE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// New one first.
    Overlap,
    /// Old one first.
    StopFirst,
}

/// `SEGUE_RESTART`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// Segue ends with the program.
    Never,
    /// Again, unless it ended well.
    OnFailure,
    /// Again.
    Always,
}

impl Limits {
    /// Does this ending count as success?
    #[must_use]
    pub fn is_success(&self, ending: Ending) -> bool {
        ending.code() == 0 || self.success_codes.contains(&ending.code())
    }

    /// The wait before the start that follows the given number of failures in a row (at least one).
    #[must_use]
    pub fn back_off(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        self.restart_delay
            .saturating_mul(1 << doublings)
            .min(self.restart_max_delay)
    }
}
