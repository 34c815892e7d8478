//! HOLDS every socket that is handed over: TCP groups with a member per generation, UDP ones, unix and given sockets shared by all.

mod own;

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd},
        unix::fs::MetadataExt,
    },
    path::{Path, PathBuf},
};

pub use self::own::Bind;
use super::{datagrams::Datagrams, facts, group::Group, inherited::Given, listener, listener::Place};

/// All of them.
#[derive(Debug, Default)]
pub struct Sockets {
    /// Those of the settings, in the order in which generations get them.
    entries: Vec<Entry>,
    /// Those on which programs listen themselves, by port.
    bound: BTreeMap<u16, Vec<Group>>,
    /// The programs' UDP sockets.
    pub datagrams: Datagrams,
    /// Whose sockets are to get new connections.
    serving: Option<u64>,
    /// Has it said that it is ready, so that an address which it does not listen on is not to be waited for?
    settled: bool,
    closed: bool,
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
    pub fn add_tcp(&mut self, name: String, place: Place) -> io::Result<()> {
        self.entries.push(Entry {
            name,
            kind: Kind::Grouped(Group::open(place)?),
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

    /// The addresses of the sockets that were passed to segue, as people read them.
    #[must_use]
    pub fn adopted_addresses(&self) -> Vec<String> {
        let address = |entry: &Entry| match &entry.kind {
            Kind::Grouped(group) => Some(group.place().to_string()),
            Kind::Shared { socket, path: None } => facts::shown(socket),
            Kind::Shared { path: Some(_), .. } | Kind::Closed => None,
        };
        self.entries.iter().filter_map(address).collect()
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

    /// Is there no TCP address that connections could come to?
    pub fn is_idle(&mut self) -> bool {
        self.groups().next().is_none()
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
        let duplicate = |socket: BorrowedFd<'_>| crate::process::files::duplicate(socket, above);
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
        let declared = self.entries.iter_mut().filter_map(|entry| match &mut entry.kind {
            Kind::Grouped(group) => Some(group),
            Kind::Shared { .. } | Kind::Closed => None,
        });
        declared.chain(self.bound.values_mut().flatten())
    }

    /// A generation begins. If nobody serves it is the one that connections wait for.
    pub fn begin(&mut self, generation: u64) {
        if self.serving.is_none() {
            self.serving = Some(generation);
            self.settled = false;
            self.datagrams.begin(self.serving);
        }
    }

    /// Is the socket with this inode one of ours?
    pub fn knows(&mut self, inode: u64) -> bool {
        self.groups().any(|group| group.knows(inode))
    }

    /// The TCP addresses, for the census.
    pub fn places(&mut self) -> Vec<Place> {
        self.groups().map(|group| group.place().clone()).collect()
    }

    /// Gives new connections to the generation. `settled`: it has said itself that it is ready.
    pub fn steer(&mut self, generation: u64, settled: bool) -> io::Result<()> {
        (self.serving, self.settled) = (Some(generation), settled);
        let steered = self.each(|group| group.steer(generation));
        self.datagrams.steer(generation).and(steered)
    }

    /// The generation has had its time. If it serves, and has said that it is ready, connections wait for it no more where it does
    /// not listen; `tell` hears of each address where they did.
    pub fn settle(&mut self, generation: u64, tell: impl Fn(&Place, io::Result<()>)) {
        if self.serving != Some(generation) || !self.settled {
            return;
        }
        for group in self.groups().filter(|group| group.waits_for(generation)) {
            let given_up = group.give_up();
            tell(group.place(), given_up);
        }
        self.forget_the_empty();
    }

    /// Lets new connections wait for the next generation to begin.
    pub fn hold(&mut self) -> io::Result<()> {
        self.serving = None;
        self.datagrams.begin(None);
        self.each(Group::hold)
    }

    /// Gives new connections to sockets of segue's own; whoever accepts there refuses them. Each address by itself: a fault
    /// of one leaves its connections to the program, and the others refuse.
    pub fn refuse(&mut self) -> Vec<io::Result<OwnedFd>> {
        self.serving = None;
        self.groups()
            .map(|group| group.refuse().and_then(|()| group.new_refuser().transpose()))
            .filter_map(Result::transpose)
            .collect()
    }

    /// Does the generation listen on this address?
    pub fn listens(&mut self, generation: u64, place: &Place) -> bool {
        self.groups()
            .any(|group| group.place() == place && group.listens(generation))
    }

    /// Can a connection to this port reach the generation? Not if others of the program listen there and it does not yet.
    pub fn reaches(&mut self, generation: u64, port: u16) -> bool {
        let mut groups = self
            .groups()
            .filter(|group| group.place().address.port() == port)
            .peekable();
        groups.peek().is_none() || groups.any(|group| group.listens(generation))
    }

    /// Do programs listen at this address, by whatever name?
    pub fn serve(&mut self, address: SocketAddr) -> bool {
        let asked = Place::single(address);
        self.groups().any(|group| group.place().overlaps(&asked))
    }

    /// Connections from this local port go to this generation.
    pub fn probe(&mut self, probe: Option<(u16, u64)>) -> io::Result<()> {
        self.each(|group| group.probe(probe))
    }

    /// The generation is over.
    pub fn release(&mut self, generation: u64) -> io::Result<()> {
        let settled = self.settled;
        let released = self.each(|group| group.release(generation, settled));
        self.forget_the_empty();
        self.datagrams.release(generation);
        if self.serving == Some(generation) {
            self.serving = None;
        }
        released
    }

    /// Takes note of sockets that programs have shut down.
    pub fn tidy(&mut self) {
        self.groups().for_each(Group::forget_the_shut);
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

    /// Closes segue's copies, so that a program that closes its own refuses connections; removes the paths.
    pub fn close(&mut self) {
        self.closed = true;
        self.groups().for_each(Group::let_go);
        self.datagrams.close();
        for entry in &mut self.entries {
            match std::mem::replace(&mut entry.kind, Kind::Closed) {
                // What is left of it refuses connections, as long as segue is there.
                Kind::Grouped(group) => self.bound.entry(group.place().address.port()).or_default().push(group),
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
