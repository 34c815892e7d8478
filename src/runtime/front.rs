//! OPENS the public addresses of proxy mode, has them served, and does there what the machine asks for. No request is seen here.

use std::{collections::BTreeMap, io, os::fd::OwnedFd, os::unix::fs::MetadataExt, path::PathBuf, time::Duration};

use nix::sys::resource::{Resource, getrlimit};
use tokio_util::sync::CancellationToken;

use super::{
    Supervisor,
    boot::{Refusal, SYSTEM_REFUSED, reason},
    draining::Draining,
    generation::Generation,
    panics::survive_wait,
    port,
    probing::Message,
};
use crate::{
    control::status::Connections,
    handover::listener::{self, Place, Sharing},
    proxy::{self, Proxy},
    readiness::probe::loopbacks,
    settings::{
        Settings,
        value::{Address, DrainMode},
    },
};

/// What this part is called when it begins again.
pub(super) const PART: &str = "proxy";

/// Turns of tasks between two looks at what has happened outside: each costs a system call, and there are many turns.
pub(super) const EVENT_INTERVAL: u32 = 31;

/// Files that are not connections.
const OTHER_FILES: u64 = 64;
/// Clients at a time, however many files there may be.
const MOST_CLIENTS: u64 = 100_000;

/// The public side.
#[derive(Debug)]
pub(super) struct Front {
    pub(super) proxy: Proxy,
    /// Kept so that they can be served again after a fault; none once no more connections are taken.
    bound: Vec<Bound>,
    connections: Option<proxy::Connections>,
    shutdown: CancellationToken,
}

/// A listening socket.
#[derive(Debug)]
enum Bound {
    Tcp(OwnedFd),
    Unix(OwnedFd, PathBuf, u64),
}

impl Front {
    /// Binds what is to be served, if anything is.
    pub(super) fn open(settings: &Settings) -> Result<Option<Front>, Refusal> {
        if settings.proxy.is_empty() {
            return Ok(None);
        }
        let (mut bound, mut lines) = (Vec::new(), Vec::new());
        for address in &settings.proxy {
            match bind(address) {
                Ok(sockets) => bound.extend(sockets),
                Err(error) => lines.push(format!("SEGUE_PROXY: cannot listen on {address}: {}", reason(&error))),
            }
        }
        if !lines.is_empty() {
            return Err(Refusal {
                lines,
                code: SYSTEM_REFUSED,
            });
        }
        let patience = settings.ready_timeout.limit(None);
        Ok(Some(Front {
            proxy: Proxy::new(patience),
            bound,
            connections: None,
            shutdown: CancellationToken::new(),
        }))
    }

    /// No more connections are taken; those that wait to be taken are.
    pub(super) fn close(&mut self) {
        // The server's own copies are the last ones then: when it closes them, clients are refused.
        self.bound.clear();
        self.shutdown.cancel();
        self.proxy.give_up();
    }

    /// Copies for the server.
    fn listeners(&self) -> io::Result<Vec<proxy::Listener>> {
        let copy = |bound: &Bound| match bound {
            Bound::Tcp(socket) => std::net::TcpListener::from(socket.try_clone()?).try_into(),
            Bound::Unix(socket, ..) => std::os::unix::net::UnixListener::from(socket.try_clone()?).try_into(),
        };
        self.bound.iter().map(copy).collect()
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        if let Bound::Unix(_, path, inode) = self
            && std::fs::symlink_metadata(&*path).is_ok_and(|it| it.ino() == *inode)
        {
            let removed = std::fs::remove_file(&*path);
            tracing::debug!(path = %path.display(), ?removed, "removed a unix socket");
        }
    }
}

fn bind(address: &Address) -> io::Result<Vec<Bound>> {
    let tcp = |place: Place| {
        let socket = listener::tcp(&place, Sharing::Never)?;
        listener::open(&socket)?;
        Ok(Bound::Tcp(socket))
    };
    match address {
        Address::Tcp(address) => Ok(vec![tcp(Place::single(*address))?]),
        Address::AnyInterface(port) => Ok(vec![tcp(Place::any(*port))?]),
        Address::Localhost(port) => {
            let both = loopbacks(*port).into_iter();
            let both = both.filter(|it| it.is_ipv4() || listener::has_ipv6());
            both.map(|address| tcp(Place::single(address))).collect()
        }
        Address::Unix(path) => {
            let socket = listener::unix(path)?;
            let inode = std::fs::symlink_metadata(path)?.ino();
            Ok(vec![Bound::Unix(socket, path.clone(), inode)])
        }
    }
}

