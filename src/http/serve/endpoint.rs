//! SERVES what segue itself answers. All of it is of one known type, so that the server is there once in the binary, and compiled
//! here, for speed. It answers nothing by itself, and looks into no request.

use std::{convert::Infallible, net::SocketAddr, pin::Pin, sync::Arc};

use http_body_util::combinators::UnsyncBoxBody;
use hyper::{
    Request, Response,
    body::{Bytes, Incoming},
};
use tokio_util::sync::CancellationToken;

use super::{Listener, Report, Server, answers::Answers, life::Life};

/// Of a response.
pub type Body = UnsyncBoxBody<Bytes, hyper::Error>;

/// Resolves to a response.
pub type Answer = Pin<Box<dyn Future<Output = Response<Body>> + Send>>;

/// Answers the requests of one connection.
pub trait Endpoint: Send {
    /// Answers a request of this client; one of a unix socket has no address.
    fn answer(&self, client: Option<SocketAddr>, request: Request<Incoming>) -> Answer;

    /// Another one, for another connection.
    fn again(&self) -> Box<dyn Endpoint>;
}

struct Each(Box<dyn Endpoint>);

impl Clone for Each {
    fn clone(&self) -> Each {
        Each(self.0.again())
    }
}

impl Answers for Each {
    type Body = Body;
    type Error = Infallible;
    type Future = Infallibly;

    fn answer(&self, life: &Arc<Life>, request: Request<Incoming>) -> Infallibly {
        Infallibly(self.0.answer(life.peer, request))
    }
}

/// What hyper wants, which knows of services that fail.
struct Infallibly(Answer);

impl Future for Infallibly {
    type Output = Result<Response<Body>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, context: &mut std::task::Context<'_>) -> std::task::Poll<Self::Output> {
        self.0.as_mut().poll(context).map(Ok)
    }
}

impl Server {
    /// Serves until the shutdown resolves and everything is drained, as [`Server::serve`] does. (Boxed, or it would be compiled where
    /// it is waited for.)
    #[doc(hidden)]
    pub fn serve_endpoint(
        self,
        listeners: Vec<Listener>,
        endpoint: Box<dyn Endpoint>,
        shutdown: CancellationToken,
    ) -> Pin<Box<dyn Future<Output = Report> + Send>> {
        Box::pin(self.serve_with(listeners, Each(endpoint), shutdown.cancelled_owned()))
    }
}
