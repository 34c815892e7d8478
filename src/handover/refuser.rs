//! REFUSES connections: accepts them on a socket of segue's own and resets them at once. A program's listener cannot be
//! closed from outside, so this is where new connections go while it finishes the old ones for the last time.

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd},
    task::{Context, Poll, ready},
};

use nix::sys::socket::{SockFlag, accept4, getsockopt, setsockopt, sockopt};
use tokio::io::unix::AsyncFd;

use crate::process::files;

/// A listening socket that nobody is served on.
#[derive(Debug)]
pub struct Refuser(AsyncFd<OwnedFd>);

/// What became of an attempt to refuse a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    /// One was reset.
    Refused,
    /// None waits.
    Nobody,
    /// The socket listens no more.
    Over,
}

/// Connections that are refused in one go.
const BATCH: usize = 64;

impl Refuser {
    /// The socket must not block. Needs a tokio runtime.
    pub fn new(socket: OwnedFd) -> io::Result<Refuser> {
        Ok(Refuser(files::watch(socket)?))
    }

    /// Does it listen still? Else it is to be dropped, or it would keep its address from others.
    #[must_use]
    pub fn listens(&self) -> bool {
        getsockopt(self.0.get_ref(), sockopt::AcceptConn).unwrap_or(false)
    }

    /// Refuses every waiting connection; ready when there may be more, or with `false` once the socket listens no more.
    pub fn poll_refuse(&self, context: &mut Context<'_>) -> Poll<bool> {
        let Ok(mut guard) = ready!(self.0.poll_read_ready(context)) else {
            return Poll::Pending;
        };
        for _ in 0..BATCH {
            match attempt(self.0.get_ref()) {
                Attempt::Refused => {}
                Attempt::Over => return Poll::Ready(false),
                Attempt::Nobody => {
                    guard.clear_ready();
                    return self.0.poll_read_ready(context).map(|_| true);
                }
            }
        }
        Poll::Ready(true)
    }
}

/// Refuses one connection; `false` if none waits.
pub fn refuse(listener: &OwnedFd) -> bool {
    attempt(listener) == Attempt::Refused
}

/// Accepts a connection and resets it (without lingering, a close is a reset). The socket must not block.
fn attempt(listener: &OwnedFd) -> Attempt {
    let accepted = match accept4(listener.as_raw_fd(), SockFlag::SOCK_CLOEXEC) {
        Ok(accepted) => accepted,
        Err(nix::Error::EINVAL) => return Attempt::Over,
        Err(_) => return Attempt::Nobody,
    };
    let accepted = files::made(accepted);
    let at_once = libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    let set = setsockopt(&accepted, sockopt::Linger, &at_once);
    tracing::trace!(?set, "refused a connection");
    Attempt::Refused
}
