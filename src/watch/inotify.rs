//! HEARS from the kernel what happens in directories (inotify(7)). An event is a hint: it says where to look, and no more.

use std::{
    collections::HashMap,
    ffi::OsString,
    io,
    os::fd::{AsFd, AsRawFd, RawFd},
    path::{Path, PathBuf},
    task::{Context, Poll, ready},
};

use nix::{
    errno::Errno,
    sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor},
};
use tokio::io::unix::AsyncFd;

use crate::process::files;

/// The kernel's events of a set of directories.
#[derive(Debug)]
pub(super) struct Hearing {
    file: AsyncFd<Owned>,
    /// A directory may be known by several paths.
    paths: HashMap<WatchDescriptor, Vec<PathBuf>>,
    heard: HashMap<PathBuf, WatchDescriptor>,
}

/// Where to look.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Hint {
    /// Something has happened to this name in this directory.
    In(PathBuf, OsString),
    /// The same: it was written to, and whoever did so has it open still.
    Written(PathBuf, OsString),
    /// Something has happened to this path itself, which is not heard of any more.
    Gone(PathBuf),
    /// Events were lost: anything may have happened.
    Lost,
}

/// Why nothing is heard of a directory.
#[derive(Debug, thiserror::Error)]
pub(super) enum Deaf {
    /// No more directories may be watched.
    #[error("the limit of watched directories is reached; the sysctl fs.inotify.max_user_watches raises it")]
    Watches,
    /// No more instances may be made.
    #[error("the limit of inotify instances is reached; the sysctl fs.inotify.max_user_instances raises it")]
    Instances,
    /// The system said something else.
    #[error(transparent)]
    System(#[from] io::Error),
}

impl Deaf {
    fn new(error: Errno, limit: Errno, reached: Deaf) -> Deaf {
        if error == limit {
            reached
        } else {
            Deaf::System(error.into())
        }
    }
}

impl Hearing {
    /// Needs a tokio runtime with I/O.
    pub(super) fn new() -> Result<Hearing, Deaf> {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)
            .map_err(|error| Deaf::new(error, Errno::EMFILE, Deaf::Instances))?;
        Ok(Hearing {
            file: files::watch(Owned(inotify))?,
            paths: HashMap::new(),
            heard: HashMap::new(),
        })
    }

    /// Hears of this directory from now on, or of this file where it is one.
    pub(super) fn add(&mut self, path: &Path) -> Result<(), Deaf> {
        let what = AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_CLOSE_WRITE
            | AddWatchFlags::IN_MODIFY
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_MOVE
            | AddWatchFlags::IN_DELETE_SELF
            | AddWatchFlags::IN_MOVE_SELF;
        let added = self
            .file
            .get_ref()
            .0
            .add_watch(path, what)
            .map_err(|error| Deaf::new(error, Errno::ENOSPC, Deaf::Watches))?;
        if self.heard.insert(path.to_owned(), added) != Some(added) {
            let paths = self.paths.entry(added).or_default();
            if !paths.iter().any(|known| known == path) {
                paths.push(path.to_owned());
            }
        }
        Ok(())
    }

    /// Hears no more of it.
    pub(super) fn remove(&mut self, path: &Path) {
        let Some(watch) = self.heard.remove(path) else { return };
        let Some(paths) = self.paths.get_mut(&watch) else {
            return;
        };
        paths.retain(|known| known != path);
        if paths.is_empty() {
            self.paths.remove(&watch);
            // It may be gone, and its watch with it.
            self.file.get_ref().0.rm_watch(watch).ok();
        }
    }

    /// How many directories it hears of.
    pub(super) fn len(&self) -> usize {
        self.paths.len()
    }

