//! HOLDS the UDP sockets that programs have bound to a port of their choice: a copy of each, so that a second generation can have
//! the same address, and gets its datagrams when it is steered to. Never keeps one that its program has closed, or has
//! connected: that one is a client's.

mod choosing;
mod group;
pub mod room;
pub mod table;

use std::{
    collections::BTreeSet,
    io,
    os::fd::{BorrowedFd, RawFd},
    time::Instant,
};

pub use self::{choosing::Unsteered, group::Joining};
use self::{
    group::Group,
    room::{Bound, Room},
    table::Row,
};
use super::{group::Held, listener::Place};

/// All of them.
#[derive(Debug, Default)]
pub struct Datagrams {
    groups: Vec<Group>,
    /// Who is to get new datagrams.
    serving: Option<u64>,
}

impl Datagrams {
    /// What a bind has to be, for it to come out as it would without segue. The generation has let go of nothing that is still here.
    #[must_use]
    pub fn room(&self, newcomer: &Bound) -> Room {
        let there = self.groups.iter().flat_map(|group| &group.members);
        room::room(newcomer, there.map(|it| &it.bound))
    }

    /// Is a UDP socket of others bound to the same address, or one that overlaps? (Their bind is none of segue's.)
    #[must_use]
    pub fn are_strangers_at(&self, place: &Place, rows: &[Row]) -> bool {
        let same = rows.iter().filter(|row| row.local.port() == place.address.port());
        let mut overlapping = same.filter(|row| {
            let dual = row.local.is_ipv6() && row.local.ip().is_unspecified();
            let there = Place {
                dual,
                ..Place::single(row.local)
            };
            there.overlaps(place)
        });
        overlapping.any(|row| !self.knows(row.inode))
    }

    /// A socket is about to be bound.
    pub fn admit(&mut self, joining: Joining) {
        let (place, user) = (joining.bound.place.clone(), joining.bound.user);
        // It has tried before.
        self.groups.iter_mut().for_each(|group| group.abandon(joining.inode));
        if !self.groups.iter().any(|group| group.is_of(&place, user)) {
            self.groups.push(Group::new(place.clone(), user, self.serving));
        }
        if let Some(group) = self.groups.iter_mut().find(|group| group.is_of(&place, user)) {
            group.admit(joining);
        }
        self.forget_the_empty();
    }

    /// Addresses that were seen to be bound just now, and by whom.
    pub fn confirm(&mut self) -> Vec<(u64, Place)> {
        let mut confirmed = Vec::new();
        for group in &mut self.groups {
            let generations = group.confirm();
            confirmed.extend(generations.into_iter().map(|it| (it, group.place.clone())));
        }
        confirmed
    }

    /// Looks at those that are due; without a time, at all.
    pub fn look(&mut self, now: Option<Instant>) {
        self.groups.iter_mut().for_each(|group| group.look(now));
        self.forget_the_empty();
    }

    /// When that is.
    #[must_use]
    pub fn next_look(&self) -> Option<Instant> {
        self.groups.iter().filter_map(Group::next_look).min()
    }

    /// Takes note of what the kernel's table tells: connected ones that are gone, and strangers.
    pub fn compare(&mut self, rows: &[Row]) {
        self.groups.iter_mut().for_each(|group| group.compare(rows));
        self.forget_the_empty();
    }

    /// Who is to get new datagrams, or nobody.
    pub fn begin(&mut self, serving: Option<u64>) {
        self.serving = serving;
        self.groups.iter_mut().for_each(|group| group.begin(serving));
    }

    /// Gives new datagrams to the generation.
    pub fn steer(&mut self, generation: u64) -> io::Result<()> {
        self.serving = Some(generation);
        let mut result = Ok(());
        for group in &mut self.groups {
            result = result.and(group.steer(generation));
        }
        result
    }

    /// The generation is over.
    pub fn release(&mut self, generation: u64) {
        if self.serving == Some(generation) {
            self.serving = None;
        }
        self.groups.iter_mut().for_each(|group| group.release(generation));
        self.forget_the_empty();
    }

    /// The generation is about to close its sockets: where no other is beside it, the port is free from then on.
    pub fn let_go(&mut self, generation: u64) {
        for group in self.groups.iter_mut().filter(|group| group.is_only_of(generation)) {
            group.release(generation);
        }
        self.forget_the_empty();
    }

    /// All of them are the programs' own from now on.
    pub fn close(&mut self) {
        self.groups.clear();
    }

    /// No process holds this socket any more: where it was bound; `None`: it is none of ours.
    pub fn abandon(&mut self, inode: u64) -> Option<Place> {
        let group = self.groups.iter_mut().find(|group| group.knows(inode))?;
        group.abandon(inode);
        let place = group.place.clone();
        self.forget_the_empty();
        Some(place)
    }

