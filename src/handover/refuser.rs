//! REFUSES connections: accepts them on a socket of segue's own and resets them at once. A program's listener cannot be
//! closed from outside, so this is where new connections go while it finishes the old ones for the last time.

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd},
    task::{Context, Poll, ready},
};

use nix::sys::socket::{SockFlag, accept4, setsockopt, sockopt};
use tokio::io::unix::AsyncFd;

use crate::process::files;

/// A listening socket that nobody is served on.
#[derive(Debug)]
pub struct Refuser(AsyncFd<OwnedFd>);

/// Connections that are refused in one go.
const BATCH: usize = 64;

impl Refuser {
    /// The socket must not block. Needs a tokio runtime.
    pub fn new(socket: OwnedFd) -> io::Result<Refuser> {
        Ok(Refuser(files::watch(socket)?))
    }

    /// Refuses whoever waits; ready when there may be more.
    pub fn poll_refuse(&self, context: &mut Context<'_>) -> Poll<()> {
        let Ok(mut guard) = ready!(self.0.poll_read_ready(context)) else {
            return Poll::Pending;
        };
        for _ in 0..BATCH {
            if !refuse(self.0.get_ref()) {
                guard.clear_ready();
                return self.0.poll_read_ready(context).map(|_| ());
            }
        }
        Poll::Ready(())
    }
}

/// Without lingering, a close is a reset.
fn refuse(listener: &OwnedFd) -> bool {
    let Ok(accepted) = accept4(listener.as_raw_fd(), SockFlag::SOCK_CLOEXEC) else {
        return false;
    };
    let accepted = files::made(accepted);
    let at_once = libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    let set = setsockopt(&accepted, sockopt::Linger, &at_once);
    tracing::trace!(?set, "refused a connection");
    true
}
