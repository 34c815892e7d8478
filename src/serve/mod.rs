//! SERVES HTTP/1.1 with any hyper service, on any number of listeners, within limits that nobody outside can exceed. It
//! knows the state of each connection; it never waits for a client longer than a limit says, and never reads a request's
//! body by itself.

mod accept;
mod connection;
mod exchange;
mod state;
mod stream;
mod table;

use std::{convert::Infallible, error::Error, sync::Arc, time::Duration};

use hyper::{
    Request, Response,
    body::{Body, Incoming},
    service::Service,
};
use tokio::{net::TcpListener, sync::Notify, task::JoinSet};

use self::{accept::Acceptor, state::Progress, table::Table};

/// What clients may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at a time. One more takes the place of the oldest that no request is answered on; if there is none, it
    /// waits to be accepted.
    pub max_connections: usize,
    /// From the connection, or from the first byte of a later request, to the end of the request's head.
    pub header_timeout: Duration,
    /// Between two requests.
    pub idle_timeout: Duration,
    /// From the moment at which a client does not take a response as fast as it comes until it has taken all of it.
    pub response_timeout: Duration,
    /// A request's head, in bytes; at least [`SMALLEST_HEAD`].
    pub max_header_bytes: usize,
    /// A request's header fields.
    pub max_headers: usize,
}

/// hyper's buffer cannot be smaller.
pub const SMALLEST_HEAD: usize = 8192;

/// Serves for ever. Needs a tokio runtime with time and I/O; dropped, it closes every connection.
pub async fn serve<S, B>(listeners: Vec<TcpListener>, limits: Limits, service: S) -> Infallible
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let mut acceptor = Acceptor::new(listeners);
    let mut table = Table::new(limits.max_connections);
    let mut tasks = JoinSet::new();
    let turned = Arc::new(Notify::new());
    loop {
        let room = table.has_room(tasks.len());
        tokio::select! {
            biased;
            // Before anybody is accepted: whether there is room may have changed.
            () = turned.notified() => {}
            Some(ended) = tasks.join_next_with_id() => {
                let task = match ended {
                    Ok((task, ())) => task,
                    Err(error) => {
                        if error.is_panic() {
                            tracing::error!(%error, "serving a connection failed");
                        }
                        error.id()
                    }
                };
                table.closed(task);
                acceptor.resume();
            }
            accepted = acceptor.accept(), if room => match accepted {
                Ok((stream, client)) => {
                    let evicted = table.make_room();
                    let (progress, state) = Progress::new();
                    let turned = Arc::clone(&turned);
                    let task = tasks.spawn(connection::serve(stream, service.clone(), limits, progress, turned));
                    let id = table.opened(task, state);
                    tracing::trace!(id, %client, ?evicted, "accepted a connection");
                }
                // Most likely no file is left: one of somebody silent will do.
                Err(error) => {
                    let evicted = table.evict();
                    tracing::debug!(%error, ?evicted, "cannot accept a connection");
                }
            },
        }
    }
}
