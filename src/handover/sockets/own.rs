//! HOLDS the sockets on which programs listen themselves: what their binds and listens come to, and which of them are closed.

use std::{
    io,
    os::fd::{BorrowedFd, OwnedFd, RawFd},
};

use nix::sys::socket::Backlog;

use super::Sockets;
use crate::handover::{
    census::Listener,
    datagrams,
    group::{Group, Held, Joining, Refused, Unsteered},
    listener::Place,
};

/// How a program's bind is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bind {
    /// Nobody of ours is there.
    Alone,
    /// Another generation, or the program's own with its leave: the socket has to allow it, and to belong to this user.
    Shared {
        /// The user whom the others belong to.
        user: u32,
    },
    /// The generation listens there already: the kernel refuses it, or would not (`hidden`) because segue has allowed it.
    InUse {
        /// Would the kernel not refuse it?
        hidden: bool,
    },
}

impl Sockets {
    /// What a bind of this address by the generation has to be, for it to come out as it would without segue. `shares`: the
    /// program allows others the same address. The generation has let go of nothing that is still here.
    pub fn on_bind(&mut self, generation: u64, place: &Place, shares: bool) -> Bind {
        for group in self.bound.get_mut(&place.address.port()).into_iter().flatten() {
            group.forget_the_shut();
        }
        let (mut room, mut others) = (true, None);
        for group in self
            .at(place)
            .filter(|group| group.place().overlaps(place) && !group.is_empty())
        {
            room &= group.has_room(generation, shares);
            others = Some(group.user());
        }
        match others {
            // Sockets that were passed to the program are in nobody's way but the program's.
            None => Bind::Alone,
            Some(_) if !room => Bind::InUse { hidden: shares },
            Some(user) => Bind::Shared { user },
        }
    }

    /// Lets a program's socket listen.
    pub fn join(&mut self, place: Place, user: u32, joining: Joining, backlog: Backlog) -> Result<(), Refused> {
        if self.closed {
            return Err(Refused::Handover(io::Error::other("segue is about to end")));
        }
        let serving = self.serving;
        let groups = self.bound.entry(place.address.port()).or_default();
        let own = |group: &Group| *group.place() == place && group.user() == user;
        if !groups.iter().any(own) {
            groups.push(Group::new(place.clone(), user, serving));
        }
        let group = groups
            .iter_mut()
            .find(|group| own(group))
            .ok_or(io::ErrorKind::NotFound);
        let joined = group
            .map_err(|error| Refused::Handover(error.into()))?
            .join(joining, backlog);
        groups.retain(|group| !group.is_empty());
        joined
    }

    /// A socket in which connections wait for the next generation that listens there: its inode, is it a Multipath TCP
    /// socket, and the socket.
    pub fn waits(&self, place: &Place, user: u32) -> Option<(u64, bool, BorrowedFd<'_>)> {
        let mut groups = self
            .at(place)
            .filter(|group| group.place() == place && group.user() == user);
        groups.find_map(Group::waits)
    }

    /// A program that listens there could notice if its socket were exchanged: clients are not let into a queue in which they would
    /// be reset.
    pub fn keep_out(&mut self, place: &Place) {
        self.own_mut()
            .filter(|group| group.place() == place)
            .for_each(Group::keep_out);
    }

    /// The generation has got this waiting socket.
    pub fn take_over(&mut self, inode: u64, generation: u64, shares: bool, holder: (i32, RawFd), backlog: Backlog) {
        for group in self.own_mut().filter(|group| group.knows(inode)) {
            group.take_over(inode, generation, shares, holder, backlog);
        }
    }

    /// The program allows others the same address with this socket, or no more. `false`: it is none of ours.
    pub fn note_shares(&mut self, inode: u64, shares: bool) -> bool {
        let mut known = self.datagrams.note_shares(inode, shares);
        for group in self.own_mut().filter(|group| group.knows(inode)) {
            group.note_shares(inode, shares);
            known = true;
        }
        known
    }

    /// Ports of which a bind has to be asked about.
    pub fn ports(&self) -> impl Iterator<Item = u16> {
        self.bound.keys().copied().chain(self.datagrams.ports())
    }

    /// Those on which programs listen themselves at the port of this address.
    fn at(&self, place: &Place) -> impl Iterator<Item = &Group> {
        self.bound.get(&place.address.port()).into_iter().flatten()
    }

    /// Those on which programs listen themselves.
    fn own(&self) -> impl Iterator<Item = &Group> {
        self.bound.values().flatten()
    }

    fn own_mut(&mut self) -> impl Iterator<Item = &mut Group> {
        self.bound.values_mut().flatten()
    }

