//! SERVES the public addresses with the library's server, and forwards what comes. It knows no setting and no generation.

use std::{cell::OnceCell, net::SocketAddr, time::Duration};

use hyper::{Request, body::Incoming};
use tokio_util::sync::CancellationToken;

use super::{Proxy, exchange::forward, origin::Origin};
use crate::serve::{
    Listener, Report, Server,
    endpoint::{Answer, Endpoint},
};

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
    pub fn serve(
        &self,
        server: Server,
        listeners: Vec<Listener>,
        shutdown: CancellationToken,
    ) -> impl Future<Output = Report> + Send + use<> {
        server.serve_endpoint(listeners, self.for_a_client(), shutdown)
    }

    fn for_a_client(&self) -> Box<dyn Endpoint> {
        Box::new(Forwards {
            proxy: self.clone(),
            client: OnceCell::new(),
        })
    }
}

/// Forwards the requests of one client.
struct Forwards {
    proxy: Proxy,
    /// Found out at its first request.
    client: OnceCell<Origin>,
}

impl Endpoint for Forwards {
    fn answer(&self, client: Option<SocketAddr>, request: Request<Incoming>) -> Answer {
        let client = self.client.get_or_init(|| Origin::new(client.map(|it| it.ip())));
        forward(self.proxy.clone(), request, client)
    }

    fn again(&self) -> Box<dyn Endpoint> {
        self.proxy.for_a_client()
    }
}
