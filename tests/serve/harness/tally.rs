//! Counts what came of requests: each kind of failure for itself.

use std::{
    fmt, io,
    sync::{Arc, Mutex},
};

/// How a request fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// No connection was to be had.
    Refused,
    /// The connection was reset.
    Reset,
    /// It was closed before a byte of the answer, and had answered before.
    ClosedReused,
    /// It was closed before a byte of the answer, and this was its first request.
    ClosedFresh,
    /// The answer broke off.
    Truncated,
    /// An answer, but not the one that there should be.
    BadStatus,
    /// No answer within the time.
    TimedOut,
    /// Anything else.
    Unexpected,
}

impl Failure {
    pub const ALL: [Failure; 8] = [
        Failure::Refused,
        Failure::Reset,
        Failure::ClosedReused,
        Failure::ClosedFresh,
        Failure::Truncated,
        Failure::BadStatus,
        Failure::TimedOut,
        Failure::Unexpected,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Failure::Refused => "refused",
            Failure::Reset => "reset",
            Failure::ClosedReused => "closed, reused",
            Failure::ClosedFresh => "closed, fresh",
            Failure::Truncated => "truncated",
            Failure::BadStatus => "bad status",
            Failure::TimedOut => "timed out",
            Failure::Unexpected => "unexpected",
        }
    }

    /// With what was seen of it.
    pub fn because(self, seen: impl fmt::Display) -> Failed {
        Failed(self, seen.to_string())
    }
}

/// A failure, and what was seen of it.
#[derive(Debug)]
pub struct Failed(pub Failure, pub String);

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Failed {
        let failure = match error.kind() {
            io::ErrorKind::ConnectionRefused => Failure::Refused,
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionAborted => {
                Failure::Reset
            }
            io::ErrorKind::TimedOut => Failure::TimedOut,
            io::ErrorKind::UnexpectedEof => Failure::Truncated,
            _ => Failure::Unexpected,
        };
        failure.because(error)
    }
}

/// So many of each.
#[derive(Debug, Default, Clone)]
pub struct Counts {
    pub answered: u64,
    /// The client was told that they are not taken, before or instead of an answer, so that it may send them elsewhere:
    /// HTTP/2 that were never sent, pipelined ones behind an answer with `Connection: close`. They are no failures.
    pub handed_back: u64,
    failed: [u64; 8],
    /// What was seen of the first ones.
    pub seen: Vec<String>,
}

impl Counts {
    pub fn failed(&self) -> u64 {
        self.failed.iter().sum()
    }

    pub fn of(&self, failure: Failure) -> u64 {
        self.failed[failure as usize]
    }

    pub fn add(&mut self, more: &Counts) {
        self.answered += more.answered;
        self.handed_back += more.handed_back;
        for (own, more) in self.failed.iter_mut().zip(more.failed) {
            *own += more;
        }
        self.seen.extend(more.seen.iter().cloned());
        self.seen.truncate(SEEN);
    }
}

/// So many failures are told in words.
const SEEN: usize = 8;

/// Counts that many clients share.
#[derive(Debug, Default, Clone)]
pub struct Tally(Arc<Mutex<Counts>>);

impl Tally {
    pub fn answered(&self, count: u64) {
        self.0.lock().unwrap().answered += count;
    }

    pub fn handed_back(&self, count: u64) {
        self.0.lock().unwrap().handed_back += count;
    }

    /// So many requests failed for this one reason.
    pub fn failed(&self, Failed(failure, seen): Failed, count: u64) {
        let mut counts = self.0.lock().unwrap();
        counts.failed[failure as usize] += count;
        if counts.seen.len() < SEEN {
            counts.seen.push(format!("{}: {seen}", failure.name()));
        }
    }

    /// One request, and what came of it.
    pub fn count<T>(&self, outcome: Result<T, Failed>) -> Option<T> {
        match outcome {
            Ok(value) => {
                self.answered(1);
                Some(value)
            }
            Err(failed) => {
                self.failed(failed, 1);
                None
            }
        }
    }

    pub fn counts(&self) -> Counts {
        self.0.lock().unwrap().clone()
    }
}
