//! WATCHES sockets that a program has bound and that do not listen: one that connects is a client's, and segue must not
//! keep a copy that would hold its connection open.

use std::{
    collections::VecDeque,
    io,
    os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd},
    task::{Context, Poll, ready},
};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use tokio::io::unix::AsyncFd;

use crate::{handover::steering, process::files};

/// The watched sockets.
#[derive(Debug, Default)]
pub struct Bound {
    epoll: Option<AsyncFd<Own>>,
    copies: VecDeque<(u64, OwnedFd)>,
}

/// An epoll of its own, because an unconnected socket counts as hung up from the start, and only an edge after that
/// tells something; tokio's readiness has no such edges.
#[derive(Debug)]
struct Own(Epoll);

impl AsRawFd for Own {
    fn as_raw_fd(&self) -> RawFd {
        self.0.0.as_raw_fd()
    }
}

/// More than any program binds before it listens; the oldest go unwatched.
const MOST: usize = 64;

impl Bound {
    /// Is there none?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.copies.is_empty()
    }

    /// This socket was bound.
    pub fn watch(&mut self, inode: u64, socket: BorrowedFd<'_>) -> io::Result<()> {
        if self.copies.iter().any(|it| it.0 == inode) {
            return Ok(());
        }
        if self.epoll.is_none() {
            let epoll = Own(Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?);
            self.epoll = Some(files::watch(epoll)?);
        }
        let copy = socket.try_clone_to_owned()?;
        if let Some(epoll) = &self.epoll {
            let edge = EpollFlags::EPOLLOUT | EpollFlags::EPOLLET;
            epoll.get_ref().0.add(&copy, EpollEvent::new(edge, inode))?;
        }
        if self.copies.len() >= MOST {
            self.forget_oldest();
        }
        self.copies.push_back((inode, copy));
        Ok(())
    }

    fn forget_oldest(&mut self) {
        if let Some(inode) = self.copies.front().map(|it| it.0) {
            self.forget(inode);
        }
    }

    /// The socket listens, or is gone.
    pub fn forget(&mut self, inode: u64) {
        let Some(index) = self.copies.iter().position(|it| it.0 == inode) else {
            return;
        };
        if let (Some((_, copy)), Some(epoll)) = (self.copies.remove(index), &self.epoll) {
            // It is in the epoll as long as anybody has it open, so that closing the copy would not take it out.
            let deleted = epoll.get_ref().0.delete(&copy);
            tracing::trace!(?deleted, "a bound socket is no longer watched");
        }
    }

    /// The next socket that has turned out to be a client's.
    pub fn poll_connected(&mut self, context: &mut Context<'_>) -> Poll<u64> {
        loop {
            let Some(epoll) = &self.epoll else { return Poll::Pending };
            let Ok(mut guard) = ready!(epoll.poll_read_ready(context)) else {
                return Poll::Pending;
            };
            let mut events = [EpollEvent::empty()];
            if epoll.get_ref().0.wait(&mut events, EpollTimeout::ZERO) != Ok(1) {
                guard.clear_ready();
                continue;
            }
            let inode = events.first().map_or(0, EpollEvent::data);
            let connects = |it: &&(u64, OwnedFd)| it.0 == inode && steering::connects(std::os::fd::AsFd::as_fd(&it.1));
            if self.copies.iter().find(connects).is_some() {
                self.forget(inode);
                return Poll::Ready(inode);
            }
        }
    }
}
