//! KNOWS one generation: where its program listens, the connections to it that are idle, what it is at. It never asks it anything.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

use super::{link::Link, load::Counts};

/// Idle connections that are kept; those that were used last are used first.
const MOST: usize = 256;
/// So long one is kept: shorter than programs keep theirs, which for Node is five seconds.
const KEPT: Duration = Duration::from_secs(4);

/// A generation as the proxy knows it.
#[derive(Debug)]
pub(super) struct Upstream {
    pub(super) generation: u64,
    pub(super) port: u16,
    pub(super) counts: Arc<Counts>,
    /// It was found on IPv6: a program that listens on `localhost` may take that only.
    on_ipv6: AtomicBool,
    idle: Mutex<Idle>,
}

#[derive(Debug, Default)]
struct Idle {
    /// The longest idle ones first.
    links: Vec<(Instant, Link)>,
    /// Is somebody there who drops them when it is time?
    swept: bool,
    /// None is kept any more.
    closed: bool,
}

impl Upstream {
    pub(super) fn new(generation: u64, port: u16) -> Upstream {
        Upstream {
            generation,
            port,
            counts: Arc::default(),
            on_ipv6: AtomicBool::new(false),
            idle: Mutex::default(),
        }
    }

    /// A connection that is idle, if one is. For a request that may be sent again it need not be looked at: what the event loop
    /// knows is seen by its driver, and what it does not know yet costs no request.
    pub(super) fn idle(&self, repeatable: bool) -> Option<Link> {
        let mut idle = self.lock();
        loop {
            let (_, link) = idle.links.pop()?;
            if repeatable || link.is_quiet() {
                return Some(link);
            }
        }
    }

    /// A new connection.
    pub(super) async fn connect(&self) -> io::Result<Link> {
        let address = |six: bool| -> SocketAddr {
            let ip: IpAddr = if six {
                Ipv6Addr::LOCALHOST.into()
            } else {
                Ipv4Addr::LOCALHOST.into()
            };
            (ip, self.port).into()
        };
        let six = self.on_ipv6.load(Relaxed);
        match Link::connect(address(six)).await {
            Ok(link) => Ok(link),
            Err(error) => {
                let link = Link::connect(address(!six)).await.map_err(|_| error)?;
                self.on_ipv6.store(!six, Relaxed);
                Ok(link)
            }
        }
    }

    /// It is idle now.
    pub(super) fn keep(self: &Arc<Self>, mut link: Link) {
        link.used = true;
        let mut idle = self.lock();
        if idle.closed || idle.links.len() >= MOST {
            return;
        }
        idle.links.push((Instant::now(), link));
        if !std::mem::replace(&mut idle.swept, true) {
            let upstream = Arc::downgrade(self);
            tokio::spawn(async move {
                let mut next = Instant::now() + KEPT;
                loop {
                    sleep_until(next).await;
                    match upstream.upgrade().and_then(|upstream| upstream.sweep()) {
                        Some(again) => next = again,
                        None => return,
                    }
                }
            });
        }
    }

    /// Drops those that are idle for long; when there will be more to drop.
    fn sweep(&self) -> Option<Instant> {
        let mut idle = self.lock();
        let now = Instant::now();
        let old = idle.links.iter().take_while(|(since, _)| *since + KEPT <= now).count();
        idle.links.drain(..old);
        let next = idle.links.first().map(|(since, _)| *since + KEPT);
        idle.swept = next.is_some();
        next
    }

    /// Closes those that are idle, now and from now on.
    pub(super) fn close(&self) {
        let mut idle = self.lock();
        idle.closed = true;
        idle.links.clear();
    }

    /// Requests go to it again.
    pub(super) fn reopen(&self) {
        self.lock().closed = false;
    }

    /// Never held over a wait, so that on the one thread nobody ever waits for it.
    fn lock(&self) -> std::sync::MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
