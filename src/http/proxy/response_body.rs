//! PASSES a response's body on, frame by frame, and drives the connection that it comes from meanwhile. At its end the connection
//! goes back to those that are idle, if it can.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};

use super::{
    link::{Detached, Link},
    load::Passing,
    upstream::Upstream,
};

/// The body of a response on its way to the client.
#[derive(Debug)]
pub(super) struct ResponseBody {
    body: Incoming,
    /// Until the body has come to its end.
    under_way: Option<UnderWay>,
}

#[derive(Debug)]
struct UnderWay {
    driver: Driver,
    upstream: Arc<Upstream>,
    _passing: Passing,
}

/// Who moves the bytes.
#[derive(Debug)]
pub(super) enum Driver {
    /// Whoever asks for the body.
    Reader(Link),
    /// A task, because there is a request's body to be moved even while nobody asks for the response's.
    Task(Detached),
}

impl ResponseBody {
    pub(super) fn new(body: Incoming, driver: Driver, upstream: Arc<Upstream>, passing: Passing) -> ResponseBody {
        let mut body = ResponseBody {
            body,
            under_way: Some(UnderWay {
                driver,
                upstream,
                _passing: passing,
            }),
        };
        if body.body.is_end_stream() {
            // Nobody will ask for it. While a connection is idle there is nobody to be woken, either.
            body.finish(&mut Context::from_waker(Waker::noop()));
        }
        body
    }

    fn poll_more(&mut self, context: &mut Context<'_>) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        match (polled, &mut self.under_way) {
            (
                Poll::Pending,
                Some(UnderWay {
                    driver: Driver::Reader(link),
                    ..
                }),
            ) => {
                // Its end shows in the body.
                let _over = link.poll_drive(context);
                Pin::new(&mut self.body).poll_frame(context)
            }
            (polled, _) => polled,
        }
    }

    fn finish(&mut self, context: &mut Context<'_>) {
        let Some(UnderWay { driver, upstream, .. }) = self.under_way.take() else {
            return;
        };
        match driver {
            Driver::Reader(mut link) => {
                if link.is_reusable(context) {
                    upstream.keep(link);
                }
            }
            Driver::Task(detached) => drop(detached),
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        let polled = self.poll_more(context);
        let last = match &polled {
            // Whoever has the last frame asks no more.
            Poll::Ready(Some(Ok(frame))) => frame.is_trailers() || self.body.is_end_stream(),
            Poll::Ready(None | Some(Err(_))) => true,
            Poll::Pending => false,
        };
        if last {
            self.finish(context);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
