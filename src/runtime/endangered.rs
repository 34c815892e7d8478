//! NOTICES that an ending generation has taken away the path of a unix socket that another one needs, and puts it back.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, RawFd},
    task::{Context, Poll},
};

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};
use tokio::io::unix::AsyncFd;

use super::Supervisor;
use crate::{
    handover::paths::{
        Switched,
        directory::{Directory, Identity},
    },
    process::files,
};

/// Hears of names that go from directories in which an ending generation may take away what is its successor's.
#[derive(Debug, Default)]
pub(super) struct Endangered {
    /// Kept for ever once there was a first one: to close it takes the kernel 15 ms.
    events: Option<AsyncFd<Watch>>,
    watched: Vec<(Identity, WatchDescriptor)>,
}

#[derive(Debug)]
struct Watch(Inotify);

impl AsRawFd for Watch {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl Endangered {
    /// Watches these directories, and no others.
    fn watch<'a>(&mut self, directories: impl Iterator<Item = &'a Directory>) -> io::Result<()> {
        let directories: Vec<&Directory> = directories.collect();
        if self.events.is_none() && !directories.is_empty() {
            let events = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
            self.events = Some(files::watch(Watch(events))?);
        }
        let Some(events) = &self.events else { return Ok(()) };
        let inotify = &events.get_ref().0;
        self.watched.retain(|(identity, watch)| {
            let stays = directories.iter().any(|it| it.identity() == *identity);
            if !stays {
                let removed = inotify.rm_watch(*watch);
                tracing::trace!(?removed, "a directory is no longer watched");
            }
            stays
        });
        for directory in directories {
            let identity = directory.identity();
            if !self.watched.iter().any(|it| it.0 == identity) {
                let (path, flags) = (
                    directory.path(),
                    AddWatchFlags::IN_DELETE | AddWatchFlags::IN_MOVED_FROM,
                );
                let watch = directory.as_its_owner(|| Ok(inotify.add_watch(path.as_str(), flags)?))?;
                self.watched.push((identity, watch));
            }
        }
        Ok(())
    }
}

impl Supervisor {
    pub(super) fn watch_endangered(&mut self) {
        if let Err(error) = self.endangered.watch(self.paths.endangered()) {
            // It is looked at whenever a process ends all the same.
            tracing::debug!(%error, "cannot watch the directory of a unix socket");
        }
        // It may have gone before that.
        self.repair_paths();
    }

    /// Puts back what an ending generation has taken away.
    pub(super) fn repair_paths(&mut self) {
        for Switched { path, outcome } in self.paths.repair() {
            match outcome {
                Ok(()) => tracing::info!(
                    path,
                    "the program has removed the unix socket that its successor needs, put it back"
                ),
                Err(error) => {
                    tracing::warn!(path, %error, "the program has removed a unix socket, and it cannot be put back")
                }
            }
        }
    }

    /// Hears of names that are gone.
    pub(super) fn poll_paths(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let mut heard = false;
        while let Some(events) = &self.endangered.events
            && let Poll::Ready(Ok(mut guard)) = events.poll_read_ready(context)
        {
            match events.get_ref().0.read_events() {
                Ok(_) => heard = true,
                Err(_) => guard.clear_ready(),
            }
            if heard {
                self.repair_paths();
            }
        }
        if heard { Poll::Ready(()) } else { Poll::Pending }
    }
}
