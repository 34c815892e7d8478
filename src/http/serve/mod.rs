//! Serves HTTP with any hyper service, and stops without failing a request.
//!
//! A server has to end while clients talk to it: another generation has taken its place, or its machine is emptied. Closing
//! idle connections at that moment fails requests that are already on their way, since a client cannot know. This server
//! tracks what each connection is at, and ends like this:
//!
//! 1. It goes on accepting for [`Server::lame_duck`], then takes what the kernel has queued and closes the listeners, so that
//!    whoever shares them (the next generation) gets everything else.
//! 2. Each response says `Connection: close`, the last of pipelined ones only; to a client of HTTP/2 it says GOAWAY without
//!    taking back any stream, and much later a second time, with the last stream that it has answered.
//! 3. A connection that stays idle for [`Server::idle_min`] is closed, each at a moment of its own within
//!    [`Server::idle_spread`], unless there is something to be read. It is shut down first and read from for a moment, so that
//!    the last response is not lost to a reset. One on which nothing has come yet has more time: who connects has something
//!    to say.
//! 4. Upgraded connections are told ([`Connection::draining`]) and waited for.
//! 5. At [`Server::drain_deadline`] what is left is cut, and the [`Report`] tells what that was.
//!
//! ```
//! # extern crate segue_http as segue;
//! use std::{convert::Infallible, error::Error, time::Duration};
//!
//! use hyper::{Request, Response, body::Incoming, service::service_fn};
//! use segue::serve::{Listener, Server};
//! use tokio::net::TcpListener;
//!
//! async fn hello(request: Request<Incoming>) -> Result<Response<String>, Infallible> {
//!     Ok(Response::new(format!("hello, {}\n", request.uri().path())))
//! }
//!
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() -> Result<(), Box<dyn Error>> {
//!     // The sockets that segue or systemd has bound, else one of our own.
//!     let mut listeners = Listener::passed()?;
//!     if listeners.is_empty() {
//!         listeners.push(TcpListener::bind("127.0.0.1:0").await?.into());
//!     }
//!     // A program would wait for SIGTERM: `tokio::signal::unix::signal(SignalKind::terminate())?.recv()`.
//!     let shutdown = async { tokio::time::sleep(Duration::from_millis(10)).await };
//!
//!     let server = Server::new().max_connections(1_000).notify();
//!     let connections = server.connections();
//!     let report = server.serve(listeners, service_fn(hello), shutdown).await;
//!     println!("{report}");
//!     assert_eq!((report.cut.all(), connections.counts().open()), (0, 0));
//!     Ok(())
//! }
//! ```
//!
//! Nothing here ends the process, handles a signal, or changes the environment; it needs a tokio runtime with time and I/O, of
//! any flavour. For `axum`, `TowerToHyperService` of hyper-util makes a router such a service (`examples/axum.rs`).
//!
//! What it cannot do: a client that sends a request in the very moment in which its idle connection is closed, after all
//! the time that it had, has to send it again, as it always has to (RFC 9112 §9.3.1); and where the listener is shared with
//! nobody, who connects between the last look at the queue and its closing is reset.

// Not `deny(missing_docs)` by inheritance only: this is read by strangers.
#![deny(missing_docs)]

mod accept;
mod answers;
mod clock;
mod connection;
mod connections;
#[cfg(feature = "proxy")]
#[doc(hidden)]
pub mod endpoint;
mod exchange;
pub(crate) mod gather;
mod goaway;
mod heads;
mod hub;
mod life;
mod limits;
mod listener;
mod patience;
mod report;
mod server;
mod state;
mod stream;
mod table;
mod version;

use std::{error::Error, future::Future};

use hyper::{
    Request, Response,
    body::{Body, Incoming},
    service::Service,
};

pub use self::{
    connections::Connections,
    hub::Counts,
    life::{Connection, Open},
    listener::{Listener, PassedError},
    report::{Cut, Report},
    server::Server,
    state::State,
};

/// Serves within the default limits until `shutdown` resolves and all connections have ended: [`Server::serve`].
pub async fn serve<L, S, B>(listeners: L, service: S, shutdown: impl Future<Output = ()>) -> Report
where
    L: IntoIterator,
    L::Item: Into<Listener>,
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    Server::new().serve(listeners, service, shutdown).await
}

#[cfg(test)]
mod tests;
