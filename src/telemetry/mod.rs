//! LOGS: one line per event to stderr, and the last reason to the termination log. Never waits for either.

pub mod log;
mod spanless;
pub mod stderr;
pub mod termination;