    /// The next hints.
    pub(super) fn poll_hints(&mut self, context: &mut Context<'_>) -> Poll<Vec<Hint>> {
        loop {
            let Ok(mut ready) = ready!(self.file.poll_read_ready(context)) else {
                // The runtime is going away.
                return Poll::Pending;
            };
            match ready.get_inner().0.read_events() {
                Ok(events) => {
                    let mut hints = Vec::new();
                    for event in events {
                        self.note(event.wd, event.mask, event.name, &mut hints);
                    }
                    return Poll::Ready(hints);
                }
                Err(Errno::EAGAIN) => ready.clear_ready(),
                Err(Errno::EINTR) => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot read what has changed");
                    ready.clear_ready();
                    return Poll::Ready(vec![Hint::Lost]);
                }
            }
        }
    }

    fn note(&mut self, watch: WatchDescriptor, mask: AddWatchFlags, name: Option<OsString>, hints: &mut Vec<Hint>) {
        if mask.contains(AddWatchFlags::IN_Q_OVERFLOW) {
            hints.push(Hint::Lost);
            return;
        }
        if mask.contains(AddWatchFlags::IN_IGNORED) {
            for path in self.paths.remove(&watch).unwrap_or_default() {
                if self.heard.get(&path) == Some(&watch) {
                    self.heard.remove(&path);
                    hints.push(Hint::Gone(path));
                }
            }
            return;
        }
        let own = AddWatchFlags::IN_DELETE_SELF | AddWatchFlags::IN_MOVE_SELF;
        for path in self.paths.get(&watch).into_iter().flatten() {
            hints.push(match &name {
                Some(name) if mask.contains(AddWatchFlags::IN_MODIFY) => Hint::Written(path.clone(), name.clone()),
                Some(name) => Hint::In(path.clone(), name.clone()),
                None if mask.intersects(own) => Hint::Gone(path.clone()),
                // A file that is watched by itself.
                None => Hint::In(path.clone(), OsString::new()),
            });
        }
    }
}

/// nix owns the file and does not lend its number.
#[derive(Debug)]
struct Owned(Inotify);

impl AsRawFd for Owned {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, future::poll_fn, path::Path, time::Duration};

    use tokio::time::timeout;

    use super::{Hearing, Hint};

    /// What it hears, up to the one that is wanted.
    async fn until(hearing: &mut Hearing, wanted: &Hint) -> Vec<Hint> {
        let mut all = Vec::new();
        while !all.contains(wanted) {
            let hints = timeout(Duration::from_secs(20), poll_fn(|it| hearing.poll_hints(it)));
            all.extend(hints.await.expect("it heard nothing"));
        }
        all
    }

    fn hint(directory: &Path, name: &str) -> Hint {
        Hint::In(directory.to_owned(), name.into())
    }

    #[tokio::test]
    async fn it_says_where_to_look() {
        let temporary = tempfile::tempdir().unwrap();
        let directory = temporary.path().join("a");
        fs::create_dir(&directory).unwrap();
        let mut hearing = Hearing::new().unwrap();
        hearing.add(&directory).unwrap();
        hearing.add(&directory).unwrap();
        assert_eq!(hearing.len(), 1);
        fs::write(directory.join("one"), "x").unwrap();
        until(&mut hearing, &hint(&directory, "one")).await;
        fs::rename(directory.join("one"), directory.join("two")).unwrap();
        until(&mut hearing, &hint(&directory, "two")).await;
        let link = temporary.path().join("link");
        std::os::unix::fs::symlink(&directory, &link).unwrap();
        hearing.add(&link).unwrap();
        fs::remove_file(directory.join("two")).unwrap();
        assert!(
            until(&mut hearing, &hint(&link, "two"))
                .await
                .contains(&hint(&directory, "two"))
        );
        hearing.remove(&link);
        fs::remove_dir(&directory).unwrap();
        until(&mut hearing, &Hint::Gone(directory.clone())).await;
        assert_eq!(hearing.len(), 0);
    }

    #[tokio::test]
    async fn a_file_can_be_heard_of_by_itself() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        fs::write(&path, "x").unwrap();
        let mut hearing = Hearing::new().unwrap();
        hearing.add(&path).unwrap();
        fs::write(&path, "y").unwrap();
        until(&mut hearing, &hint(&path, "")).await;
    }
}