/// A client takes a file, and its request another.
fn most_clients() -> usize {
    let files = getrlimit(Resource::RLIMIT_NOFILE).map_or(1_024, |(soft, _)| soft);
    let most = (files.saturating_sub(OTHER_FILES) / 2).clamp(1, MOST_CLIENTS);
    usize::try_from(most).unwrap_or(usize::MAX)
}

impl Supervisor {
    /// Has the public addresses served, for the first time or again.
    pub(super) fn serve_public(&mut self) {
        let Some(front) = &mut self.front else { return };
        let listeners = match front.listeners() {
            Ok(listeners) => listeners,
            Err(error) => return tracing::error!(%error, "cannot serve SEGUE_PROXY"),
        };
        let idle = self.settings.drain_idle;
        let server = proxy::server()
            .max_connections(most_clients())
            .idle_min(idle)
            .idle_spread(idle);
        front.connections = Some(server.connections());
        let serves = front.proxy.serve(server, listeners, front.shutdown.clone());
        let messages = self.sender.clone();
        tokio::spawn(async move {
            match survive_wait(serves).await {
                Some(report) => tracing::debug!(%report, "the proxy has let its clients go"),
                None => {
                    tracing::error!(part = PART, "a part of segue begins again");
                    // The loop outlives its tasks.
                    messages.send(Message::BegunAgain(PART)).ok();
                }
            }
        });
    }

    /// Where the generation's program is to listen.
    pub(super) fn give_port(&mut self, generation: u64) {
        if self.front.is_none() {
            return;
        }
        let port = port::free();
        if port.is_none() {
            tracing::error!(generation, "no port is free for the program");
        }
        if let Some(it) = self.generations.get_mut(&generation) {
            it.port = port;
        }
    }

    /// New requests go to this generation.
    pub(super) fn forward_to(&mut self, generation: u64) {
        let port = self.generations.get(&generation).and_then(Generation::port);
        if let (Some(front), Some(port)) = (&self.front, port) {
            front.proxy.steer(generation, port);
        }
    }

    /// Begins to wait until nothing of the generation's is under way.
    pub(super) fn drain_front(&mut self, generation: u64, last: bool) {
        let Some(front) = &mut self.front else { return };
        if last {
            front.bound.clear();
            front.shutdown.cancel();
            if !front.proxy.is_served() {
                front.proxy.give_up();
            }
        } else {
            front.proxy.rest(generation);
        }
        if let Some(it) = self.generations.get_mut(&generation) {
            it.draining = Some(Draining::begin());
        }
        self.look_at_connections();
    }

    /// Is there nothing to wait for before the generation's stop signal? A request may be on its way to a program that finishes
    /// what it has begun, and would be lost if it ended before it has read it. Answers under way are waited for too, unless the
    /// program is said to drain itself (`SEGUE_DRAIN=signal`): that it has a handler tells nothing here, for Node has one that
    /// ends it at once.
    pub(super) fn is_front_drained(&self, front: &Front, generation: u64) -> bool {
        let load = front.proxy.load(generation);
        if load.unanswered > 0 {
            return false;
        }
        let (itself, idle) = (self.settings.drain == DrainMode::Signal, self.settings.drain_idle);
        let last = front.shutdown.is_cancelled() && self.state.current() == Some(generation);
        // A connection may be there that was not taken yet.
        if last && front.connections.as_ref().is_some_and(|it| !it.is_closed()) {
            return false;
        }
        let clients = front.connections.as_ref().map(proxy::Connections::counts);
        let clients = clients.map_or(0, |it| it.new + it.active + it.idle);
        let tunnels = load.busy(idle).saturating_sub(load.answering);
        match (last, itself) {
            (true, true) => clients == 0,
            (true, false) => clients == 0 && tunnels == 0,
            (false, true) => true,
            (false, false) => load.busy(idle) == 0,
        }
    }

    /// Whose requests and connections there are.
    pub(super) fn counts_of_front(&self, front: &Front) -> BTreeMap<u64, Connections> {
        let idle: Duration = self.settings.drain_idle;
        let clients = front
            .connections
            .as_ref()
            .map(proxy::Connections::counts)
            .unwrap_or_default();
        let current = self.state.current();
        let mut counts = BTreeMap::new();
        for number in self.generations.keys() {
            let load = front.proxy.load(*number);
            let busy = load.busy(idle);
            let quiet = load.tunnels.iter().filter(|it| **it >= idle).count();
            let (new, queued) = match Some(*number) == current {
                true => (clients.new + clients.idle, front.proxy.waiting()),
                false => (0, 0),
            };
            let of_it = Connections {
                busy: number_of(busy),
                idle: number_of(quiet + new),
                queued: number_of(queued),
            };
            counts.insert(*number, of_it);
        }
        counts
    }
}

fn number_of(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
