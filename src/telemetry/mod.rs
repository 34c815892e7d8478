//! LOGS: one line per event to stderr, and the last reason to the termination log. Never waits for either.

pub mod log;
pub mod stderr;
pub mod termination;
