//! DECIDES what becomes of calls that name a served path: where a bind is done, whether an unlink is, who joins as the one that
//! listens there.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    io,
    os::{
        fd::{AsFd, BorrowedFd, RawFd},
        unix::ffi::OsStrExt,
    },
    path::{Path, PathBuf},
};

use super::{Listening, Member, Paths, Served, Target, names};

/// How a bind of a path is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Binds {
    /// As the program wants it: the kernel has the last word.
    AsAsked,
    /// Under this path beside it, until its generation serves.
    Beside(Vec<u8>),
    /// The generation listens there already.
    InUse,
}

/// How a connection to a path comes to a generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// By the path: it leads there, or is no program's.
    AsAsked,
    /// By another name.
    Beside(PathBuf),
    /// Not: others listen there, and it does not.
    None,
}

impl Paths {
    /// How a connection to a path would come to this generation.
    pub fn way_to(&mut self, generation: u64, target: &Target) -> Way {
        let Some(served) = self.find(target) else {
            return Way::AsAsked;
        };
        let Some(own) = served.of(generation) else {
            return Way::None;
        };
        let leads = matches!(served.leads_to(), Ok(Some(it)) if it.inode == own.inode);
        match &own.hidden {
            Some(hidden) if !leads => {
                let name = Path::new(OsStr::from_bytes(hidden));
                Way::Beside(Path::new(&served.directory.path()).join(name))
            }
            Some(_) | None => Way::AsAsked,
        }
    }

    /// A generation binds a path. An error says why another generation's socket cannot make room for it.
    pub fn bind(&mut self, generation: u64, target: &Target) -> Result<Binds, String> {
        let Some(served) = self.find(target).filter(|it| it.name == target.name) else {
            return Ok(Binds::AsAsked);
        };
        let inode = match served.leads_to() {
            Ok(Some(member)) if member.owner != Some(generation) => member.inode,
            Ok(_) | Err(_) => return Ok(Binds::AsAsked),
        };
        if served.beside.contains(&generation) && !served.unlinked.contains(&generation) {
            return Ok(Binds::InUse);
        }
        let (path, hidden) = names::beside(&target.path, generation)
            .ok_or("its path is too long for another name beside it".to_owned())?;
        served
            .keep(inode)
            .and_then(|()| served.directory.remove_socket(&hidden))
            .map_err(|error| format!("cannot give it another name beside it: {error}"))?;
        served.beside.insert(generation);
        served.unlinked.remove(&generation);
        Ok(Binds::Beside(path))
    }

    /// A generation takes a path away. `true`: another one's socket is there, or connections are to wait there, so that it stays, and
    /// the program is told that it is gone.
    pub fn unlink(&mut self, generation: u64, target: &Target) -> bool {
        let held = self.held;
        let Some(served) = self.find(target) else { return false };
        if served.name != target.name {
            // By the name that its own socket was bound to: the path is meant.
            let hides = |it: &&Member| names::hidden(&served.name, it.generation).contains(&target.name);
            let Some(own) = served.of(generation).filter(hides) else {
                return false;
            };
            let (inode, file, user) = (own.inode, own.file, own.user);
            let leads = served.leads_to().ok().flatten().is_some_and(|it| it.inode == inode);
            if leads && !held {
                served.withdrawn = true;
                let removed = served.directory.remove(&served.name, file, user);
                tracing::debug!(?removed, "the program has taken its path away");
            }
            return true;
        }
        match served.leads_to() {
            Ok(Some(member)) if member.owner != Some(generation) => {
                served.unlinked.insert(generation);
                true
            }
            Ok(Some(_)) => {
                served.withdrawn = !held;
                held
            }
            Ok(None) | Err(_) => false,
        }
    }

    /// A generation gives its socket the name of a path at which another one's is. `true`: it is given its hidden name instead, until
    /// the generation serves, and the program is told that it is done.
    pub fn rename(&mut self, generation: u64, from: &Target, to: &Target) -> io::Result<bool> {
        let Some(served) = self.find(to).filter(|it| it.name == to.name) else {
            return Ok(false);
        };
        let Some(seen) = from.directory.look(&from.name)?.filter(|it| it.is_socket) else {
            return Ok(false);
        };
        let inode = match served.leads_to()? {
            Some(member) if member.owner != Some(generation) => member.inode,
            Some(_) | None => return Ok(false),
        };
        if from.directory.identity() != to.directory.identity() {
            return Ok(false);
        }
        let [hidden, _] = names::hidden(&served.name, generation);
        served.keep(inode)?;
        served.directory.lead(&hidden, &from.name, seen.identity, seen.user)?;
        served.directory.remove(&from.name, seen.identity, seen.user)?;
        served.beside.insert(generation);
        Ok(true)
    }

