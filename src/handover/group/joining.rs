//! LETS sockets join a group: those of programs as they begin to listen, those that segue makes and passes, and those in which
//! connections wait or are refused.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd},
};

use nix::{
    fcntl::{FcntlArg, OFlag, fcntl},
    sys::{
        socket::{Backlog, Shutdown, listen, setsockopt, shutdown, sockopt},
        stat::fstat,
    },
};

use super::{Group, Kind, Member, MemberId, Unsteered};
use crate::handover::{
    listener::{self, Place, Sharing},
    steering::{self, Choice},
};

/// A program's own socket that is about to listen.
#[derive(Debug)]
pub struct Joining {
    /// Whose.
    pub generation: u64,
    /// A copy of it.
    pub socket: OwnedFd,
    /// What tells it from others.
    pub inode: u64,
    /// Is it a Multipath TCP socket?
    pub multipath: bool,
    /// Did the program allow others of its own?
    pub shares: bool,
    /// Does the kernel let others join already?
    pub is_open: bool,
    /// The process that listens, and the socket's number there.
    pub holder: (i32, RawFd),
}

/// Why a socket did not join.
#[derive(Debug)]
pub enum Refused {
    /// The kernel refused to let it listen, as it would have without segue; the socket is as it was.
    Listen(io::Error),
    /// The group cannot be had, or not be steered; the socket is as it was, and does not listen yet.
    Handover(io::Error),
}

impl Group {
    /// Binds the address and lets connections wait for generation 1.
    pub fn open(place: Place) -> io::Result<Group> {
        let mut group = Group::new(place, nix::unistd::geteuid().as_raw(), None);
        let id = group.make(Sharing::AfterBind, false, None)?;
        group.listen_as(id, Backlog::MAXALLOWABLE)?;
        Ok(group)
    }

