//! REMOVES the members of a group that are no longer needed, without losing a new connection; and
//! those that their program has closed, so that nothing waits where no process accepts.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
};

use nix::{
    fcntl::{FcntlArg, OFlag, fcntl},
    sys::socket::{Shutdown, getsockopt, shutdown, sockopt},
};

use super::{Group, Member, MemberId};
use crate::handover::{refuser, steering};

/// More connections than wait in any queue.
const LONGEST_QUEUE: u32 = 1 << 20;

/// A program's own socket, as far as it matters whether the program has it still.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// What tells it from others.
    pub inode: u64,
    /// A process that had it, and the socket's number there.
    pub holder: (i32, RawFd),
    /// Whose it is.
    pub generation: u64,
}

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
        for member in self.members.values_mut().filter(|it| it.owner == Some(generation)) {
            member.owner = None;
        }
        match self.serving {
            Some(serving) if serving == generation => {
                self.serving = None;
                if self.keeps_out() && self.order.iter().next().is_some() {
                    self.wait_elsewhere()?;
                }
            }
            Some(serving) if settled && !self.reopening && self.find(Some(serving)).is_none() => self.chosen.clear(),
            Some(_) | None => {}
        }
        self.let_spares_go();
        self.reattach()
    }

    /// Does nobody accept the connections that come here, and has the generation no socket to accept them at?
    pub fn waits_for(&self, generation: u64) -> bool {
        let nobody = |id: &MemberId| self.members.get(id).is_some_and(|it| it.owner.is_none());
        let waits = self.chosen.iter().any(|id| Some(*id) != self.refuser) && self.chosen.iter().all(nobody);
        waits && !self.reopening && self.count(generation) == 0
    }

    /// Connections are refused from now on, and those that wait are reset.
    pub fn give_up(&mut self) -> io::Result<()> {
        self.chosen.clear();
        self.let_spares_go();
        self.reattach()
    }

    /// Unused members leave, as long as no chosen member gets another number by it.
    pub(super) fn let_spares_go(&mut self) {
        loop {
            let spare: Vec<MemberId> = self.order.iter().filter(|id| self.is_spare(*id)).collect();
            let leaves = spare
                .into_iter()
                .rev()
                .find(|id| self.order.may_leave(*id, &self.chosen));
            match leaves {
                Some(id) => self.leave(id),
                None => break,
            }
        }
        if self.is_empty() {
            self.drop_refuser();
        }
        // What waits in those that must stay is reset now, and not when they go.
        let spare: Vec<MemberId> = self.order.iter().filter(|id| self.is_spare(*id)).collect();
        for id in spare {
            self.lost += self.reset_waiting(id);
        }
    }

    /// Resets the connections that wait in a member that no other process has; how many.
    fn reset_waiting(&mut self, id: MemberId) -> u32 {
        let Some(member) = self.members.get_mut(&id) else {
            return 0;
        };
        let filler = u32::from(member.filler.take().is_some());
        let mut reset = 0;
        if steering::waiting(member.socket.as_fd()).unwrap_or(0) > 0 {
            let set = fcntl(&member.socket, FcntlArg::F_SETFL(OFlag::O_NONBLOCK));
            while set.is_ok() && reset < LONGEST_QUEUE && refuser::refuse(&member.socket) {
                reset += 1;
            }
        }
        reset.saturating_sub(filler)
    }

    /// Connections that waited in sockets that are gone, since the last question.
    pub fn take_lost(&mut self) -> u32 {
        std::mem::take(&mut self.lost)
    }

    fn is_spare(&self, id: MemberId) -> bool {
        let free = self.members.get(&id).is_some_and(|member| member.owner.is_none());
        free && !self.chosen.contains(&id) && Some(id) != self.refuser
    }

    fn leave(&mut self, id: MemberId) {
        if let Some(member) = self.members.remove(&id) {
            if !steering::migrates() {
                let waiting = steering::waiting(member.socket.as_fd()).unwrap_or(0);
                self.lost += waiting.saturating_sub(u32::from(member.filler.is_some()));
            }
            // A process of the generation that could not be killed may still hold it.
            let shut = shutdown(member.socket.as_raw_fd(), Shutdown::Both);
            tracing::trace!(?shut, "a listening socket left its group");
        }
        self.order.leave(id);
    }

    /// The programs' own sockets.
    pub fn held(&self) -> impl Iterator<Item = Held> {
        let own = self.members.values().filter(|member| member.is_own());
        own.filter_map(|member| {
            Some(Held {
                inode: member.inode,
                holder: member.holder,
                generation: member.owner?,
            })
        })
    }

    /// How many connections wait in this socket; `None`: it is none of a program's.
    pub fn waiting_in(&self, inode: u64) -> Option<u32> {
        let member = self
            .members
            .values()
            .find(|member| member.inode == inode && member.owner.is_some())?;
        steering::waiting(member.socket.as_fd()).ok()
    }

    /// The sockets that get new connections and that a program may let go of: whether connections wait there is worth a look.
    pub fn watched(&self) -> impl Iterator<Item = (u64, BorrowedFd<'_>)> {
        let chosen = self.chosen.iter().filter_map(|id| self.members.get(id));
        let own = chosen.filter(|member| member.is_own() && member.owner.is_some());
        own.map(|member| (member.inode, member.socket.as_fd()))
    }

    /// This process was seen to hold the socket.
    pub fn note_holder(&mut self, inode: u64, holder: (i32, RawFd)) {
        if let Some(member) = self.members.values_mut().find(|member| member.inode == inode) {
            member.holder = holder;
        }
    }

    /// The program has let go of its socket with this inode, and is about to bind the same address again: connections wait in
    /// the old socket meanwhile. `false`: none come there, so that there is nothing to wait for.
    pub fn keep_waiting(&mut self, inode: u64) -> bool {
        self.forget_the_shut();
        let Some(id) = self.with_inode(inode).filter(|id| self.chosen.contains(id)) else {
            return false;
        };
        if self.chosen.len() > 1 {
            return false;
        }
        if let Some(member) = self.members.get_mut(&id) {
            member.owner = None;
        }
        self.reopening = true;
        true
    }

    /// Does this socket still wait for a generation that takes it over?
    pub fn is_waiting(&self, inode: u64) -> bool {
        self.waiting().is_some_and(|id| Some(id) == self.with_inode(inode))
    }

    /// The program has let go of its socket with this inode: it gets no connection any more, and those that wait in it are
    /// reset; how many.
    pub fn abandon(&mut self, inode: u64) -> io::Result<u32> {
        self.forget_the_shut();
        let Some(id) = self.with_inode(inode) else { return Ok(0) };
        self.reopening = false;
        self.chosen.retain(|it| *it != id);
        if let Some(member) = self.members.get_mut(&id) {
            member.owner = None;
        }
        self.choose_others(id);
        let reattached = self.reattach();
        let reset = self.reset_waiting(id);
        self.let_spares_go();
        self.lost = 0;
        reattached?;
        self.reattach()?;
        Ok(reset)
    }

    /// Any other listener gets the connections; that is better than none but the one about to close.
    fn choose_others(&mut self, but: MemberId) {
        let own: Vec<MemberId> = self.listening(self.serving).filter(|id| *id != but).collect();
        if self.serving.is_some() && !own.is_empty() {
            self.chosen = own;
        } else if self.chosen.is_empty() {
            let others = self.order.iter().filter(|id| *id != but && Some(*id) != self.refuser);
            let owned = others.filter(|id| self.members.get(id).is_some_and(|it| it.owner.is_some()));
            self.chosen = owned.take(1).collect();
        }
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
            if self.is_empty() {
                self.drop_refuser();
            }
        }
    }

    /// Closes segue's copies of the program's sockets, and keeps what refuses connections. Connections that wait where no
    /// program has a copy are reset.
    pub fn let_go(&mut self) {
        let refuser = self.refuser;
        self.members.retain(|id, _| Some(*id) == refuser);
        self.order = super::Order::default();
    }
}
