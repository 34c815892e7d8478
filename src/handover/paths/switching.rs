//! LETS the paths lead to the generation that serves, puts back what another one takes away, and removes hidden names that nobody
//! needs any more.

use std::{io, mem};

use super::{Paths, Served, directory};

/// What came of a path at a switch.
#[derive(Debug)]
pub struct Switched {
    /// The path, as people have it.
    pub path: String,
    /// Why it does not lead to the new generation.
    pub outcome: io::Result<()>,
}

impl Paths {
    /// Can the sockets of this generation make room for those of the next one? Looked at by doing it.
    pub fn prepare(&mut self, generation: u64, next: u64) -> Result<(), String> {
        for served in self.served.iter_mut().filter(|it| it.expected) {
            let own = served.of(generation).map(|it| it.inode);
            let leads = served.leads_to().ok().flatten().map(|it| it.inode);
            let Some(own) = own.filter(|own| leads == Some(*own)) else {
                continue;
            };
            let why = if served.directory.is_remote() {
                Err("its directory is on another machine".to_owned())
            } else if super::names::beside(&served.path, next).is_none() {
                Err("its path is too long for another name beside it".to_owned())
            } else {
                let kept = served.keep(own);
                kept.map_err(|error| format!("cannot give it another name beside it: {error}"))
            };
            why.map_err(|why| format!("{}: {why}", served.shown()))?;
        }
        Ok(())
    }

    /// A generation begins. If nobody serves it is the one that connections wait for.
    pub fn begin(&mut self, generation: u64) {
        if self.serving.is_none() {
            self.serving = Some(generation);
            self.held = false;
            self.settled = false;
        }
    }

    /// Lets the paths lead to this generation's sockets, where it has any. Tells of those that have changed.
    pub fn steer(&mut self, generation: u64) -> Vec<Switched> {
        self.serving = Some(generation);
        self.held = false;
        self.settled = false;
        self.switch()
    }

    /// The same for the generation that serves, which has just begun to listen.
    pub fn switch(&mut self) -> Vec<Switched> {
        let Some(serving) = self.serving else { return Vec::new() };
        let mut switched = Vec::new();
        for served in &mut self.served {
            served.withdrawn = false;
            if let Some(outcome) = served.lead_to(serving).transpose() {
                switched.push(Switched {
                    path: served.shown(),
                    outcome,
                });
            }
            self.lost += served.let_go_of_waiting(serving);
        }
        self.tidy();
        switched
    }

    /// The generation that serves is about to end, and its paths are to lead to its sockets all the same, until the next one listens.
    pub fn hold(&mut self) {
        let Some(serving) = self.serving.take() else { return };
        self.held = true;
        for served in &mut self.served {
            let own = served.of(serving).map(|it| it.inode);
            let leads = served.leads_to().ok().flatten().map(|it| it.inode);
            if let Some(own) = own.filter(|own| leads == Some(*own))
                && let Err(error) = served.keep(own)
            {
                tracing::debug!(path = served.shown(), %error, "connections cannot wait there if the program takes it away");
            }
        }
    }

    /// Puts paths back that an ending generation has taken away; which.
    pub fn repair(&mut self) -> Vec<Switched> {
        let (serving, held) = (self.serving, self.held);
        if self.closed {
            return Vec::new();
        }
        let gone = self.served.iter_mut().filter_map(|served| {
            let alone = served.members.len() < 2 && !held;
            if alone || served.withdrawn || !matches!(served.leads_to(), Ok(None)) {
                return None;
            }
            let rightful = |owner: Option<u64>| owner.is_none() || owner == serving || (held && serving.is_none());
            let member = served
                .members
                .iter()
                .find(|it| rightful(it.owner) && it.hidden.is_some())?;
            let hidden = member.hidden.as_deref()?;
            let put = served.directory.link(hidden, &served.name, member.file, member.user);
            Some(Switched {
                path: served.shown(),
                outcome: put,
            })
        });
        gone.collect()
    }

    /// Directories in which a path may be taken away that another generation needs.
    pub fn endangered(&self) -> impl Iterator<Item = &directory::Directory> {
        let held = self.held;
        let endangered = self.served.iter().filter(move |it| held || it.members.len() > 1);
        endangered.map(|it| &it.directory)
    }

