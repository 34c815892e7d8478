//! WATCHES requests and responses go by, from the service's call to the end of the response's body, and tells. It changes
//! nothing but the one field that says that the connection ends.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use hyper::{
    Method, Request, Response, StatusCode, Version,
    body::{Body, Frame, Incoming, SizeHint},
    header::{CONNECTION, HeaderValue},
};
use pin_project_lite::pin_project;

use super::{answers::Answers, life::Life, state::Event};

/// A request that is being answered, until this is dropped.
#[derive(Debug)]
struct Answering(Arc<Life>);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.tell(Event::Written);
    }
}

/// Asks whoever answers, and tells.
pub(super) fn answer<A: Answers>(life: &Arc<Life>, answers: &A, request: Request<Incoming>) -> Answered<A::Future> {
    life.begin();
    let answering = Answering(Arc::clone(life));
    let (version, connects) = (request.version(), request.method() == Method::CONNECT);
    let response = (!life.is_ambiguous()).then(|| answers.answer(life, request));
    Answered {
        response,
        answering: Some(answering),
        version,
        connects,
    }
}

pin_project! {
    /// The service's answer, of which something is told. (Written by hand, because an async block would hold the service's future
    /// twice, and it is moved for each request.)
    pub(super) struct Answered<F> {
        // None is a refusal.
        #[pin]
        response: Option<F>,
        answering: Option<Answering>,
        version: Version,
        connects: bool,
    }
}

impl<F, B, E> Future for Answered<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<Answer<B>>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let it = self.project();
        let mut response = match it.response.as_pin_mut() {
            Some(response) => ready!(response.poll(context))?.map(Some),
            None => refusal(),
        };
        if let Some(Answering(life)) = &it.answering {
            let status = response.status();
            let multiplexed = *it.version >= Version::HTTP_2;
            let upgraded = status == StatusCode::SWITCHING_PROTOCOLS || *it.connects && status.is_success();
            if upgraded && !multiplexed {
                life.tell(Event::Upgraded);
            } else if life.is_draining() && !life.has_more() && !multiplexed {
                let headers = response.headers_mut();
                headers.insert(CONNECTION, HeaderValue::from_static("close"));
            }
        }
        let answering = it.answering.take();
        Poll::Ready(Ok(response.map(|body| Answer {
            body,
            _answering: answering,
        })))
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
        _answering: Option<Answering>,
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
