//! PASSES a request's body on, frame by frame. With `Expect: 100-continue` it is not touched before the program wants it: to ask
//! for it makes hyper tell the client to send it.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use tokio::{
    sync::watch,
    time::{Sleep, sleep},
};

/// A program that knows nothing of expectations gets the body after this.
const PATIENCE: Duration = Duration::from_secs(1);

/// What the program has said of the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    /// Nothing yet.
    Unknown,
    /// Send it.
    Wanted,
    /// It has answered without.
    Declined,
}

/// Where that is told.
pub(super) type Teller = Arc<watch::Sender<Wish>>;

/// The body of a request on its way to the program.
#[derive(Debug)]
pub(super) struct RequestBody {
    body: Option<Incoming>,
    /// Told when there is no more of it.
    over: Arc<AtomicBool>,
    gate: Option<Gate>,
}

struct Gate {
    wish: Pin<Box<dyn Future<Output = ()> + Send + Sync>>,
    patience: Pin<Box<Sleep>>,
    teller: Teller,
}

impl RequestBody {
    pub(super) fn new(body: Incoming) -> RequestBody {
        let body = Some(body).filter(|body| !body.is_end_stream());
        RequestBody {
            over: Arc::new(AtomicBool::new(body.is_none())),
            body,
            gate: None,
        }
    }

    /// One that is empty.
    pub(super) fn none() -> RequestBody {
        RequestBody {
            body: None,
            over: Arc::new(AtomicBool::new(true)),
            gate: None,
        }
    }

    /// Waits until the program wants it.
    pub(super) fn wait(&mut self) -> Teller {
        let teller = Arc::new(watch::Sender::new(Wish::Unknown));
        let mut told = teller.subscribe();
        self.gate = Some(Gate {
            wish: Box::pin(async move {
                // The teller is kept beside this.
                drop(told.wait_for(|it| *it == Wish::Wanted).await);
            }),
            patience: Box::pin(sleep(PATIENCE)),
            teller: Arc::clone(&teller),
        });
        teller
    }

    /// Tells whether there is more of it, wherever it is by then.
    pub(super) fn over(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.over)
    }
}

impl Gate {
    fn poll_open(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.wish.as_mut().poll(context).is_ready() {
            return Poll::Ready(());
        }
        let declined = *self.teller.borrow() == Wish::Declined;
        if !declined && self.patience.as_mut().poll(context).is_ready() {
            return Poll::Ready(());
        }
        Poll::Pending
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        if let Some(gate) = &mut self.gate {
            if gate.poll_open(context).is_pending() {
                return Poll::Pending;
            }
            self.gate = None;
        }
        let Some(body) = &mut self.body else {
            return Poll::Ready(None);
        };
        let polled = Pin::new(&mut *body).poll_frame(context);
        let last = match &polled {
            Poll::Ready(Some(Ok(frame))) => frame.is_trailers() || body.is_end_stream(),
            Poll::Ready(None) => true,
            Poll::Ready(Some(Err(_))) | Poll::Pending => false,
        };
        if last {
            self.over.store(true, Relaxed);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gate")
            .field("wish", &*self.teller.borrow())
            .finish_non_exhaustive()
    }
}
