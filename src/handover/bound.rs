//! KEEPS sockets that programs were given in the place of their own at a bind, until they listen. One that connects instead is
//! a client's, and segue must not keep a copy that would hold its connection open.

use std::{
    collections::VecDeque,
    io,
    os::fd::{AsRawFd, OwnedFd, RawFd},
    task::{Context, Poll, ready},
};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use tokio::io::unix::AsyncFd;

use super::steering;
use crate::process::files;

/// The bound sockets.
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

/// More than any program binds before it listens. The copies of the oldest are closed; should they listen, they pass.
const MOST: usize = 64;

impl Bound {
    /// This socket was bound.
    pub fn keep(&mut self, inode: u64, copy: OwnedFd) -> io::Result<()> {
        if self.epoll.is_none() {
            let epoll = Own(Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?);
            self.epoll = Some(files::watch(epoll)?);
        }
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

    fn forget(&mut self, inode: u64) {
        drop(self.take(inode));
    }

    /// The socket with this inode is kept no more.
    pub fn take(&mut self, inode: u64) -> Option<OwnedFd> {
        let index = self.copies.iter().position(|it| it.0 == inode)?;
        let (_, copy) = self.copies.remove(index)?;
        if let Some(epoll) = &self.epoll {
            // It is in the epoll as long as anybody has it open, so that closing the copy would not take it out.
            let deleted = epoll.get_ref().0.delete(&copy);
            tracing::trace!(?deleted, "a bound socket is no longer watched");
        }
        Some(copy)
    }

    /// A copy of the socket with this inode, which is about to listen.
    pub fn copy(&self, inode: u64) -> Option<io::Result<OwnedFd>> {
        let kept = self.copies.iter().find(|it| it.0 == inode)?;
        Some(kept.1.try_clone())
    }

    /// The inodes of those that are kept.
    pub fn inodes(&self) -> Vec<u64> {
        self.copies.iter().map(|it| it.0).collect()
    }

    /// Lets go of those that have turned out to be clients'.
    pub fn poll_connected(&mut self, context: &mut Context<'_>) -> Poll<()> {
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
            }
        }
    }
}
