//! SERVES the public addresses with the library's server, and forwards what comes. It knows no setting and no generation.

use std::{convert::Infallible, future::Future, time::Duration};

use hyper::service::service_fn;

use super::{Proxy, exchange::forward};
use crate::serve::{Connection, Listener, Report, Server};

/// A request's head may be so large, in bytes: more than programs take, whose refusal is a better one than ours.
const MAX_HEAD: usize = 128 * 1024;
/// The same for its fields.
const MAX_FIELDS: usize = 256;
/// A response may take long to be taken, for it may be large and the client far away; but not for ever.
const RESPONSE: Duration = Duration::from_secs(24 * 60 * 60);
/// How much is open is for the machine to decide, which has a deadline of its own.
const NEVER: Duration = Duration::MAX;

/// A server with the limits of a proxy.
pub fn server() -> Server {
    Server::new()
        .max_header_bytes(MAX_HEAD)
        .max_headers(MAX_FIELDS)
        .response_timeout(RESPONSE)
        .drain_deadline(NEVER)
}

impl Proxy {
    /// Serves until the shutdown, and then until all clients are let go.
    pub async fn serve(
        &self,
        server: Server,
        listeners: impl IntoIterator<Item = Listener>,
        shutdown: impl Future<Output = ()>,
    ) -> Report {
        let proxy = self.clone();
        let service = service_fn(move |request: hyper::Request<_>| {
            let proxy = proxy.clone();
            async move {
                let client = request.extensions().get::<Connection>().and_then(Connection::peer);
                Ok::<_, Infallible>(forward(&proxy, request, client.map(|it| it.ip())).await)
            }
        });
        server.serve(listeners, service, shutdown).await
    }
}
