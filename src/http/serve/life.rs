//! REMEMBERS what one connection is at. Whoever sees something of it tells here: its stream, its requests, its task. Holds
//! no lock and waits for nobody.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed},
    },
};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{
    heads::Seen,
    hub::Hub,
    state::{Event, Progress, Stage, State},
};

/// One connection, as long as anybody has to do with it.
#[derive(Debug)]
pub(super) struct Life {
    pub(super) id: u64,
    pub(super) peer: Option<SocketAddr>,
    pub(super) hub: Arc<Hub>,
    progress: AtomicU64,
    /// Requests whose heads have come and that have not begun.
    ahead: AtomicU32,
    /// Has a part of another head come?
    part: AtomicBool,
    /// Has one come that can be read in two ways?
    ambiguous: AtomicBool,
    /// Somebody else than its own task has told something: a request of HTTP/2, or whoever took it.
    pub(super) told: Notify,
}

impl Life {
    pub(super) fn new(hub: &Arc<Hub>, peer: Option<SocketAddr>) -> Arc<Life> {
        Arc::new(Life {
            id: hub.opened(),
            peer,
            hub: Arc::clone(hub),
            progress: AtomicU64::new(Progress::NEW.pack()),
            ahead: AtomicU32::new(0),
            part: AtomicBool::new(false),
            ambiguous: AtomicBool::new(false),
            told: Notify::new(),
        })
    }

    pub(super) fn progress(&self) -> Progress {
        Progress::unpack(self.progress.load(Relaxed))
    }

    /// Tells what happened.
    pub(super) fn tell(&self, event: Event) {
        let step = |now| {
            let after = Progress::unpack(now).after(event).pack();
            (after != now).then_some(after)
        };
        let Ok(before) = self.progress.fetch_update(Relaxed, Relaxed, step) else {
            return;
        };
        let before = Progress::unpack(before);
        let after = before.after(event);
        if before.stage.state() != after.stage.state() {
            self.hub.moved(before.stage.state(), after.stage.state());
        }
        if before.stage.is_evictable() != after.stage.is_evictable() && self.hub.full.load(Relaxed) {
            self.hub.turned.notify_one();
        }
        if after.multiplexed && event == Event::Written || event == Event::Closed {
            self.told.notify_one();
        }
    }

    /// Heads have come.
    pub(super) fn seen(&self, seen: Seen) {
        if seen.heads > 0 {
            self.ahead.fetch_add(seen.heads, Relaxed);
        }
        self.part.store(seen.part, Relaxed);
        if seen.ambiguous {
            self.ambiguous.store(true, Relaxed);
        }
    }

    /// A request begins, the first of those whose heads have come.
    pub(super) fn begin(&self) {
        self.hub.begun();
        let less = |ahead: u32| ahead.checked_sub(1);
        // None is known where the heads are not read: HTTP/2, and what follows a body of unknown length.
        self.ahead.fetch_update(Relaxed, Relaxed, less).ok();
        self.tell(Event::Begun);
    }

    /// Has a part of another head come?
    pub(super) fn has_part(&self) -> bool {
        self.part.load(Relaxed)
    }

    /// Have more requests come, or part of one?
    pub(super) fn has_more(&self) -> bool {
        self.ahead.load(Relaxed) > 0 || self.has_part()
    }

    /// May its requests be read in two ways?
    pub(super) fn is_ambiguous(&self) -> bool {
        self.ambiguous.load(Relaxed)
    }

    pub(super) fn is_draining(&self) -> bool {
        self.hub.draining.is_cancelled()
    }
}

/// The connection that a request came on: in the request's extensions.
#[derive(Debug, Clone)]
pub struct Connection(pub(super) Arc<Life>);

impl Connection {
    /// Its number: counted from 1, in the order in which the server accepts.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.0.id
    }

    /// Where the client is; `None` on a unix socket.
    #[must_use]
    pub fn peer(&self) -> Option<SocketAddr> {
        self.0.peer
    }

    /// What it is at.
    #[must_use]
    pub fn state(&self) -> State {
        self.0.progress().stage.state()
    }

    /// Cancelled when the server begins to drain. Whoever takes an upgraded connection should then say good-bye in its
    /// protocol and close it: the server waits for that, up to the drain's deadline.
    #[must_use]
    pub fn draining(&self) -> CancellationToken {
        self.0.hub.draining.clone()
    }
}

/// A connection in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Open {
    /// Its number.
    pub id: u64,
    /// Where the client is; `None` on a unix socket.
    pub peer: Option<SocketAddr>,
    /// What it is at.
    pub state: State,
}

impl Life {
    pub(super) fn open(&self) -> Open {
        Open {
            id: self.id,
            peer: self.peer,
            state: self.progress().stage.state(),
        }
    }

    pub(super) fn stage(&self) -> Stage {
        self.progress().stage
    }
}
