//! HOLDS the unix sockets on which programs listen under a path, and decides which generation's the path leads to. Never touches
//! a connection, but resets those that nobody will accept.
//!
//! The kernel knows no groups of unix sockets, but a name leads to one socket at a time, and rename(2) lets it lead to another from
//! one moment to the next. Each generation's socket has a hidden name beside the path while there is more than one: the newcomer's is
//! bound there, its predecessor's is linked there, so that either can be put in place. While a generation serves alone there is none.

pub mod directory;
pub mod established;
mod joining;
pub mod names;
#[cfg(test)]
mod properties;
pub mod quiet;
mod switching;

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd, RawFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
};

use nix::{
    fcntl::{FcntlArg, OFlag, fcntl},
    poll::{PollFd, PollFlags, PollTimeout, poll},
};

use self::directory::{Directory, Identity};
pub use self::{
    joining::{Binds, Way},
    switching::Switched,
};
use super::group::Held;

/// What a call names: an entry of a directory.
#[derive(Debug)]
pub struct Target {
    /// The directory, as the program sees it.
    pub directory: Directory,
    /// The name in it.
    pub name: Vec<u8>,
    /// All of it, as the program said it.
    pub path: Vec<u8>,
}

impl Target {
    /// The same, as segue sees it.
    pub fn of(path: &Path) -> io::Result<Target> {
        let path = path.as_os_str().as_bytes();
        let (directory, name) = names::split(path).ok_or(io::ErrorKind::InvalidInput)?;
        Ok(Target {
            directory: Directory::open(Path::new(OsStr::from_bytes(directory)))?,
            name: name.to_vec(),
            path: path.to_vec(),
        })
    }
}

/// A socket that listens, or is about to.
#[derive(Debug)]
pub struct Listening {
    /// Whose.
    pub generation: u64,
    /// What tells it from any other.
    pub inode: u64,
    /// A process that has it, and its number there.
    pub holder: (i32, RawFd),
    /// Segue's copy.
    pub socket: OwnedFd,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Paths {
    served: Vec<Served>,
    /// Whose sockets the paths are to lead to.
    serving: Option<u64>,
    /// Is the one that serves to end, so that connections wait for the next one?
    held: bool,
    /// Has the one that serves had its time to listen?
    settled: bool,
    closed: bool,
    lost: u32,
}

/// A path, and who listens there.
#[derive(Debug)]
struct Served {
    directory: Directory,
    name: Vec<u8>,
    /// As the first one to listen there said it.
    path: Vec<u8>,
    /// Can the next generation be expected to listen there?
    expected: bool,
    members: Vec<Member>,
    /// Generations whose binds here were done under their hidden names.
    beside: BTreeSet<u64>,
    /// Generations that believe that the path is gone, since they have taken it away.
    unlinked: BTreeSet<u64>,
    /// Has the generation that serves taken it away itself, for its own reasons?
    withdrawn: bool,
}

/// The socket of one generation.
#[derive(Debug)]
struct Member {
    /// `None`: connections wait in it for the next generation.
    owner: Option<u64>,
    /// Whose it was first.
    generation: u64,
    inode: u64,
    holder: (i32, RawFd),
    file: Identity,
    /// Whom the file belongs to.
    user: u32,
    /// Its hidden name, if it has one.
    hidden: Option<Vec<u8>>,
    socket: Option<OwnedFd>,
}

impl Member {
    /// Do connections wait in it?
    fn has_waiting(&self) -> bool {
        let Some(socket) = &self.socket else { return false };
        let mut poll_it = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
        poll(&mut poll_it, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
    }

    /// Resets the connections that wait; how many.
    fn reset_waiting(&self) -> u32 {
        let Some(socket) = self.socket.as_ref().filter(|_| self.has_waiting()) else {
            return 0;
        };
        // A process that could not be killed may still have it, and be quicker.
        let set = fcntl(socket, FcntlArg::F_SETFL(OFlag::O_NONBLOCK));
        let mut reset = 0;
        while set.is_ok() && reset < LONGEST_QUEUE && super::refuser::refuse(socket) {
            reset += 1;
        }
        reset
    }
}

/// More connections than wait in any queue.
const LONGEST_QUEUE: u32 = 1 << 16;

impl Served {
    fn shown(&self) -> String {
        directory::shown(&self.path)
    }

