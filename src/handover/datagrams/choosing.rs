//! CHOOSES which sockets of a UDP address get the datagrams of strangers, and tells the kernel; lets those go that nobody needs any
//! more, without losing a datagram. While all are of one generation the kernel decides alone.

use std::{collections::BTreeSet, io, os::fd::AsFd};

use super::group::{Group, Member};
use crate::handover::{
    order::Order,
    steering::{self, Choice},
};

/// Why a group is not steered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsteered {
    /// The program has a steering program of its own.
    BySteeringOfItsOwn,
    /// Sockets of other processes are among the members, so their numbers are unknown.
    ByStrangers,
    /// Some of its sockets are connected: connect(2) may take one out of the group, so the numbers are unknown.
    ByConnecting,
    /// The program has several sockets of the address by SO_REUSEADDR.
    ByAddress,
    /// Two generations bound at the same time, so their numbers are unknown.
    ByOrder,
    /// The kernel has refused the choice.
    ByKernel,
}

impl Unsteered {
    /// In words.
    #[must_use]
    pub fn why(self) -> &'static str {
        match self {
            Unsteered::BySteeringOfItsOwn => "the program steers its datagrams by a BPF program of its own",
            Unsteered::ByStrangers => "sockets that are not the program's are bound to its address, too",
            Unsteered::ByConnecting => "the program has sockets on it that are connected to one client each",
            Unsteered::ByAddress => "several sockets of the program share it by SO_REUSEADDR",
            Unsteered::ByOrder => "two generations bound it at the same time",
            Unsteered::ByKernel => "the kernel refused a steering program",
        }
    }
}

impl Group {
    /// Members that are over leave, as long as no chosen one gets another number by it.
    pub(super) fn let_spares_go(&mut self) {
        loop {
            let free =
                |it: &Member| it.over && (!self.steered || !it.seen || self.order.may_leave(it.inode, &self.chosen));
            let Some(at) = self.members.iter().rposition(free) else {
                break;
            };
            let it = self.members.remove(at);
            if let Some(socket) = it.socket.as_ref().filter(|_| self.steered) {
                // Where it is tied to an interface already, that is refused, and there is a moment in which one may be lost.
                let turned = steering::turn_away(socket.as_fd());
                tracing::trace!(?turned, "a UDP socket leaves its group");
            }
            self.order.leave(it.inode);
        }
        if self.members.iter().all(|it| it.over) {
            // A process that could not be killed may hold them still.
            self.chosen.clear();
            self.attach_or_leave();
            self.members.clear();
            self.order = Order::default();
        }
        self.attach_or_leave();
    }

    pub(super) fn choose(&mut self) {
        let own = |it: &&Member| Some(it.bound.generation) == self.serving;
        let able = self
            .members
            .iter()
            .filter(|it| it.seen && !it.over && it.socket.is_some());
        let able: Vec<&Member> = able.collect();
        let inodes = |those: &mut dyn Iterator<Item = &Member>| -> Vec<u64> { those.map(|it| it.inode).collect() };
        let serving = || able.iter().copied().filter(own);
        let choices = [
            inodes(&mut serving().filter(|it| it.settled)),
            inodes(&mut serving()),
            self.chosen.clone(),
            inodes(&mut able.iter().copied().take(1)),
        ];
        self.chosen = choices.into_iter().find(|it| !it.is_empty()).unwrap_or_default();
    }

    pub(super) fn leave_unsteered(&mut self, why: Unsteered) {
        self.unsteered.get_or_insert(why);
        self.attach_or_leave();
    }

    pub(super) fn attach_or_leave(&mut self) {
        if let Err(error) = self.reattach() {
            tracing::warn!(address = %self.place, %error, "cannot steer datagrams");
            self.unsteered = Some(Unsteered::ByKernel);
        }
    }

    pub(super) fn reattach(&mut self) -> io::Result<()> {
        let generations: BTreeSet<Option<u64>> = self
            .members
            .iter()
            .filter(|it| it.socket.is_some())
            .map(|it| (!it.over).then_some(it.bound.generation))
            .collect();
        let among = self.order.iter().next();
        let Some(attacher) = among.and_then(|inode| self.socket(inode)) else {
            return Ok(());
        };
        let own = self.unsteered == Some(Unsteered::BySteeringOfItsOwn);
        if generations.len() < 2 || self.unsteered().is_some() || self.chosen.is_empty() {
            if self.steered && !own {
                steering::detach(attacher)?;
            }
            self.steered = false;
            return Ok(());
        }
        let number = |inode: &u64| self.order.index(*inode).and_then(|index| u32::try_from(index).ok());
        let everybody = self.chosen.iter().filter_map(number).collect();
        steering::steer(attacher, Choice { everybody, probe: None })?;
        self.steered = true;
        Ok(())
    }

    /// Why the kernel alone decides who gets a datagram, also when two generations are here.
    pub(super) fn unsteered(&self) -> Option<Unsteered> {
        self.unsteered.or(self.loose.then_some(Unsteered::ByConnecting))
    }

    /// Was one of its sockets connected?
    pub(super) fn is_loose(&self) -> bool {
        self.unsteered() == Some(Unsteered::ByConnecting)
    }

    /// Do the program's sockets allow each other the address by themselves?
    pub(super) fn shares(&self) -> bool {
        self.members.iter().all(|it| it.bound.shares)
    }

    /// Is it so that nobody else gets datagrams here?
    pub(super) fn is_steered_to(&self, generation: u64) -> bool {
        let owns = |inode: &u64| self.owned(generation).any(|it| it.inode == *inode);
        let alone = || {
            self.members
                .iter()
                .all(|it| it.bound.generation == generation || it.socket.is_none())
        };
        self.serves(generation) && (alone() || (self.steered && self.chosen.iter().all(owns)))
    }
}