    /// Does the path lead to a socket that is not this generation's?
    pub fn is_another_s(&mut self, generation: u64, target: &Target) -> bool {
        let Some(served) = self.find(target) else { return false };
        served
            .leads_to()
            .ok()
            .flatten()
            .is_some_and(|it| it.owner != Some(generation))
    }

    /// The generation that serves is about to listen on a socket that is bound to this path, and connections wait for that: the inode
    /// of the socket that they wait in, and that socket.
    pub fn waits(&mut self, generation: u64, target: &Target) -> Option<(u64, BorrowedFd<'_>)> {
        let serves = self.serves(generation);
        let served = self.for_listener(generation, target).filter(|_| serves)?;
        let inode = served.leads_to().ok()??.inode;
        let member = served
            .members
            .iter()
            .find(|it| it.inode == inode && it.owner.is_none())?;
        Some((inode, member.socket.as_ref()?.as_fd()))
    }

    /// The generation has got this waiting socket, in the place of the one that it had bound; the path by which it is known.
    pub fn take_over(&mut self, inode: u64, generation: u64, target: &Target, holder: (i32, RawFd)) -> Option<Vec<u8>> {
        let served = self.for_listener(generation, target)?;
        if target.name != served.name
            && let Err(error) = served.directory.remove_socket(&target.name)
        {
            tracing::debug!(path = served.shown(), %error, "cannot remove a hidden name");
        }
        served.beside.remove(&generation);
        let member = served.members.iter_mut().find(|it| it.inode == inode)?;
        (member.owner, member.holder) = (Some(generation), holder);
        let path = served.path.clone();
        self.tidy();
        Some(path)
    }

    /// Where the generation listens with a socket that is bound to this path, or to the hidden name beside it.
    fn for_listener(&mut self, generation: u64, target: &Target) -> Option<&mut Served> {
        let directory = target.directory.identity();
        self.served.iter_mut().find(|it| {
            let hidden = names::hidden(&it.name, generation).contains(&target.name);
            it.directory.identity() == directory && (it.name == target.name || hidden)
        })
    }

    /// A generation is about to listen on a socket that is bound to this path; the path by which it is known. `None`: the path does
    /// not lead to a socket, so that there is nothing to be handed over. `expected`: can the next generation be expected there?
    pub fn join(&mut self, listening: Listening, target: Target, expected: bool) -> Option<Vec<u8>> {
        if self.closed {
            return None;
        }
        let seen = target.directory.look(&target.name).ok()??;
        if !seen.is_socket {
            return None;
        }
        let generation = listening.generation;
        let name = target.name.clone();
        let served = if let Some(served) = self.for_listener(generation, &target) {
            served
        } else {
            self.served.push(Served {
                directory: target.directory,
                name: target.name,
                path: target.path,
                expected,
                members: Vec::new(),
                beside: BTreeSet::new(),
                unlinked: BTreeSet::new(),
                withdrawn: false,
            });
            self.served.last_mut()?
        };
        // A second listen, or one on a socket that has taken the other's place.
        let before: Vec<u64> = served
            .members
            .iter()
            .filter(|it| it.owner == Some(generation))
            .map(|it| it.inode)
            .collect();
        let again = before.contains(&listening.inode);
        for inode in before.into_iter().filter(|_| !again) {
            if served.of(generation).is_some_and(|it| it.file != seen.identity) {
                served.unhide(inode);
            }
            served.members.retain(|it| it.inode != inode);
        }
        served.withdrawn = false;
        if !again {
            served.expected |= !served.members.is_empty();
            served.members.push(Member {
                owner: Some(generation),
                generation,
                inode: listening.inode,
                holder: listening.holder,
                file: seen.identity,
                user: seen.user,
                hidden: (name != served.name).then_some(name),
                socket: Some(listening.socket),
            });
        }
        Some(served.path.clone())
    }
}
