//! HOLDS every listening socket: TCP groups with a member per generation, unix and given sockets shared by all.

use std::{
    io,
    os::{
        fd::{AsFd, AsRawFd, OwnedFd, RawFd},
        unix::fs::MetadataExt,
    },
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use super::{group::Group, inherited::Given, listener, listener::TcpAddress};

/// How long after new connections went elsewhere a handshake may still end up in the old queue: one of a client that
/// is a slow round trip away.
const SETTLE: Duration = Duration::from_millis(250);

/// All of them, in the order in which generations get them.
#[derive(Debug, Default)]
pub struct Sockets {
    entries: Vec<Entry>,
    steered_at: Option<Instant>,
}

#[derive(Debug)]
struct Entry {
    name: String,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Grouped(Group),
    Shared {
        socket: OwnedFd,
        path: Option<(PathBuf, u64)>,
    },
    Closed,
}

impl Sockets {
    /// Takes sockets that segue was given.
    pub fn add_given(&mut self, given: Vec<Given>) {
        for Given { socket, name } in given {
            self.entries.push(Entry {
                name,
                kind: Kind::Shared { socket, path: None },
            });
        }
    }

    /// Binds a TCP address.
    pub fn add_tcp(&mut self, name: String, address: TcpAddress) -> io::Result<()> {
        self.entries.push(Entry {
            name,
            kind: Kind::Grouped(Group::open(address)?),
        });
        Ok(())
    }

    /// Binds a path.
    pub fn add_unix(&mut self, name: String, path: &Path) -> io::Result<()> {
        let socket = listener::unix(path)?;
        let inode = std::fs::symlink_metadata(path)?.ino();
        self.entries.push(Entry {
            name,
            kind: Kind::Shared {
                socket,
                path: Some((path.to_owned(), inode)),
            },
        });
        Ok(())
    }

    /// The numbers of the sockets that segue holds and did not make.
    #[must_use]
    pub fn adopted(&self) -> Vec<RawFd> {
        let shared = |entry: &Entry| match &entry.kind {
            Kind::Shared { socket, path: None } => Some(socket.as_raw_fd()),
            Kind::Shared { path: Some(_), .. } | Kind::Grouped(_) | Kind::Closed => None,
        };
        self.entries.iter().filter_map(shared).collect()
    }

    /// How many a generation gets.
    #[must_use]
    pub fn count(&self) -> usize {
        self.entries.len()
    }

    /// Is there any?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Their names, in order, as LISTEN_FDNAMES wants them.
    #[must_use]
    pub fn names(&self) -> String {
        let names: Vec<&str> = self.entries.iter().map(|entry| entry.name.as_str()).collect();
        names.join(":")
    }

    /// The sockets for a generation, in order, duplicated to numbers of `above` and beyond. The duplicates are for the
    /// child alone: dropping them after the fork leaves the child's copies.
    pub fn for_generation(&mut self, generation: u64, above: i32) -> io::Result<Vec<OwnedFd>> {
        let duplicate = |socket: std::os::fd::BorrowedFd<'_>| crate::process::files::duplicate(socket, above);
        self.entries
            .iter_mut()
            .map(|entry| match &mut entry.kind {
                Kind::Grouped(group) => duplicate(group.member(generation)?),
                Kind::Shared { socket, .. } => duplicate(socket.as_fd()),
                Kind::Closed => Err(io::ErrorKind::NotConnected.into()),
            })
            .collect()
    }

    fn groups(&mut self) -> impl Iterator<Item = &mut Group> {
        self.entries.iter_mut().filter_map(|entry| match &mut entry.kind {
            Kind::Grouped(group) => Some(group),
            Kind::Shared { .. } | Kind::Closed => None,
        })
    }

    /// Gives new connections to the generation.
    pub fn steer(&mut self, generation: u64, now: Instant) -> io::Result<()> {
        self.steered_at = Some(now);
        self.each(|group| group.steer(generation))
    }

    /// Connections from this local port go to this generation.
    pub fn probe(&mut self, probe: Option<(u16, u64)>) -> io::Result<()> {
        self.each(|group| group.probe(probe))
    }

    /// The generation is over.
    pub fn release(&mut self, generation: u64) -> io::Result<()> {
        self.each(|group| group.release(generation))
    }

    /// Does every group, and then tells of the first fault.
    fn each(&mut self, mut act: impl FnMut(&mut Group) -> io::Result<()>) -> io::Result<()> {
        let mut result = Ok(());
        for group in self.groups() {
            result = result.and(act(group));
        }
        result
    }

    /// How many connections wait for this generation.
    pub fn queued(&mut self, generation: u64) -> u32 {
        self.groups().map(|group| group.queued(generation)).sum()
    }

    /// Does nobody wait for this generation, or can nobody have begun to since new connections go elsewhere?
    pub fn is_drained(&mut self, generation: u64, now: Instant) -> bool {
        let settled = self
            .steered_at
            .is_none_or(|at| now.saturating_duration_since(at) >= SETTLE);
        let mut groups = self.groups().peekable();
        groups.peek().is_none() || (settled && groups.all(|group| group.queued(generation) == 0))
    }

    /// Closes segue's copies, so that a program that closes its own refuses connections; removes the paths.
    pub fn close(&mut self) {
        for entry in &mut self.entries {
            match std::mem::replace(&mut entry.kind, Kind::Closed) {
                Kind::Grouped(mut group) => group.close(),
                Kind::Shared {
                    path: Some((path, inode)),
                    ..
                } => {
                    // Only if it is still the one that segue made.
                    if std::fs::symlink_metadata(&path).is_ok_and(|it| it.ino() == inode) {
                        let removed = std::fs::remove_file(&path);
                        tracing::debug!(path = %path.display(), ?removed, "removed a unix socket");
                    }
                }
                Kind::Shared { path: None, .. } | Kind::Closed => {}
            }
        }
    }
}
