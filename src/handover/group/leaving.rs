//! LETS GO of the members of a group that nobody needs any more, without a moment in which new connections go astray.

use std::{io, os::fd::AsRawFd};

use nix::sys::socket::{Shutdown, getsockopt, shutdown, sockopt};

use super::{Group, Member, MemberId};
use crate::handover::order::Order;

impl Group {
    /// The generation is over. If it had the new connections its sockets wait for the next one; else they go, at once
    /// or as soon as their going moves no number that the program answers.
    ///
    /// `settled`: who serves has said that it is ready. If it has no socket here then, nobody is waited for.
    pub fn release(&mut self, generation: u64, settled: bool) -> io::Result<()> {
        self.forget_the_shut();
        if self.probe.is_some_and(|(_, whose)| whose == generation) {
            self.probe = None;
        }
        let order = &self.order;
        self.members
            .retain(|id, member| member.owner != Some(generation) || order.index(*id).is_some());
        for member in self.members.values_mut().filter(|it| it.owner == Some(generation)) {
            member.owner = None;
        }
        match self.serving {
            Some(serving) if serving == generation => self.serving = None,
            Some(serving) if settled && self.find(Some(serving)).is_none() => self.chosen.clear(),
            Some(_) | None => {}
        }
        self.let_spares_go();
        self.reattach()
    }

    /// Does nobody accept the connections that come here, and has the generation no socket to accept them at?
    pub fn waits_for(&self, generation: u64) -> bool {
        let nobody = |id: &MemberId| self.members.get(id).is_some_and(|it| it.owner.is_none());
        let waits = self.chosen.iter().any(|id| Some(*id) != self.refuser) && self.chosen.iter().all(nobody);
        waits && self.count(generation) == 0
    }

    /// Connections are refused from now on, and those that wait are reset.
    pub fn give_up(&mut self) -> io::Result<()> {
        self.chosen.clear();
        self.let_spares_go();
        self.reattach()
    }

    fn let_spares_go(&mut self) {
        let spare: Vec<MemberId> = self.order.iter().filter(|id| self.is_spare(*id)).collect();
        for id in spare.into_iter().rev() {
            if self.order.may_leave(id, &self.chosen) {
                self.leave(id);
            }
        }
    }

    fn is_spare(&self, id: MemberId) -> bool {
        !self.chosen.contains(&id) && self.members.get(&id).is_some_and(|member| member.owner.is_none())
    }

    fn leave(&mut self, id: MemberId) {
        if let Some(member) = self.members.remove(&id) {
            // A process of the generation that could not be killed may still hold it.
            let shut = shutdown(member.socket.as_raw_fd(), Shutdown::Both);
            tracing::trace!(?shut, "a listening socket left its group");
        }
        self.order.leave(id);
    }

    /// The socket with this inode turned out to be a client's, or was never given away.
    pub fn forget(&mut self, inode: u64) {
        if let Some(id) = self.with_inode(inode).filter(|id| self.order.index(*id).is_none()) {
            self.members.remove(&id);
        }
    }

    /// Lets go of the generation's sockets that its program has closed, so that they refuse connections as they would
    /// without segue.
    pub fn sweep(&mut self, generation: u64, held: impl Fn(u64) -> bool) -> io::Result<()> {
        let closed = |it: &Member| it.owner == Some(generation) && !held(it.inode);
        let order = &self.order;
        self.members.retain(|id, it| !closed(it) || order.index(*id).is_some());
        let closed: Vec<MemberId> = self.members.iter().filter(|it| closed(it.1)).map(|it| *it.0).collect();
        for id in closed {
            self.chosen.retain(|it| *it != id);
            if let Some(member) = self.members.get_mut(&id) {
                member.owner = None;
            }
            if self.order.may_leave(id, &self.chosen) {
                self.leave(id);
            }
        }
        self.reattach()
    }

    /// A program may shut its socket down, which takes it out of the group while segue still holds it.
    pub fn forget_the_shut(&mut self) {
        let is_shut = |member: &Member| !getsockopt(&member.socket, sockopt::AcceptConn).unwrap_or(false);
        let shut: Vec<MemberId> = self
            .order
            .iter()
            .filter(|id| self.members.get(id).is_some_and(is_shut))
            .collect();
        for id in &shut {
            self.members.remove(id);
            self.order.leave(*id);
            self.chosen.retain(|it| it != id);
        }
        if !shut.is_empty() {
            self.choose();
        }
    }

    /// Closes segue's copies of the program's sockets, and keeps what refuses connections. Connections that wait where no
    /// program has a copy are reset.
    pub fn let_go(&mut self) {
        let refuser = self.refuser;
        self.members.retain(|id, _| Some(*id) == refuser);
        self.order = Order::default();
    }
}
