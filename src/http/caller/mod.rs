//! SPEAKS HTTP/1.1 over one connection as a client. All who ask in segue ask by this, so that the client is there once in the binary,
//! and compiled here, for speed. It connects nowhere, and drives nothing by itself.

mod body;
mod head;
mod wire;

use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, ready},
};

use hyper::client::conn::http1;
use pin_project_lite::pin_project;

pub use self::{body::Body, wire::Stream};
pub(crate) use self::{
    body::{Progress, Teller, Wish},
    head::Head,
    wire::Wire,
};

/// Sends requests.
pub type Sender = http1::SendRequest<Body>;

/// Has to be polled for anything to go on; ready when the connection is over, and from then on.
pub struct Driver(Option<Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>>);

impl Driver {
    /// Goes on. How it ended is told to whoever waits for an answer.
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if let Some(connection) = &mut self.0 {
            let _told_elsewhere = ready!(connection.as_mut().poll(context));
            // At once: a request that was given to it and that it has not begun is given back when it is dropped, and waits for ever if
            // it is not. It must not be asked again, either.
            self.0 = None;
        }
        Poll::Ready(())
    }

    /// Goes on until the connection is over.
    pub async fn over(&mut self) {
        poll_fn(|context| self.poll(context)).await;
    }

    /// Is it over, as far as anybody has looked?
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.0.is_none()
    }

    /// Goes on until an answer is there. Its error is boxed: it may hold the request, and is rare.
    pub fn until<F, T, E>(&mut self, answer: F) -> impl Future<Output = Result<T, Box<E>>>
    where
        F: Future<Output = Result<T, E>>,
    {
        Until { driver: self, answer }
    }
}

pin_project! {
    struct Until<'a, F> {
        driver: &'a mut Driver,
        #[pin]
        answer: F,
    }
}

impl<F, T, E> Future for Until<'_, F>
where
    F: Future<Output = Result<T, E>>,
{
    type Output = Result<T, Box<E>>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let it = self.project();
        let _over = it.driver.poll(context);
        it.answer.poll(context).map_err(Box::new)
    }
}

impl std::fmt::Debug for Driver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = if self.0.is_some() {
            "Driver(open)"
        } else {
            "Driver(over)"
        };
        f.write_str(state)
    }
}

/// What comes of the beginning.
pub type Begun = hyper::Result<(Sender, Driver)>;

/// Begins to speak over this stream.
pub fn handshake(stream: Box<dyn Stream>) -> Pin<Box<dyn Future<Output = Begun> + Send>> {
    Box::pin(over(Wire::remembering(stream, Head::default()), None))
}

/// Begins to speak. A head may have so many bytes, and so much of a body is under way; hyper has its own idea of that.
pub(crate) async fn over(wire: Wire, buffer: Option<usize>) -> Begun {
    let mut builder = http1::Builder::new();
    if let Some(buffer) = buffer {
        builder.max_buf_size(buffer);
    }
    let (sender, connection) = builder.handshake(wire).await?;
    Ok((sender, Driver(Some(Box::pin(connection.with_upgrades())))))
}

#[cfg(test)]
mod tests;
