//! FORWARDS HTTP requests to whichever generation serves. New ones go to the serving generation, or wait for one; those under way
//! finish on theirs. It listens nowhere, and decides about no generation.

mod exchange;
pub mod fields;
mod front;
mod link;
mod load;
mod origin;
pub mod refusal;
mod response_body;
mod route;
#[cfg(test)]
mod tests;
mod tunnel;
mod upstream;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use self::route::Route;
pub use self::{front::server, load::Load};
pub use crate::serve::{Connections, Listener};

/// The proxy; a clone is the same one. Needs a tokio runtime with time and I/O.
#[derive(Debug, Clone)]
pub struct Proxy {
    route: Route,
    waiting: Arc<AtomicUsize>,
    patience: Option<Duration>,
}

impl Proxy {
    /// Requests wait so long for somebody who serves; `None` is for ever.
    #[must_use]
    pub fn new(patience: Option<Duration>) -> Proxy {
        Proxy {
            route: Route::new(),
            waiting: Arc::default(),
            patience,
        }
    }

    /// New requests go to this generation, whose program listens on this port of the loopback.
    pub fn steer(&self, generation: u64, port: u16) {
        self.route.steer(generation, port);
    }

    /// New requests wait.
    pub fn hold(&self) {
        self.route.hold(None);
    }

    /// This generation has ended: requests that would go to it wait for the next one.
    pub fn ended(&self, generation: u64) {
        self.route.hold(Some(generation));
    }

    /// No request goes to this generation any more: its idle connections are closed.
    pub fn rest(&self, generation: u64) {
        if let Some(upstream) = self.route.get(generation) {
            upstream.close();
        }
    }

    /// Nobody will serve any more: requests wait no longer.
    pub fn give_up(&self) {
        self.route.give_up();
    }

    /// Does anybody serve?
    #[must_use]
    pub fn is_served(&self) -> bool {
        self.route.serving().is_some()
    }

    /// Forgets the generation.
    pub fn release(&self, generation: u64) {
        self.route.release(generation);
    }

    /// What the generation is at.
    #[must_use]
    pub fn load(&self, generation: u64) -> Load {
        let upstream = self.route.get(generation);
        upstream.map(|it| it.counts.load()).unwrap_or_default()
    }

    /// Requests that wait for somebody who serves.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.load(Relaxed)
    }
}