    fn forget_the_empty(&mut self) {
        self.groups.retain(|group| !group.members.is_empty());
    }

    /// Is the socket with this inode one of ours?
    #[must_use]
    pub fn knows(&self, inode: u64) -> bool {
        self.groups.iter().any(|group| group.knows(inode))
    }

    /// Ports of which a bind has to be asked about.
    pub fn ports(&self) -> impl Iterator<Item = u16> {
        self.groups.iter().map(|group| group.place.address.port())
    }

    /// Ports on which programs have sockets that are connected to a client each, and may have very many. They allow each other the
    /// port by themselves.
    pub fn left(&self) -> impl Iterator<Item = u16> {
        let left = self.groups.iter().filter(|group| group.is_loose() && group.shares());
        left.map(|group| group.place.address.port())
    }

    /// Does the program have several sockets by SO_REUSEADDR at an address that overlaps with this one? Generations can have it at the
    /// same time then, too.
    #[must_use]
    pub fn is_by_address(&self, place: &Place) -> bool {
        let mut groups = self.groups.iter().filter(|group| group.place.overlaps(place));
        groups.any(|group| group.unsteered() == Some(Unsteered::ByAddress))
    }

    /// Where the generation takes datagrams of strangers.
    #[must_use]
    pub fn served_by(&self, generation: u64) -> BTreeSet<Place> {
        let groups = self.groups.iter().filter(|group| group.serves(generation));
        groups.map(|group| group.place.clone()).collect()
    }

    /// Does a socket of the generation at this address get them, and no other's; and is it still there by the kernel's word?
    #[must_use]
    pub fn is_steered_to(&self, generation: u64, place: &Place, rows: &[Row]) -> bool {
        let bound = |inode: u64| {
            let mut rows = rows.iter().filter(|row| row.inode == inode);
            rows.any(|row| row.is_at(place) && !row.connected)
        };
        let mut groups = self.groups.iter().filter(|group| group.place == *place);
        groups.any(|group| group.is_steered_to(generation) && group.owned(generation).any(|it| bound(it.inode)))
    }

    /// Where the generation's datagrams cannot be steered, and why; but for those that two generations can have without that.
    pub fn unsteered(&self, generation: u64) -> impl Iterator<Item = (&Place, Unsteered)> {
        let groups = self.groups.iter().filter(move |group| group.serves(generation));
        let unsteered = groups.filter_map(|group| Some((&group.place, group.unsteered()?)));
        unsteered.filter(|it| it.1 != Unsteered::ByAddress)
    }

    /// The kernel alone decides about the address of this socket.
    pub fn leave_unsteered(&mut self, inode: u64, why: Unsteered) {
        for group in self.groups.iter_mut().filter(|group| group.knows(inode)) {
            group.leave_unsteered(why);
        }
    }

    /// The same for all addresses that overlap with this one.
    pub fn leave_unsteered_at(&mut self, place: &Place, why: Unsteered) {
        for group in self.groups.iter_mut().filter(|group| group.place.overlaps(place)) {
            group.leave_unsteered(why);
        }
    }

    /// The program allows others the same address with this socket, or no more. `false`: it is none of ours.
    pub fn note_shares(&mut self, inode: u64, shares: bool) -> bool {
        self.groups
            .iter_mut()
            .for_each(|group| group.note_shares(inode, shares));
        self.knows(inode)
    }

    /// This process was seen to hold the socket.
    pub fn note_holder(&mut self, inode: u64, holder: (i32, RawFd)) {
        self.groups
            .iter_mut()
            .for_each(|group| group.note_holder(inode, holder));
    }

    /// The programs' sockets of which segue has a copy, at addresses that overlap with this one, or all.
    #[must_use]
    pub fn held(&self, place: Option<&Place>) -> Vec<Held> {
        let at = |group: &&Group| place.is_none_or(|place| group.place.overlaps(place));
        self.groups.iter().filter(at).flat_map(Group::held).collect()
    }

    /// Those that get datagrams.
    pub fn watched(&self) -> impl Iterator<Item = (u64, BorrowedFd<'_>)> {
        self.groups.iter().flat_map(Group::watched)
    }

    /// How much waits in this socket, in bytes of the kernel's memory; `None`: it is none of ours.
    #[must_use]
    pub fn waiting_in(&self, inode: u64) -> Option<u32> {
        self.groups.iter().find_map(|group| group.waiting_in(inode))
    }

    /// Do datagrams wait for this generation?
    #[must_use]
    pub fn wait_for(&self, generation: u64) -> bool {
        let mut held = self.held(None).into_iter();
        held.any(|it| it.generation == generation && self.waiting_in(it.inode).unwrap_or(0) > 0)
    }
}

#[cfg(test)]
mod tests;
