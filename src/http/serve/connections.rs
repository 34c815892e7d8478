//! SHOWS a server's connections to the rest of the program: how many are in which state, and each of them. Changes none.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::{
    hub::{Counts, Hub},
    life::Open,
};

/// The connections of one server; as many of these as anybody wants. Made by
/// [`Server::connections`](super::Server::connections).
#[derive(Debug, Clone)]
pub struct Connections {
    hub: Arc<Hub>,
    asking: mpsc::UnboundedSender<oneshot::Sender<Vec<Open>>>,
}

impl Connections {
    pub(super) fn new(hub: Arc<Hub>, asking: mpsc::UnboundedSender<oneshot::Sender<Vec<Open>>>) -> Connections {
        Connections { hub, asking }
    }

    /// How many are in which state, now.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.hub.counts()
    }

    /// Waits until the numbers are as wanted.
    ///
    /// ```
    /// # extern crate segue_http as segue;
    /// # async fn quiet(connections: segue::serve::Connections) {
    /// connections.wait_for(|counts| counts.active == 0).await;
    /// # }
    /// ```
    pub async fn wait_for(&self, wanted: impl Fn(Counts) -> bool) -> Counts {
        loop {
            let changed = self.hub.changed.notified();
            let counts = self.hub.counts();
            if wanted(counts) {
                return counts;
            }
            changed.await;
        }
    }

    /// Are the listeners closed? Then every connection that there will be is among the counts, or was.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.hub.closed.is_cancelled()
    }

    /// Waits until the server begins to drain.
    pub async fn draining(&self) {
        self.hub.draining.cancelled().await;
    }

    /// Each of them, in the order in which they came; none after the server has ended. Before it serves, this waits.
    pub async fn list(&self) -> Vec<Open> {
        let (asks, answer) = oneshot::channel();
        if self.asking.send(asks).is_err() {
            return Vec::new();
        }
        answer.await.unwrap_or_default()
    }
}
