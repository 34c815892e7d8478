//! SERVES one connection: hyper's exchange of requests and responses, and the alarm that ends it when a state lasts too
//! long. It never outlives a limit but while the service itself is at work.

use std::{
    error::Error,
    future::{Future, poll_fn},
    pin::pin,
    sync::Arc,
    task::{Context, Poll},
};

use hyper::{
    Request, Response,
    body::{Body, Incoming},
    server::conn::http1,
    service::{Service, service_fn},
};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpStream,
    sync::Notify,
    time::{Instant, sleep},
};

use super::{
    Limits, SMALLEST_HEAD,
    exchange::{Answer, Answering},
    state::Teller,
    stream::Stream,
};

/// Serves it to its end. `turned` is told when it may make way for another, and when it
/// may not any more.
pub(super) async fn serve<S, B>(stream: TcpStream, service: S, limits: Limits, teller: Teller, turned: Arc<Notify>)
where
    S: Service<Request<Incoming>, Response = Response<B>>,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    B: Body + Unpin + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let mut progress = teller.subscribe();
    // A response is written in one go, there is nothing to gain by waiting for more.
    let _at_most_slower = stream.set_nodelay(true);
    let stream = Stream::new(TokioIo::new(stream), Teller::clone(&teller));
    let service = service_fn(move |request| {
        let answering = Answering::begin(&teller);
        let response = service.call(request);
        async move { Ok::<_, S::Error>(response.await?.map(|body| Answer::new(body, answering))) }
    });
    let mut connection = pin!(
        http1::Builder::new()
            // Instead of hyper's own, which does not tell a client that is idle from one that is slow.
            .header_read_timeout(None)
            .max_buf_size(limits.max_header_bytes.max(SMALLEST_HEAD))
            .max_headers(limits.max_headers)
            .serve_connection(stream, service)
    );
    let mut alarm = pin!(sleep(limits.header_timeout));
    let mut armed = true;
    let mut evictable = true;
    let poll = |context: &mut Context<'_>| {
        if let Poll::Ready(ended) = connection.as_mut().poll(context) {
            return Poll::Ready(Some(ended));
        }
        if progress.has_changed().unwrap_or(false) {
            let state = progress.borrow_and_update().state;
            let patience = state.patience(&limits);
            armed = patience.is_some();
            if let Some(at) = patience.and_then(|it| Instant::now().checked_add(it)) {
                alarm.as_mut().reset(at);
            }
            if state.is_evictable() != evictable {
                evictable = !evictable;
                turned.notify_one();
            }
        }
        if armed && alarm.as_mut().poll(context).is_ready() {
            return Poll::Ready(None);
        }
        Poll::Pending
    };
    match poll_fn(poll).await {
        Some(Ok(())) => {}
        Some(Err(error)) => tracing::trace!(%error, "a connection ended early"),
        None => tracing::trace!("a connection took too long"),
    }
}
