//! RUNS a server: accepts until the shutdown, then lets the connections finish, then tells. The builder of its limits.

use std::{
    error::Error,
    future::Future,
    net::SocketAddr,
    pin::pin,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use hyper::{
    Request, Response,
    body::{Body, Incoming},
    service::Service,
};
use tokio::{
    sync::{mpsc, oneshot},
    task::{JoinError, JoinSet},
    time::sleep_until,
};

use super::{
    Cut, Report,
    accept::Acceptor,
    answers::{Answers, Told},
    connection,
    connections::Connections,
    hub::Hub,
    life::{Life, Open},
    limits::Limits,
    listener::{Listener, Socket},
    table::Table,
};
use crate::systemd::notify;

/// A server, before it serves: its limits, and how it ends.
///
/// What a client may take is limited so that none can keep others out; what a drain may take, so that it ends.
#[derive(Debug)]
#[must_use = "a server does nothing before it is told to serve"]
pub struct Server {
    limits: Limits,
    notifies: bool,
    hub: Arc<Hub>,
    asking: mpsc::UnboundedSender<oneshot::Sender<Vec<Open>>>,
    asked: mpsc::UnboundedReceiver<oneshot::Sender<Vec<Open>>>,
}

impl Default for Server {
    fn default() -> Server {
        Server::new()
    }
}

impl Server {
    /// One with the default limits.
    pub fn new() -> Server {
        let (asking, asked) = mpsc::unbounded_channel();
        Server {
            limits: Limits::DEFAULT,
            notifies: false,
            hub: Arc::default(),
            asking,
            asked,
        }
    }

    /// Connections at a time; 10,000 if nothing else is said. One more takes the place of the oldest that no request is
    /// answered on; if there is none, it waits to be accepted.
    pub fn max_connections(mut self, most: usize) -> Server {
        self.limits.max_connections = most;
        self
    }

    /// From the connection to its first byte; 30 seconds if nothing else is said. In a drain it is 5 seconds at most.
    pub fn first_byte_timeout(mut self, longest: Duration) -> Server {
        self.limits.first_byte_timeout = longest;
        self
    }

    /// From the first byte of a request to the end of its head; 10 seconds if nothing else is said. (HTTP/1 only: of
    /// HTTP/2 the idle time is limited.)
    pub fn header_timeout(mut self, longest: Duration) -> Server {
        self.limits.header_timeout = longest;
        self
    }

    /// Between two requests; 75 seconds if nothing else is said.
    pub fn idle_timeout(mut self, longest: Duration) -> Server {
        self.limits.idle_timeout = longest;
        self
    }

    /// From the moment at which a client does not take a response as fast as it comes until it has taken all of it; 60
    /// seconds if nothing else is said. (A client of HTTP/2 has to answer pings while it waits.)
    pub fn response_timeout(mut self, longest: Duration) -> Server {
        self.limits.response_timeout = longest;
        self
    }

    /// A request's head, in bytes; 64 KiB if nothing else is said, and at least 8 KiB.
    pub fn max_header_bytes(mut self, most: usize) -> Server {
        self.limits.max_header_bytes = most;
        self
    }

    /// A request's header fields; 100 if nothing else is said. (HTTP/1 only.)
    pub fn max_headers(mut self, most: usize) -> Server {
        self.limits.max_headers = most;
        self
    }

    /// Only HTTP/1: what begins like HTTP/2 is refused.
    pub fn http1_only(mut self) -> Server {
        self.limits.http2 = false;
        self
    }

    /// How long new connections are still accepted after the shutdown; not at all if nothing else is said. Where load
    /// balancers need a while to look away, that long.
    pub fn lame_duck(mut self, time: Duration) -> Server {
        self.limits.lame_duck = time;
        self
    }

    /// In a drain, how long a connection must have been idle before it is closed; 1 second if nothing else is said. A
    /// request that is on its way must have come by then: this is what no client's round trip should be longer than.
    pub fn idle_min(mut self, time: Duration) -> Server {
        self.limits.idle_min = time;
        self
    }

    /// Over how long a time, after [`idle_min`](Server::idle_min), idle connections are closed, each at a moment of its own, so
    /// that not all clients connect anew at once; 1 second if nothing else is said.
    pub fn idle_spread(mut self, time: Duration) -> Server {
        self.limits.idle_spread = time;
        self
    }

    /// From the shutdown to the end, whatever is under way; 25 seconds if nothing else is said, which is within the 30 that
    /// segue, Kubernetes and many others give a program.
    pub fn drain_deadline(mut self, longest: Duration) -> Server {
        self.limits.drain_deadline = longest;
        self
    }

    /// Tells the supervisor (`NOTIFY_SOCKET`): that it is ready when it accepts; when it drains, that it is stopping and how
    /// long this may take. Without such a supervisor nothing is told.
    pub fn notify(mut self) -> Server {
        self.notifies = true;
        self
    }

    /// Its connections, to be counted, listed and waited for while it serves.
    #[must_use]
    pub fn connections(&self) -> Connections {
        Connections::new(Arc::clone(&self.hub), self.asking.clone())
    }

    /// Serves until `shutdown` resolves and everything is drained, or the deadline is there.
    ///
    /// Needs a tokio runtime with time and I/O. If the future is dropped, all connections are closed at once, but those that
    /// were hijacked.
    pub async fn serve<L, S, B>(self, listeners: L, service: S, shutdown: impl Future<Output = ()>) -> Report
    where
        L: IntoIterator,
        L::Item: Into<Listener>,
        S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
        S::Future: Send + 'static,
        S::Error: Into<Box<dyn Error + Send + Sync>>,
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let listeners = listeners.into_iter().map(Into::into).collect();
        self.serve_with(listeners, Told(service), shutdown).await
    }

    /// The same for all that answers.
    pub(super) async fn serve_with<A: Answers>(
        mut self,
        listeners: Vec<Listener>,
        answers: A,
        shutdown: impl Future<Output = ()>,
    ) -> Report {
        let mut open = Serving {
            limits: self.limits,
            hub: self.hub,
            answers,
            table: Table::new(self.limits.max_connections),
            tasks: JoinSet::new(),
        };
        let mut acceptor = Acceptor::new(listeners);
        if self.notifies {
            tell(notify::ready());
        }
        open.run(&mut acceptor, &mut self.asked, shutdown).await;

        let since = Instant::now();
        let accepted = open.hub.counts().accepted;
        let before = open.tasks.len();
        if self.notifies {
            let longest = self.limits.drain_deadline.saturating_add(Duration::from_secs(1));
            tell(notify::stopping_within(longest));
        }
        open.hub.draining.cancel();
        let lame_duck = self.limits.lame_duck.min(self.limits.drain_deadline);
        open.run(&mut acceptor, &mut self.asked, until(since, lame_duck)).await;
        for (socket, peer) in acceptor.close() {
            open.spawn(socket, peer);
        }
        open.hub.closed.cancel();
        let cut = open
            .finish(&mut self.asked, until(since, self.limits.drain_deadline))
            .await;
        let counts = open.hub.counts();
        let late = usize::try_from(counts.accepted.saturating_sub(accepted)).unwrap_or(usize::MAX);
        Report {
            accepted: counts.accepted,
            requests: counts.requests,
            drained: before.saturating_add(late).saturating_sub(cut.all()),
            cut,
            took: since.elapsed(),
        }
    }
}

