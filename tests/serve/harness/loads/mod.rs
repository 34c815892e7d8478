//! Keeps a server busy in one way or another: many clients, each of which asks again as soon as it is answered.

mod http1;
mod http2;
mod pipeline;
mod websocket;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::task::JoinSet;

use super::tally::{Counts, Tally};

/// A way to keep a server busy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Load {
    /// 64 clients that keep their connections.
    KeepAlive,
    /// 64 clients with a connection for each request.
    Fresh,
    /// 64 kept and 64 new connections, whose requests come with the shutdown.
    OnTheWay,
    /// 16 clients that send 8 requests in one piece.
    Pipelined,
    /// The same in several pieces.
    Split,
    /// 2 connections of HTTP/2 with 100 streams each.
    Http2,
    /// 64 WebSockets.
    WebSockets,
    /// 32 clients whose requests take a while.
    Slow,
    /// 32 clients that send a request's body long after its head.
    Uploads,
    /// 4 clients that take a large answer slowly.
    Large,
}

impl Load {
    pub const ALL: [Load; 10] = [
        Load::KeepAlive,
        Load::Fresh,
        Load::OnTheWay,
        Load::Pipelined,
        Load::Split,
        Load::Http2,
        Load::WebSockets,
        Load::Slow,
        Load::Uploads,
        Load::Large,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Load::KeepAlive => "64 kept connections",
            Load::Fresh => "64 clients, fresh connections",
            Load::OnTheWay => "128 requests on the way",
            Load::Pipelined => "pipelining, in one piece",
            Load::Split => "pipelining, in pieces",
            Load::Http2 => "HTTP/2, 2 × 100 streams",
            Load::WebSockets => "64 WebSockets",
            Load::Slow => "32 slow requests",
            Load::Uploads => "32 slow uploads",
            Load::Large => "4 large answers, read slowly",
        }
    }

    /// So often a generation is asked before it is drained: each client once at least, about.
    pub fn enough(self) -> u64 {
        match self {
            Load::Pipelined | Load::Split | Load::Http2 => 200,
            Load::WebSockets => 128,
            Load::KeepAlive | Load::Fresh | Load::OnTheWay => 64,
            Load::Slow | Load::Uploads => 32,
            Load::Large => 4,
        }
    }

    /// Starts the clients.
    pub fn start(self, address: SocketAddr) -> Running {
        let client = Client {
            address,
            tally: Tally::default(),
            stop: Arc::default(),
        };
        let mut clients = JoinSet::new();
        let mut spawn = |count, one: &dyn Fn(&mut JoinSet<()>, Client)| {
            for _ in 0..count {
                one(&mut clients, client.clone());
            }
        };
        match self {
            Load::KeepAlive => spawn(64, &|all, it| drop(all.spawn(http1::keep_alive(it)))),
            Load::Fresh => spawn(64, &|all, it| drop(all.spawn(http1::fresh(it)))),
            Load::OnTheWay => {}
            Load::Pipelined => spawn(16, &|all, it| drop(all.spawn(pipeline::batches(it, false)))),
            Load::Split => spawn(16, &|all, it| drop(all.spawn(pipeline::batches(it, true)))),
            Load::Http2 => spawn(2, &|all, it| drop(all.spawn(http2::streams(it, 100)))),
            Load::WebSockets => spawn(64, &|all, it| drop(all.spawn(websocket::talk(it)))),
            Load::Slow => spawn(32, &|all, it| drop(all.spawn(http1::slow(it)))),
            Load::Uploads => spawn(32, &|all, it| drop(all.spawn(http1::uploads(it)))),
            Load::Large => spawn(4, &|all, it| drop(all.spawn(http1::large(it)))),
        }
        Running { client, clients }
    }
}

/// What each client needs.
#[derive(Debug, Clone)]
pub struct Client {
    address: SocketAddr,
    tally: Tally,
    stop: Arc<AtomicBool>,
}

impl Client {
    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }
}

/// Clients at work.
#[derive(Debug)]
pub struct Running {
    client: Client,
    clients: JoinSet<()>,
}

impl Running {
    /// Lets each finish what it has begun; what came of all.
    pub async fn stop(mut self) -> Counts {
        self.client.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.clients.join_next().await {
            ended.unwrap();
        }
        self.client.tally.counts()
    }
}

/// None, or up to a millisecond.
fn think() -> Duration {
    Duration::from_micros(fastrand::u64(0..2000).saturating_sub(1000))
}
