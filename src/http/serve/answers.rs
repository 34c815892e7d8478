//! TAKES whatever answers the requests of connections for one kind of thing: a hyper service, which finds its connection among
//! the request's extensions, or an endpoint, which is told of its client and spared the extensions. It looks into no request.

use std::{error::Error, sync::Arc};

use hyper::{
    Request, Response,
    body::{Body, Incoming},
    service::Service,
};

use super::life::{Connection, Life};

/// What an error has to be.
pub(super) type AnyError = Box<dyn Error + Send + Sync>;

/// Answers the requests of one connection; each has a clone.
pub(super) trait Answers: Clone + Send + 'static {
    /// Of a response.
    type Body: Body<Data: Send, Error: Into<AnyError>> + Send + 'static;
    /// Why there is no response.
    type Error: Into<AnyError>;
    /// Resolves to the response.
    type Future: Future<Output = Result<Response<Self::Body>, Self::Error>> + Send + 'static;

    /// Answers a request.
    fn answer(&self, life: &Arc<Life>, request: Request<Incoming>) -> Self::Future;
}

/// A service, whose requests tell it of their connection.
#[derive(Debug, Clone)]
pub(super) struct Told<S>(pub(super) S);

impl<S, B> Answers for Told<S>
where
    S: Service<Request<Incoming>, Response = Response<B>, Future: Send + 'static, Error: Into<AnyError>>
        + Clone
        + Send
        + 'static,
    B: Body<Data: Send, Error: Into<AnyError>> + Send + 'static,
{
    type Body = B;
    type Error = S::Error;
    type Future = S::Future;

    fn answer(&self, life: &Arc<Life>, mut request: Request<Incoming>) -> S::Future {
        request.extensions_mut().insert(Connection(Arc::clone(life)));
        self.0.call(request)
    }
}
