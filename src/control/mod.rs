//! TALKS to people and clusters: the control socket and its client, the read-only HTTP endpoint, metrics. Whatever is asked
//! goes to the loop as a [`Question`]; nothing here decides, and over TCP nothing can be changed.

pub mod admin;
pub mod client;
pub mod health;
pub mod metrics;
mod page;
pub mod place;
pub mod protocol;
#[cfg(test)]
pub(crate) mod sample;
pub mod search;
pub mod server;
pub mod status;

use std::sync::Arc;

use tokio::sync::oneshot;

use self::{
    protocol::{Answer, Command},
    status::Status,
};

/// What a task of this folder wants of the loop. Whoever asked may be gone by the time that it is answered.
#[derive(Debug)]
pub enum Question {
    /// From the control socket.
    Command {
        /// What is wanted.
        command: Command,
        /// Where the answer goes.
        answer: oneshot::Sender<Answer>,
        /// Held as long as the client is connected.
        client: Arc<()>,
    },
    /// How things are, for anybody: without the program's arguments.
    Status {
        /// With the numbers of connections?
        connections: bool,
        /// Where the answer goes.
        answer: oneshot::Sender<Box<Status>>,
    },
    /// All metrics, as OpenMetrics text.
    Metrics {
        /// Where the answer goes.
        answer: oneshot::Sender<String>,
    },
}