    /// The generation's own listening socket of segue's making: the one that waits if there is one, else a new one that gets
    /// no connection before it is steered to.
    pub fn member(&mut self, generation: u64) -> io::Result<BorrowedFd<'_>> {
        self.forget_the_shut();
        let waits = self
            .find(Some(generation))
            .or_else(|| self.waiting())
            .or_else(|| self.find(None));
        let id = match waits {
            Some(id) => id,
            None => {
                let id = self.make(self.sharing(), false, Some(generation))?;
                self.listen_as(id, Backlog::MAXALLOWABLE)?;
                id
            }
        };
        let member = self.members.get_mut(&id).ok_or(io::ErrorKind::NotFound)?;
        member.owner = Some(generation);
        Ok(member.socket.as_fd())
    }

    /// The program's socket listens from now on, and gets connections if its generation serves.
    pub fn join(&mut self, joining: Joining, backlog: Backlog) -> Result<(), Refused> {
        self.forget_the_shut();
        let Joining {
            generation,
            socket,
            inode,
            multipath,
            shares,
            is_open,
            holder,
        } = joining;
        if !is_open {
            let opened = setsockopt(&socket, sockopt::ReusePort, &true);
            opened.map_err(|error| Refused::Handover(error.into()))?;
        }
        let needs_plain = multipath && self.attacher().is_none() && self.refuser.is_none();
        let prepared = if needs_plain { self.add_refuser() } else { Ok(()) };
        let prepared = prepared.map_err(Refused::Handover);
        let listens = prepared.and_then(|()| listen(&socket, backlog).map_err(|error| Refused::Listen(error.into())));
        if let Err(refused) = listens {
            if needs_plain {
                self.drop_refuser();
            }
            if !is_open {
                let closed = setsockopt(&socket, sockopt::ReusePort, &false);
                tracing::trace!(?closed, "the socket is as it was");
            }
            return Err(refused);
        }
        let id = self.insert(socket, inode, Kind::Own { multipath }, Some(generation));
        if let Some(member) = self.members.get_mut(&id) {
            (member.shares, member.holder) = (shares, holder);
        }
        self.order.join(id);
        self.reopening &= self.serving != Some(generation);
        // Those that are of no use go while the newcomer can take their numbers: it is not chosen yet.
        self.let_spares_go();
        self.choose();
        self.attach_or_leave();
        Ok(())
    }

    /// The program that is about to listen gets a waiting member instead of its own socket: the connections that wait there
    /// are its from now on.
    pub fn take_over(&mut self, inode: u64, generation: u64, shares: bool, holder: (i32, RawFd), backlog: Backlog) {
        let Some(id) = self.with_inode(inode) else { return };
        self.reopening = false;
        if let Some(member) = self.members.get_mut(&id) {
            let multipath = member.is_multipath();
            (member.owner, member.shares, member.holder) = (Some(generation), shares, holder);
            member.kind = Kind::Own { multipath };
            let set = listen(&member.socket, backlog);
            tracing::trace!(?set, "a waiting socket has the length of queue that its program wants");
        }
        self.let_spares_go();
        self.choose();
        self.attach_or_leave();
    }

    /// A member in which connections wait for a generation to take it over: its inode, and the socket.
    #[must_use]
    pub fn waits(&self) -> Option<(u64, bool, BorrowedFd<'_>)> {
        let member = self
            .members
            .get(&self.waiting()?)
            .filter(|member| member.filler.is_none())?;
        Some((member.inode, member.is_multipath(), member.socket.as_fd()))
    }

    /// Lets new connections wait in a socket that the next generation is given. Where they wait already, all is well.
    pub fn hold(&mut self) -> io::Result<()> {
        self.forget_the_shut();
        self.serving = None;
        if self.order.iter().next().is_none() || self.waiting().is_some() {
            return Ok(());
        }
        self.wait_elsewhere()
    }

    /// Lets new connections wait in a socket of segue's making.
    pub(super) fn wait_elsewhere(&mut self) -> io::Result<()> {
        let keeps_out = self.keeps_out();
        let id = self.make(Sharing::Allowed, self.has_multipath() && !keeps_out, None)?;
        let backlog = if keeps_out {
            Backlog::new(0)?
        } else {
            Backlog::MAXALLOWABLE
        };
        self.listen_as(id, backlog)?;
        if keeps_out && let Err(error) = self.fill(id) {
            tracing::debug!(%error, address = %self.place, "connections cannot be kept out, so they wait in a queue");
            let member = self.members.get(&id).ok_or(io::ErrorKind::NotFound)?;
            listen(&member.socket, Backlog::MAXALLOWABLE)?;
        }
        self.chosen = vec![id];
        self.reattach()
    }

    /// Fills the queue of a member that is not chosen yet by a connection of segue's own: the kernel drops the first packets of all
    /// others, which are sent again.
    fn fill(&mut self, id: MemberId) -> io::Result<()> {
        let (filler, port) = listener::filler(&self.place)?;
        let number = |id| self.order.index(id).and_then(|index| u32::try_from(index).ok());
        let everybody = self.chosen.iter().filter_map(|id| number(*id)).collect();
        let probe = Some((port, number(id).ok_or(io::ErrorKind::NotFound)?));
        let attacher = self.attacher().ok_or(io::ErrorKind::NotFound)?;
        steering::steer(attacher, Choice { everybody, probe })?;
        listener::connect(&filler, &self.place)?;
        let member = self.members.get_mut(&id).ok_or(io::ErrorKind::NotFound)?;
        if steering::waiting(member.socket.as_fd())? != 1 {
            return Err(io::Error::other("its own connection did not come"));
        }
        member.filler = Some(filler);
        Ok(())
    }

    /// A program could notice an exchange here: from now on clients wait with their first packet, which the kernel drops and they
    /// send again, and not in a queue from which they would be reset.
    pub fn keep_out(&mut self) {
        self.keeps_out = true;
    }

    /// (Where the kernel takes connections from one queue to another, they may wait in any.)
    pub(super) fn keeps_out(&self) -> bool {
        self.keeps_out && !steering::migrates()
    }

    /// Gives new connections to a socket of segue's own, where they are reset.
    pub fn refuse(&mut self) -> io::Result<()> {
        self.forget_the_shut();
        if self.refuser.is_none() {
            self.add_refuser()?;
        }
        let id = self.refuser.ok_or(io::ErrorKind::NotFound)?;
        (self.serving, self.chosen) = (None, vec![id]);
        self.reattach()
    }

    /// A copy of the socket that refuses, once, for the task that resets what comes there.
    pub fn new_refuser(&mut self) -> Option<io::Result<OwnedFd>> {
        let id = self.refuser.filter(|id| Some(*id) != self.served_refuser)?;
        self.served_refuser = Some(id);
        Some(self.members.get(&id)?.socket.try_clone())
    }

    /// When a new member may share the address: at once if we have it already.
    fn sharing(&self) -> Sharing {
        if self.members.is_empty() {
            Sharing::AfterBind
        } else {
            Sharing::Allowed
        }
    }

    fn has_multipath(&self) -> bool {
        self.members.values().any(Member::is_multipath)
    }

    /// A plain TCP socket that resets every connection to it. It listens with the others and is not chosen: through it a group
    /// of Multipath TCP sockets learns which member to choose.
    fn add_refuser(&mut self) -> io::Result<()> {
        let id = self.make(Sharing::Allowed, false, None)?;
        let member = self.members.get(&id).ok_or(io::ErrorKind::NotFound)?;
        fcntl(&member.socket, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        if let Err(error) = listen(&member.socket, Backlog::MAXALLOWABLE) {
            self.members.remove(&id);
            return Err(error.into());
        }
        self.order.join(id);
        self.refuser = Some(id);
        if self.chosen.is_empty() {
            // The next one to listen has the next number.
            let next = u32::try_from(self.order.iter().count()).unwrap_or(1);
            if let Some(attacher) = self.attacher() {
                let everybody = vec![next];
                steering::steer(attacher, Choice { everybody, probe: None })?;
            }
        }
        Ok(())
    }

    pub(super) fn drop_refuser(&mut self) {
        if let Some(id) = self.refuser.take() {
            if let Some(member) = self.members.remove(&id) {
                // The process that accepts there has a copy.
                let shut = shutdown(member.socket.as_raw_fd(), Shutdown::Both);
                tracing::trace!(?shut, "the socket that refused is gone");
            }
            self.order.leave(id);
        }
    }

    /// A socket of segue's making, of the group's user.
    fn make(&mut self, sharing: Sharing, multipath: bool, owner: Option<u64>) -> io::Result<MemberId> {
        let socket = crate::process::user::owned_by(self.user, || listener::stream(&self.place, sharing, multipath))?;
        let inode = fstat(&socket)?.st_ino;
        Ok(self.insert(socket, inode, Kind::Made { multipath }, owner))
    }

    fn insert(&mut self, socket: OwnedFd, inode: u64, kind: Kind, owner: Option<u64>) -> MemberId {
        self.last_id += 1;
        let member = Member {
            socket,
            inode,
            kind,
            owner,
            shares: false,
            filler: None,
            holder: (0, -1),
        };
        self.members.insert(self.last_id, member);
        self.last_id
    }

    fn listen_as(&mut self, id: MemberId, backlog: Backlog) -> io::Result<()> {
        let member = self.members.get(&id).ok_or(io::ErrorKind::NotFound)?;
        // The first member has nobody to share with until it has the program, which keeps connections from all others
        // that join before they are chosen. (With a program from before, listen would not go together with an address
        // of ours that overlaps: `inet_csk_bind_conflict` in Linux.)
        if let Err(error) = listen(&member.socket, backlog) {
            self.members.remove(&id);
            return Err(error.into());
        }
        if self.order.index(id).is_none() {
            self.order.join(id);
        }
        self.choose();
        self.reattach()
    }

    /// The program listens already: it is too late to report to it that the group is wrong.
    fn attach_or_leave(&mut self) {
        if let Err(error) = self.reattach() {
            tracing::warn!(address = %self.place, %error, "cannot steer connections");
            self.unsteered = Some(Unsteered::ByKernel);
        }
    }
}
