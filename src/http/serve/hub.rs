//! KEEPS what the connections of one server have in common: how many are in which state, and the word that it is over.
//! Never waits for anybody and holds no lock.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::state::State;

/// How many connections are in which state, and how many there were. The numbers are taken one after the other: while
/// connections change, one may be missing or be there twice.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Nothing has come yet.
    pub new: usize,
    /// A request is being received or answered.
    pub active: usize,
    /// All requests are answered.
    pub idle: usize,
    /// Upgraded, and not closed yet.
    pub hijacked: usize,
    /// Connections accepted since the start.
    pub accepted: u64,
    /// Requests begun since the start.
    pub requests: u64,
}

impl Counts {
    /// All that are open.
    #[must_use]
    pub fn open(&self) -> usize {
        let all = [self.new, self.active, self.idle, self.hijacked];
        all.into_iter().fold(0, usize::saturating_add)
    }
}

/// What all connections share.
#[derive(Debug, Default)]
pub(super) struct Hub {
    new: AtomicUsize,
    active: AtomicUsize,
    idle: AtomicUsize,
    hijacked: AtomicUsize,
    accepted: AtomicU64,
    requests: AtomicU64,
    /// A count has changed.
    pub(super) changed: Notify,
    /// Is there no room for one more?
    pub(super) full: AtomicBool,
    /// While it is full: one may make way for another now, or not any more.
    pub(super) turned: Notify,
    /// The drain has begun.
    pub(super) draining: CancellationToken,
    /// The listeners are closed, and the last connection was counted.
    pub(super) closed: CancellationToken,
    /// The deadline is there.
    pub(super) cut: CancellationToken,
}

impl Hub {
    /// How many there are.
    pub(super) fn counts(&self) -> Counts {
        Counts {
            new: self.new.load(Relaxed),
            active: self.active.load(Relaxed),
            idle: self.idle.load(Relaxed),
            hijacked: self.hijacked.load(Relaxed),
            accepted: self.accepted.load(Relaxed),
            requests: self.requests.load(Relaxed),
        }
    }

    /// One more.
    pub(super) fn opened(&self) -> u64 {
        let id = self.accepted.fetch_add(1, Relaxed).saturating_add(1);
        self.new.fetch_add(1, Relaxed);
        self.changed.notify_waiters();
        id
    }

    /// One has gone from a state to another.
    pub(super) fn moved(&self, from: State, to: State) {
        if let Some(count) = self.count(to) {
            count.fetch_add(1, Relaxed);
        }
        if let Some(count) = self.count(from) {
            count.fetch_sub(1, Relaxed);
        }
        self.changed.notify_waiters();
    }

    /// A request has begun.
    pub(super) fn begun(&self) {
        self.requests.fetch_add(1, Relaxed);
        self.changed.notify_waiters();
    }

    fn count(&self, state: State) -> Option<&AtomicUsize> {
        match state {
            State::New => Some(&self.new),
            State::Active => Some(&self.active),
            State::Idle => Some(&self.idle),
            State::Hijacked => Some(&self.hijacked),
            State::Closed => None,
        }
    }
}