    /// The member that the path leads to now; an error: it leads to something else.
    fn leads_to(&self) -> io::Result<Option<&Member>> {
        let Some(seen) = self.directory.look(&self.name)? else {
            return Ok(None);
        };
        let member = self.members.iter().find(|it| it.file == seen.identity);
        member
            .map(Some)
            .ok_or_else(|| io::Error::other("it leads to a file that is not the program's"))
    }

    fn of(&self, generation: u64) -> Option<&Member> {
        self.members.iter().find(|it| it.owner == Some(generation))
    }

    /// Gives a member a name by which it can be put in place again.
    fn keep(&mut self, inode: u64) -> io::Result<()> {
        let Some(member) = self.members.iter_mut().find(|it| it.inode == inode) else {
            return Ok(());
        };
        if member.hidden.is_none() {
            let [hidden, _] = names::hidden(&self.name, member.generation);
            if self
                .directory
                .look(&hidden)?
                .is_some_and(|it| it.identity != member.file)
            {
                // A segue that was killed has left it.
                self.directory.remove_socket(&hidden)?;
            }
            self.directory.link(&self.name, &hidden, member.file, member.user)?;
            member.hidden = Some(hidden);
        }
        Ok(())
    }

    /// Takes a hidden name away.
    fn unhide(&mut self, inode: u64) {
        let Some(member) = self.members.iter_mut().find(|it| it.inode == inode) else {
            return;
        };
        if let Some(hidden) = member.hidden.take()
            && let Err(error) = self.directory.remove(&hidden, member.file, member.user)
        {
            tracing::debug!(path = %directory::shown(&self.path), %error, "cannot remove a hidden name");
        }
    }
}

impl Paths {
    /// Is there none?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.served.is_empty()
    }

    /// The last parts of all names, hidden ones included: calls that name none of them are no business of segue's.
    pub fn names(&self) -> impl Iterator<Item = Vec<u8>> {
        self.served.iter().flat_map(|it| {
            let hidden = it
                .members
                .iter()
                .flat_map(|member| names::hidden(&it.name, member.generation));
            hidden.chain([it.name.clone()])
        })
    }

    /// Is this the generation that the paths are to lead to?
    #[must_use]
    pub fn serves(&self, generation: u64) -> bool {
        self.serving == Some(generation)
    }

    /// The paths on which this generation listens that are a measure for the next one: they lead to its sockets, and it will
    /// probably listen there, too.
    #[must_use]
    pub fn is_expected(&self, generation: u64, path: &[u8]) -> bool {
        self.served.iter().any(|it| {
            let leads = || {
                it.leads_to()
                    .ok()
                    .flatten()
                    .is_some_and(|member| member.owner == Some(generation))
            };
            it.path == path && it.expected && leads()
        })
    }

    /// Does this path lead to the generation's socket now? One that is none of a file system, or leads elsewhere on purpose, is not
    /// looked at, and is where it was.
    #[must_use]
    pub fn leads(&self, generation: u64, path: &[u8]) -> bool {
        let own = self
            .served
            .iter()
            .filter(|it| it.path == path)
            .find_map(|it| Some((it, it.of(generation)?)));
        own.is_none_or(|(it, own)| matches!(it.leads_to(), Ok(Some(member)) if member.inode == own.inode))
    }

    /// For each path that the generation serves: does it lead to the generation's socket now?
    #[must_use]
    pub fn lead_to(&self, generation: u64) -> Vec<(String, Result<(), String>)> {
        let own = self.served.iter().filter_map(|it| Some((it, it.of(generation)?)));
        own.map(|(it, own)| {
            let leads = match it.leads_to() {
                Ok(Some(member)) if member.inode == own.inode => Ok(()),
                Ok(Some(_)) => Err("it leads to the socket of another generation".to_owned()),
                Ok(None) => Err("nothing is there".to_owned()),
                Err(error) => Err(error.to_string()),
            };
            (it.shown(), leads)
        })
        .collect()
    }

