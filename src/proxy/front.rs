//! SERVES the public addresses with the library's server, and forwards what comes. It knows no setting and no generation.

use std::{future::Future, sync::OnceLock, time::Duration};

use hyper::{Request, body::Incoming, service::service_fn};

use super::{Proxy, exchange::forward, origin::Origin};
use crate::serve::{Connection, Listener, Report, Server};

/// A request's head may be so large, in bytes: more than programs take, whose refusal is a better one than ours. (Of its fields
/// it is the 100 that the server takes by itself, as Envoy and HAProxy do: more would cost each request an allocation.)
const MAX_HEAD: usize = 128 * 1024;
/// A response may take long to be taken, for it may be large and the client far away; but not for ever.
const RESPONSE: Duration = Duration::from_secs(24 * 60 * 60);
/// How much is open is for the machine to decide, which has a deadline of its own.
const NEVER: Duration = Duration::MAX;

/// A server with the limits of a proxy.
pub fn server() -> Server {
    Server::new()
        .max_header_bytes(MAX_HEAD)
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
        // Each connection has a clone of the service, and so an origin of its own.
        let origin = OnceLock::new();
        let service = service_fn(move |request: Request<Incoming>| {
            let origin = origin.get_or_init(|| {
                let peer = request.extensions().get::<Connection>().and_then(Connection::peer);
                Origin::new(peer.map(|it| it.ip()))
            });
            forward(proxy.clone(), request, origin)
        });
        server.serve(listeners, service, shutdown).await
    }
}
