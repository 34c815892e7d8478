//! TELLS how a server ended. Plain data.

use std::{fmt, time::Duration};

/// How a server ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Connections that it accepted.
    pub accepted: u64,
    /// Requests that it began to answer.
    pub requests: u64,
    /// Connections that were open when the shutdown came, or were accepted after it, and ended by themselves.
    pub drained: usize,
    /// Connections that the deadline cut.
    pub cut: Cut,
    /// From the shutdown to the end.
    pub took: Duration,
}

/// What the deadline cut.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cut {
    /// Nothing had come on these.
    pub new: usize,
    /// A request was being received or answered: it failed.
    pub active: usize,
    /// All requests were answered.
    pub idle: usize,
    /// They were upgraded.
    pub hijacked: usize,
}

impl Cut {
    /// All of them.
    #[must_use]
    pub fn all(&self) -> usize {
        let all = [self.new, self.active, self.idle, self.hijacked];
        all.into_iter().fold(0, usize::saturating_add)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report {
            accepted,
            requests,
            drained,
            cut,
            took,
        } = self;
        write!(
            f,
            "{requests} requests on {accepted} connections; drained {drained} connections in {} ms, cut {} ({} active, {} \
             upgraded)",
            took.as_millis(),
            cut.all(),
            cut.active,
            cut.hijacked
        )
    }
}