    /// The path by which this socket is known.
    #[must_use]
    pub fn path_of(&self, inode: u64) -> Option<Vec<u8>> {
        let served = self
            .served
            .iter()
            .find(|it| it.members.iter().any(|it| it.inode == inode))?;
        Some(served.path.clone())
    }

    /// The sockets on which this generation listens, by inode.
    #[must_use]
    pub fn listeners(&self, generation: u64) -> Vec<u64> {
        let own = self.members().filter(|it| it.owner == Some(generation));
        own.map(|it| it.inode).collect()
    }

    /// Do new connections come to this generation?
    #[must_use]
    pub fn gets_connections(&self, generation: u64) -> bool {
        self.serving.is_none_or(|serving| serving == generation)
    }

    /// Do connections wait for this generation, to which no new ones come any more?
    #[must_use]
    pub fn are_waiting(&self, generation: u64) -> bool {
        if self.gets_connections(generation) {
            return false;
        }
        let own = self.members().filter(|it| it.owner == Some(generation));
        own.into_iter().any(Member::has_waiting)
    }

    fn members(&self) -> impl Iterator<Item = &Member> {
        self.served.iter().flat_map(|it| &it.members)
    }

    /// The sockets that belong to a generation, as far as it matters whether its program has them still.
    pub fn held(&self) -> impl Iterator<Item = Held> {
        self.members().filter(|it| it.socket.is_some()).filter_map(|it| {
            Some(Held {
                inode: it.inode,
                holder: it.holder,
                generation: it.owner?,
            })
        })
    }

    /// Those of them that get connections: whether any wait there is worth a look.
    pub fn watched(&self) -> impl Iterator<Item = (u64, BorrowedFd<'_>)> {
        let serving = self
            .members()
            .filter(|it| it.owner.is_some() && it.owner == self.serving);
        serving.filter_map(|it| Some((it.inode, it.socket.as_ref()?.as_fd())))
    }

    /// Do connections wait in this socket, as a number; `None`: it is none of a program's.
    #[must_use]
    pub fn waiting_in(&self, inode: u64) -> Option<u32> {
        let member = self.members().find(|it| it.inode == inode && it.owner.is_some())?;
        Some(member.has_waiting().into())
    }

    /// This process was seen to have the socket.
    pub fn note_holder(&mut self, inode: u64, holder: (i32, RawFd)) {
        let members = self.served.iter_mut().flat_map(|it| &mut it.members);
        members.filter(|it| it.inode == inode).for_each(|it| it.holder = holder);
    }

    /// Did this process have one of the sockets?
    #[must_use]
    pub fn is_holder(&self, process: i32) -> bool {
        self.members().any(|it| it.socket.is_some() && it.holder.0 == process)
    }

    /// No process has this socket any more, and its generation goes on: its path refuses connections, as it would without segue. The
    /// path, and how many connections were reset that waited there. `None`: it is to end, and connections wait for the next one.
    pub fn abandon(&mut self, inode: u64) -> Option<(String, u32)> {
        if self.held {
            let mut members = self.served.iter_mut().flat_map(|it| &mut it.members);
            if let Some(member) = members.find(|it| it.inode == inode) {
                member.owner = None;
            }
            return None;
        }
        let served = self
            .served
            .iter_mut()
            .find(|it| it.members.iter().any(|it| it.inode == inode))?;
        let shown = served.shown();
        served.unhide(inode);
        let member = served.members.iter().position(|it| it.inode == inode)?;
        let reset = served.members.remove(member).reset_waiting();
        self.served.retain(|it| !it.members.is_empty());
        Some((shown, reset))
    }

    /// Connections that waited in sockets that are gone, since the last question.
    pub fn take_lost(&mut self) -> u32 {
        std::mem::take(&mut self.lost)
    }

    fn find(&mut self, target: &Target) -> Option<&mut Served> {
        let directory = target.directory.identity();
        self.served.iter_mut().find(|it| {
            let hides = |member: &Member| names::hidden(&it.name, member.generation).contains(&target.name);
            it.directory.identity() == directory && (it.name == target.name || it.members.iter().any(hides))
        })
    }
}
