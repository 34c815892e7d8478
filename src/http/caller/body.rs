//! PASSES a request's body on, frame by frame. With `Expect: 100-continue` it is not touched before the program wants it: to ask
//! for it makes hyper tell the client to send it.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use hyper::body::{Body as HttpBody, Bytes, Frame, Incoming, SizeHint};
use tokio::{
    sync::watch,
    time::{Sleep, sleep},
};

/// A program that knows nothing of expectations gets the body after this.
const PATIENCE: Duration = Duration::from_secs(1);

/// What the program has said of the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    /// Nothing yet.
    Unknown,
    /// Send it.
    Wanted,
    /// It has answered without.
    Declined,
}

/// Where that is told.
pub(crate) type Teller = Arc<watch::Sender<Wish>>;

/// How far a body has come.
#[derive(Debug, Default)]
pub(crate) struct Progress(AtomicU8);

impl Progress {
    const OVER: u8 = 1;
    const BROKEN: u8 = 2;

    /// Is there no more of it?
    pub(crate) fn is_over(&self) -> bool {
        self.0.load(Relaxed) == Progress::OVER
    }

    /// Did it end in a way that no body does: by a chunk that is none, or before it was whole?
    pub(crate) fn is_broken(&self) -> bool {
        self.0.load(Relaxed) == Progress::BROKEN
    }
}

/// The body of a request on its way to the program.
#[derive(Debug)]
pub struct Body {
    body: Option<Incoming>,
    /// Nobody need be told of one that never was there.
    progress: Option<Arc<Progress>>,
    gate: Option<Gate>,
}

struct Gate {
    wish: Pin<Box<dyn Future<Output = ()> + Send + Sync>>,
    patience: Pin<Box<Sleep>>,
    teller: Teller,
}

impl Body {
    pub(crate) fn new(body: Incoming) -> Body {
        let body = Some(body).filter(|body| !body.is_end_stream());
        Body {
            progress: body.is_some().then(Arc::default),
            body,
            gate: None,
        }
    }

    /// One that is empty.
    pub fn none() -> Body {
        Body {
            body: None,
            progress: None,
            gate: None,
        }
    }

    /// Waits until the program wants it.
    pub(crate) fn wait(&mut self) -> Teller {
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

    /// Tells how far it has come, wherever it is by then; `None` if there never was any.
    pub(crate) fn progress(&self) -> Option<Arc<Progress>> {
        self.progress.clone()
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

impl HttpBody for Body {
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
        let state = match &polled {
            Poll::Ready(Some(Ok(frame))) => (frame.is_trailers() || body.is_end_stream()).then_some(Progress::OVER),
            Poll::Ready(None) => Some(Progress::OVER),
            Poll::Ready(Some(Err(_))) => Some(Progress::BROKEN),
            Poll::Pending => None,
        };
        if let (Some(state), Some(progress)) = (state, &self.progress) {
            progress.0.store(state, Relaxed);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), HttpBody::size_hint)
    }
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gate")
            .field("wish", &*self.teller.borrow())
            .finish_non_exhaustive()
    }
}
