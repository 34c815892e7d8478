//! What came of the requests, by kind.

use std::{io, time::Duration};

/// Why a request failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    Refused,
    Reset,
    /// The connection ended before a byte of the answer.
    Closed,
    /// It ended within the answer.
    Truncated,
    TimedOut,
    Wrong(String),
    Other(String),
}

impl Failure {
    /// What an error of a socket means, where nothing of the answer had come, or some of it.
    pub fn of(error: &io::Error, begun: bool) -> Failure {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Failure::Refused,
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionAborted => {
                Failure::Reset
            }
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Failure::TimedOut,
            io::ErrorKind::UnexpectedEof if begun => Failure::Truncated,
            io::ErrorKind::UnexpectedEof => Failure::Closed,
            _ => Failure::Other(error.to_string()),
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Failure::Refused => "refused",
            Failure::Reset => "reset",
            Failure::Closed => "closed without an answer",
            Failure::Truncated => "truncated",
            Failure::TimedOut => "timed out",
            Failure::Wrong(_) => "wrong answer",
            Failure::Other(_) => "other",
        }
    }
}

/// The requests of one client, or of all.
#[derive(Debug, Default, Clone)]
pub struct Tally {
    /// Over a connection of its own each.
    pub fresh: u64,
    /// Over kept connections.
    pub kept: u64,
    /// Kept connections that the server closed between two requests; each was asked once more over a fresh one.
    pub closed_between: u64,
    /// The longest time that an answer took.
    pub longest: Duration,
    pub failures: Vec<(Duration, Failure)>,
}

impl Tally {
    pub fn requests(&self) -> u64 {
        self.fresh + self.kept
    }

    pub fn add(&mut self, more: Tally) {
        self.fresh += more.fresh;
        self.kept += more.kept;
        self.closed_between += more.closed_between;
        self.longest = self.longest.max(more.longest);
        self.failures.extend(more.failures);
    }

    /// How many failed of each kind.
    pub fn kinds(&self) -> std::collections::BTreeMap<&'static str, usize> {
        let mut kinds = std::collections::BTreeMap::new();
        for (_, failure) in &self.failures {
            *kinds.entry(failure.kind()).or_default() += 1;
        }
        kinds
    }

    /// The first failures, each with its time since the load began.
    pub fn samples(&self) -> String {
        let mut first: Vec<_> = self.failures.iter().collect();
        first.sort_by_key(|(at, _)| *at);
        let lines = first
            .iter()
            .take(5)
            .map(|(at, failure)| format!("  at {at:.2?}: {failure:?}\n"));
        lines.collect()
    }
}