    pub(super) fn forget_the_empty(&mut self) {
        self.bound.retain(|_, groups| {
            groups.retain(|group| !group.is_empty());
            !groups.is_empty()
        });
    }

    /// The programs' own sockets at the port of this address, or at all, and then UDP ones too.
    pub fn held(&self, place: Option<&Place>) -> Vec<Held> {
        match place {
            Some(place) => self.at(place).flat_map(Group::held).collect(),
            None => {
                let listening = self.own().flat_map(Group::held);
                listening.chain(self.datagrams.held(None)).collect()
            }
        }
    }

    /// The programs' own sockets that get new connections.
    pub fn watched(&self) -> impl Iterator<Item = (u64, BorrowedFd<'_>)> {
        self.own().flat_map(Group::watched).chain(self.datagrams.watched())
    }

    /// The same of this place.
    pub fn watched_at(&self, place: &Place) -> impl Iterator<Item = (u64, BorrowedFd<'_>)> {
        self.at(place).flat_map(Group::watched)
    }

    /// This process was seen to hold the socket.
    pub fn note_holder(&mut self, inode: u64, holder: (i32, RawFd)) {
        self.own_mut().for_each(|group| group.note_holder(inode, holder));
        self.datagrams.note_holder(inode, holder);
    }

    /// The program has let go of this socket, and is about to bind its address again. `false`: nothing waits there.
    pub fn keep_waiting(&mut self, inode: u64, place: Option<&Place>) -> bool {
        let mut groups = self
            .own_mut()
            .filter(|group| place.is_none_or(|place| group.place() == place));
        groups.any(|group| group.keep_waiting(inode))
    }

    /// Does this socket still wait for a generation that takes it over?
    pub fn is_waiting(&self, inode: u64) -> bool {
        self.own().any(|group| group.is_waiting(inode))
    }

    /// How many connections wait in this socket of a program's, or how much in a UDP one.
    pub fn waiting_in(&self, inode: u64) -> Option<u32> {
        let connections = self.own().find_map(|group| group.waiting_in(inode));
        connections.or_else(|| self.datagrams.waiting_in(inode))
    }

    /// How many sockets the generation has bound itself.
    #[must_use]
    pub fn bound_by(&self, generation: u64) -> usize {
        self.own().map(|group| group.count(generation)).sum()
    }

    /// Did this process hold one of the sockets?
    pub fn is_holder(&self, process: i32) -> bool {
        self.held(None).into_iter().any(|it| it.holder.0 == process)
    }

    /// No process holds this socket of a program's any more. The address, and how many connections were reset that waited there.
    pub fn abandon(&mut self, inode: u64) -> Option<(Place, io::Result<u32>)> {
        let group = self.own_mut().find(|group| group.knows(inode))?;
        let abandoned = (group.place().clone(), group.abandon(inode));
        self.forget_the_empty();
        Some(abandoned)
    }

    /// The address of a group is steered by the program itself from now on, or listened on by strangers.
    pub fn leave_unsteered(&mut self, inode: u64, why: Unsteered) -> io::Result<()> {
        if why == Unsteered::BySteeringOfItsOwn {
            self.datagrams
                .leave_unsteered(inode, datagrams::Unsteered::BySteeringOfItsOwn);
        }
        let group = self.own_mut().find(|group| group.knows(inode));
        group.map_or(Ok(()), |group| group.leave_unsteered(why))
    }

    /// Leaves those groups to the kernel of which not all listeners are ours: their numbers are unknown then. The addresses,
    /// each once.
    pub fn leave_strangers_alone(&mut self, listeners: &[Listener]) -> Vec<Place> {
        let mut left = Vec::new();
        for group in self.own_mut().filter(|group| group.unsteered().is_none()) {
            let same = |it: &&Listener| it.address == group.place().address;
            let ours: Vec<u64> = group.inodes().collect();
            let strange = listeners
                .iter()
                .filter(same)
                .any(|it| it.inode != 0 && !ours.contains(&it.inode));
            if strange && group.leave_unsteered(Unsteered::ByStrangers).is_ok() {
                left.push(group.place().clone());
            }
        }
        left
    }

    /// Addresses on which the kernel alone decides who gets a connection, and why.
    pub fn unsteered(&self) -> impl Iterator<Item = (&Place, Unsteered)> {
        self.own().filter_map(|group| Some((group.place(), group.unsteered()?)))
    }

    /// Connections that waited in sockets that are gone, since the last question.
    pub fn take_lost(&mut self) -> u32 {
        self.groups().map(Group::take_lost).sum()
    }

    /// Sockets that refuse connections, of groups that have got one since the last question.
    pub fn new_refusers(&mut self) -> Vec<io::Result<OwnedFd>> {
        self.own_mut().filter_map(Group::new_refuser).collect()
    }
}