async fn until(since: Instant, wait: Duration) {
    match since.checked_add(wait) {
        Some(at) => sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

fn tell(told: std::io::Result<bool>) {
    if let Err(error) = told {
        tracing::warn!(%error, "cannot tell the supervisor");
    }
}

/// A server that serves.
struct Serving<A> {
    limits: Limits,
    hub: Arc<Hub>,
    answers: A,
    table: Table,
    tasks: JoinSet<()>,
}

impl<A: Answers> Serving<A> {
    /// Accepts, up to this moment.
    async fn run(
        &mut self,
        acceptor: &mut Acceptor,
        asked: &mut mpsc::UnboundedReceiver<oneshot::Sender<Vec<Open>>>,
        end: impl Future<Output = ()>,
    ) {
        let mut end = pin!(end);
        loop {
            // Before it is looked whether one may make way, so that a connection which turns meanwhile tells.
            self.hub.full.store(self.table.is_full(), Ordering::Relaxed);
            let room = self.table.has_room(self.tasks.len());
            tokio::select! {
                biased;
                () = &mut end => return,
                // Before anybody is accepted: whether there is room may have changed.
                () = self.hub.turned.notified() => {}
                Some(ended) = self.tasks.join_next_with_id() => {
                    self.note_end(ended);
                    acceptor.resume();
                }
                Some(asks) = asked.recv() => answer(asks, &self.table),
                accepted = acceptor.accept(), if room => match accepted {
                    Ok((socket, peer)) => {
                        let evicted = self.table.make_room();
                        tracing::trace!(?peer, ?evicted, "accepted a connection");
                        self.spawn(socket, peer);
                    }
                    // Most likely no file is left: one of somebody silent will do.
                    Err(error) => {
                        let evicted = self.table.evict();
                        tracing::debug!(%error, ?evicted, "cannot accept a connection");
                    }
                },
            }
        }
    }

    /// Waits for those that are open, up to this moment; then cuts the rest.
    async fn finish(
        &mut self,
        asked: &mut mpsc::UnboundedReceiver<oneshot::Sender<Vec<Open>>>,
        deadline: impl Future<Output = ()>,
    ) -> Cut {
        let mut deadline = pin!(deadline);
        loop {
            tokio::select! {
                biased;
                ended = self.tasks.join_next_with_id() => match ended {
                    Some(ended) => self.note_end(ended),
                    None => return Cut::default(),
                },
                () = &mut deadline => break,
                Some(asks) = asked.recv() => answer(asks, &self.table),
            }
        }
        let counts = self.hub.counts();
        self.hub.cut.cancel();
        self.tasks.shutdown().await;
        Cut {
            new: counts.new,
            active: counts.active,
            idle: counts.idle,
            hijacked: counts.hijacked,
        }
    }

    fn spawn(&mut self, socket: Socket, peer: Option<SocketAddr>) {
        let life = Life::new(&self.hub, peer);
        let serves = connection::serve(socket, self.answers.clone(), self.limits, Arc::clone(&life));
        let task = self.tasks.spawn(serves);
        self.table.opened(task, life);
    }

    fn note_end(&mut self, ended: Result<(tokio::task::Id, ()), JoinError>) {
        let task = match ended {
            Ok((task, ())) => task,
            Err(error) => {
                if error.is_panic() {
                    tracing::error!(%error, "serving a connection failed");
                }
                error.id()
            }
        };
        self.table.closed(task);
    }
}

fn answer(asks: oneshot::Sender<Vec<Open>>, table: &Table) {
    // Whoever asked may have gone.
    asks.send(table.list()).ok();
}
