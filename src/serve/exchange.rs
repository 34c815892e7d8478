//! WATCHES requests and responses go by, from the service's call to the end of the response's body, and tells. It changes
//! nothing.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use hyper::body::{Body, Frame, SizeHint};

use super::state::{Event, Teller, tell};

/// A request that is being answered, until this is dropped.
#[derive(Debug)]
pub(super) struct Answering(Teller);

impl Answering {
    pub(super) fn begin(teller: &Teller) -> Answering {
        tell(teller, Event::Begun);
        Answering(Teller::clone(teller))
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        tell(&self.0, Event::Written);
    }
}

/// A response's body; hyper drops it when it has all of it.
#[derive(Debug)]
pub(super) struct Answer<B> {
    body: B,
    _answering: Answering,
}

impl<B> Answer<B> {
    pub(super) fn new(body: B, answering: Answering) -> Answer<B> {
        Answer {
            body,
            _answering: answering,
        }
    }
}

impl<B: Body + Unpin> Body for Answer<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
