//! Runs a line of generations on one listening socket: each in a thread with a runtime of its own, as if it were a process.
//! When it has ended, its runtime is dropped, and what it still held is cut.

use std::{
    net::{SocketAddr, TcpListener},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc as blocking,
    },
    thread,
    time::{Duration, Instant},
};

use segue::serve::Report;
use tokio::{
    runtime::Builder,
    sync::{mpsc, oneshot},
    time::{sleep, timeout},
};

use super::{PATIENCE, kinds::Kind, routes::Routes};

type Job = Box<dyn FnOnce() + Send>;

/// A listening socket and who serves it.
#[derive(Debug)]
pub struct Line {
    kind: Kind,
    listener: TcpListener,
    serving: Generation,
}

/// One that serves.
#[derive(Debug)]
pub struct Generation {
    stop: oneshot::Sender<()>,
    jobs: mpsc::UnboundedSender<Job>,
    answers: Arc<AtomicU64>,
    ended: oneshot::Receiver<(Instant, Option<Report>)>,
}

/// One that has drained.
#[derive(Debug)]
pub struct Ended {
    /// Requests and messages that it was asked.
    pub answers: u64,
    /// From the word to stop until nothing was left to be waited for.
    pub took: Duration,
    /// What it says itself, if it says anything.
    pub report: Option<Report>,
}

/// Its thread has something else to do as long as this is there.
#[derive(Debug)]
pub struct Held(#[expect(dead_code, reason = "dropped to let go")] blocking::Sender<()>);

impl Line {
    pub async fn start(kind: Kind) -> Line {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let serving = Generation::start(kind, &listener).await;
        Line {
            kind,
            listener,
            serving,
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    pub fn serving(&self) -> &Generation {
        &self.serving
    }

    /// Another serves; this one does so, too, until it is told.
    pub async fn succeed(&mut self) -> Generation {
        let successor = Generation::start(self.kind, &self.listener).await;
        std::mem::replace(&mut self.serving, successor)
    }

    /// Drains the one that serves, its successor serving already.
    pub async fn replace(&mut self) -> Ended {
        self.succeed().await.drain(None).await
    }

    /// Drains the last one.
    pub async fn end(self) -> Ended {
        self.serving.drain(None).await
    }
}

impl Generation {
    async fn start(kind: Kind, listener: &TcpListener) -> Generation {
        let listener = listener.try_clone().unwrap();
        let (stop, stopped) = oneshot::channel();
        let (up, is_up) = oneshot::channel();
        let (jobs, mut asked) = mpsc::unbounded_channel::<Job>();
        let (ends, ended) = oneshot::channel();
        let answers = Arc::new(AtomicU64::new(0));
        let routes = Routes::new(Arc::clone(&answers));
        thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            let report = runtime.block_on(async {
                tokio::spawn(async move {
                    while let Some(job) = asked.recv().await {
                        job();
                    }
                });
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                up.send(()).unwrap();
                // Whoever lets go of it has failed already.
                let shutdown = async { stopped.await.unwrap_or_default() };
                kind.serve(listener, routes, shutdown).await
            });
            let end = Instant::now();
            drop(runtime);
            ends.send((end, report)).ok();
        });
        timeout(PATIENCE, is_up).await.expect("it starts").unwrap();
        Generation {
            stop,
            jobs,
            answers,
            ended,
        }
    }

    /// Waits until it was asked so often.
    pub async fn answered(&self, count: u64) {
        let enough = async {
            while self.answers.load(Ordering::Relaxed) < count {
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(PATIENCE, enough).await.expect("it answers");
    }

    /// Keeps its only thread busy.
    pub async fn hold(&self) -> Held {
        let (here, is_here) = oneshot::channel();
        let (held, released) = blocking::channel();
        let job = move || {
            here.send(()).unwrap();
            // Either is a release.
            released.recv_timeout(PATIENCE).ok();
        };
        assert!(self.jobs.send(Box::new(job)).is_ok());
        timeout(PATIENCE, is_here).await.expect("it is held").unwrap();
        Held(held)
    }

    /// Tells it to stop, lets its thread go, and waits for its end.
    pub async fn drain(self, held: Option<Held>) -> Ended {
        let told = Instant::now();
        assert!(self.stop.send(()).is_ok(), "it has ended by itself");
        drop(held);
        let (end, report) = timeout(PATIENCE, self.ended).await.expect("it ends").unwrap();
        Ended {
            answers: self.answers.load(Ordering::Relaxed),
            took: end.duration_since(told),
            report,
        }
    }
}
