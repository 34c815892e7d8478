//! WATCHES requests and responses go by, from the service's call to the end of the response's body, and tells. It changes
//! nothing but the one field that says that the connection ends.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use hyper::{
    Method, Request, Response, StatusCode, Version,
    body::{Body, Frame, Incoming, SizeHint},
    header::{CONNECTION, HeaderValue},
    service::Service,
};
use pin_project_lite::pin_project;

use super::{
    life::{Connection, Life},
    state::Event,
};

/// A request that is being answered, until this is dropped.
#[derive(Debug)]
struct Answering(Arc<Life>);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.tell(Event::Written);
    }
}

/// Asks the service, and tells.
pub(super) fn answer<S, B>(
    life: &Arc<Life>,
    service: &S,
    mut request: Request<Incoming>,
) -> impl Future<Output = Result<Response<Answer<B>>, S::Error>> + use<S, B>
where
    S: Service<Request<Incoming>, Response = Response<B>>,
{
    life.begin();
    let answering = Answering(Arc::clone(life));
    let (version, connects) = (request.version(), request.method() == Method::CONNECT);
    let response = (!life.is_ambiguous()).then(|| {
        request.extensions_mut().insert(Connection(Arc::clone(life)));
        service.call(request)
    });
    async move {
        let mut response = match response {
            Some(response) => response.await?.map(Some),
            None => refusal(),
        };
        let (life, status) = (&answering.0, response.status());
        let multiplexed = version >= Version::HTTP_2;
        let upgraded = status == StatusCode::SWITCHING_PROTOCOLS || connects && status.is_success();
        if upgraded && !multiplexed {
            life.tell(Event::Upgraded);
        } else if life.is_draining() && !life.has_more() && !multiplexed {
            response
                .headers_mut()
                .insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Ok(response.map(|body| Answer { body, answering }))
    }
}

/// RFC 9112 §6.3: a request that tells its length in two ways may be one request to us and two to somebody else.
fn refusal<B>() -> Response<Option<B>> {
    let mut response = Response::new(None);
    *response.status_mut() = StatusCode::BAD_REQUEST;
    response
        .headers_mut()
        .insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

pin_project! {
    /// A response's body, if it has one; hyper drops it when it has all of it.
    #[derive(Debug)]
    pub(super) struct Answer<B> {
        #[pin]
        body: Option<B>,
        answering: Answering,
    }
}

impl<B: Body> Body for Answer<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        match self.project().body.as_pin_mut() {
            Some(body) => body.poll_frame(context),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or(SizeHint::with_exact(0), Body::size_hint)
    }
}