    /// The generation is over. Where it served, or who serves may still be about to listen, connections wait in its sockets for the
    /// next one; else they go.
    pub fn release(&mut self, generation: u64) {
        let (serving, settled) = (self.serving, self.settled);
        drop(self.repair());
        for served in &mut self.served {
            let leads = served.leads_to().ok().flatten().map(|it| it.inode);
            let Some(own) = served.of(generation).map(|it| it.inode) else {
                served.forget_bind(generation);
                continue;
            };
            let serves = serving.is_none_or(|serving| serving == generation);
            let is_awaited = !settled && serving.is_some_and(|serving| served.of(serving).is_none());
            if (serves || is_awaited) && leads == Some(own) {
                let mine = served.members.iter_mut().filter(|it| it.inode == own);
                mine.for_each(|it| it.owner = None);
            } else {
                served.unhide(own);
                let over = served.members.extract_if(.., |it| it.inode == own);
                self.lost += over.map(|it| it.reset_waiting()).sum::<u32>();
            }
            served.beside.remove(&generation);
            served.unlinked.remove(&generation);
        }
        self.served.retain(|it| !it.members.is_empty());
        if self.serving == Some(generation) {
            self.serving = None;
        }
        self.tidy();
    }

    /// The generation has had its time to listen: where it does not, connections are refused from now on. The paths.
    pub fn settle(&mut self, generation: u64) -> Vec<String> {
        if self.serving != Some(generation) {
            return Vec::new();
        }
        self.settled = true;
        let mut given_up = Vec::new();
        for served in self.served.iter_mut().filter(|it| it.of(generation).is_none()) {
            if served.members.iter().all(|it| it.owner.is_none()) {
                self.lost += served.let_go_of_waiting(generation);
                given_up.push(served.shown());
            }
        }
        self.served.retain(|it| !it.members.is_empty());
        given_up
    }

    /// Takes away the hidden names of those who are alone, and serve.
    pub(super) fn tidy(&mut self) {
        if self.held {
            return;
        }
        for served in &mut self.served {
            if let [alone] = &served.members[..]
                && served.leads_to().is_ok_and(|it| it.is_some())
            {
                served.unhide(alone.inode);
            }
        }
    }

    /// Closes segue's copies, so that a program that closes its own refuses connections.
    pub fn close(&mut self) {
        self.closed = true;
        for served in &mut self.served {
            let inodes: Vec<u64> = served.members.iter().map(|it| it.inode).collect();
            inodes.into_iter().for_each(|inode| served.unhide(inode));
            let bound: Vec<u64> = served.beside.iter().copied().collect();
            let idle: Vec<u64> = bound.into_iter().filter(|it| served.of(*it).is_none()).collect();
            idle.into_iter().for_each(|generation| served.forget_bind(generation));
            served.members.iter_mut().for_each(|it| it.socket = None);
        }
    }
}

impl Served {
    /// The generation has bound a socket beside the path, and will not listen on it.
    fn forget_bind(&mut self, generation: u64) {
        self.unlinked.remove(&generation);
        if self.beside.remove(&generation) {
            for hidden in super::names::hidden(&self.name, generation) {
                let removed = self.directory.remove_socket(&hidden);
                tracing::debug!(path = self.shown(), ?removed, "a socket beside it has never listened");
            }
        }
    }

    /// Lets the path lead to this generation's socket; `None`: it does, or the generation has none.
    fn lead_to(&mut self, generation: u64) -> io::Result<Option<()>> {
        let Some(own) = self.of(generation) else {
            return Ok(None);
        };
        let before = match self.leads_to()? {
            Some(member) if member.inode == own.inode => return Ok(None),
            before => before.map(|it| it.inode),
        };
        let Some(hidden) = own.hidden.clone() else {
            return Err(io::Error::other("its socket has no other name"));
        };
        let (file, inode) = (own.file, own.inode);
        let like = self.directory.look(&self.name)?;
        if let Some(before) = before {
            self.keep(before)?;
        }
        let mut user = self.of(generation).map_or(0, |it| it.user);
        if let Some(like) = like {
            self.directory.resemble(&hidden, file, &like).unwrap_or_else(|error| {
                tracing::warn!(path = self.shown(), %error, "cannot give a socket its predecessor's permissions");
            });
            user = self.directory.look(&hidden)?.map_or(user, |it| it.user);
        }
        self.directory.lead(&self.name, &hidden, file, user)?;
        self.members
            .iter_mut()
            .filter(|it| it.inode == inode)
            .for_each(|it| it.user = user);
        Ok(Some(()))
    }

    /// Lets go of sockets in which connections wait for a generation that has one of its own, or will have none; how many were reset.
    fn let_go_of_waiting(&mut self, serving: u64) -> u32 {
        let nobody = self.of(serving).is_none() && self.members.iter().any(|it| it.owner.is_some());
        if nobody {
            return 0;
        }
        let inodes: Vec<u64> = self
            .members
            .iter()
            .filter(|it| it.owner.is_none())
            .map(|it| it.inode)
            .collect();
        inodes.iter().for_each(|inode| self.unhide(*inode));
        let (waiting, others): (Vec<_>, Vec<_>) = mem::take(&mut self.members)
            .into_iter()
            .partition(|it| it.owner.is_none());
        self.members = others;
        waiting.iter().map(super::Member::reset_waiting).sum()
    }
}
