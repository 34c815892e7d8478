//! KEEPS the UDP sockets of one address: members of a SO_REUSEPORT group from their bind on, and numbered by it. A steering program
//! is attached before a second generation binds, and taken away when the first is gone (`choosing`).

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd},
    time::{Duration, Instant},
};

use super::{choosing::Unsteered, room::Bound, table::Row};
use crate::handover::{facts, group::Held, listener::Place, order::Order};

/// When a socket is looked at again after its bind was let pass: is it bound, does it know with whom it talks, is it closed? A
/// client's mostly is soon. The last look gives up a bind that has failed.
const LOOKS: [Duration; 3] = [
    Duration::from_millis(200),
    Duration::from_secs(1),
    Duration::from_secs(5),
];
/// `SO_MEMINFO` of asm-generic/socket.h; its first number is that of bytes that wait to be read.
const MEMORY: i32 = 55;

/// A socket whose bind is let pass.
#[derive(Debug)]
pub struct Joining {
    /// What is known of it.
    pub bound: Bound,
    /// A copy of it.
    pub socket: OwnedFd,
    /// What tells it from others.
    pub inode: u64,
    /// The process that binds, and the socket's number there.
    pub holder: (i32, RawFd),
}

/// One address.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) place: Place,
    pub(super) user: u32,
    pub(super) members: Vec<Member>,
    /// Those that are bound, as the kernel numbers them.
    pub(super) order: Order<u64>,
    /// Those that get datagrams.
    pub(super) chosen: Vec<u64>,
    pub(super) serving: Option<u64>,
    /// Has it a steering program of segue's?
    pub(super) steered: bool,
    /// Was one of its sockets connected?
    pub(super) loose: bool,
    pub(super) unsteered: Option<Unsteered>,
}

#[derive(Debug)]
pub(super) struct Member {
    pub(super) bound: Bound,
    pub(super) inode: u64,
    /// `None`: it is connected, a client's affair, and segue has no copy any more.
    pub(super) socket: Option<OwnedFd>,
    pub(super) holder: (i32, RawFd),
    /// Was it seen to be bound?
    pub(super) seen: bool,
    /// Was it seen not to be connected a while after that?
    pub(super) settled: bool,
    /// Its program has it no more.
    pub(super) over: bool,
    pub(super) since: Instant,
    pub(super) looks: usize,
}

impl Group {
    /// One without members.
    pub(super) fn new(place: Place, user: u32, serving: Option<u64>) -> Group {
        Group {
            place,
            user,
            members: Vec::new(),
            order: Order::default(),
            chosen: Vec::new(),
            serving,
            steered: false,
            loose: false,
            unsteered: None,
        }
    }

    pub(super) fn is_of(&self, place: &Place, user: u32) -> bool {
        self.place == *place && self.user == user
    }

    pub(super) fn knows(&self, inode: u64) -> bool {
        self.members.iter().any(|it| it.inode == inode)
    }

    /// A socket is about to be bound here: it gets nothing before it is steered to, if it is not of the generation that serves.
    pub(super) fn admit(&mut self, joining: Joining) {
        self.confirm();
        let Joining {
            bound,
            socket,
            inode,
            holder,
        } = joining;
        if self
            .members
            .iter()
            .any(|it| !it.seen && it.bound.generation != bound.generation)
        {
            self.unsteered.get_or_insert(Unsteered::ByOrder);
        }
        self.members.push(Member {
            bound,
            inode,
            socket: Some(socket),
            holder,
            seen: false,
            settled: false,
            over: false,
            since: Instant::now(),
            looks: 0,
        });
        self.choose();
        self.attach_or_leave();
    }

    /// Those that were seen to be bound just now: whose they are.
    pub(super) fn confirm(&mut self) -> Vec<u64> {
        let mut confirmed = Vec::new();
        for it in self.members.iter_mut().filter(|it| !it.seen) {
            let is_bound = it
                .socket
                .as_ref()
                .is_some_and(|socket| matches!(facts::name(socket), Ok(Some(_))));
            if is_bound {
                it.seen = true;
                self.order.join(it.inode);
                confirmed.push(it.bound.generation);
            }
        }
        if !confirmed.is_empty() {
            self.choose();
            self.attach_or_leave();
            self.let_spares_go();
        }
        confirmed
    }

    /// Looks at those that are due, or at all: which are connected by now, which could not be bound.
    pub(super) fn look(&mut self, now: Option<Instant>) {
        for it in &mut self.members {
            let due = it.next_look().is_some_and(|at| now.is_some_and(|now| at <= now));
            if due {
                it.looks += 1;
            }
            if !due && now.is_some() {
                continue;
            }
            if it.socket.as_ref().is_some_and(facts::is_connected) {
                it.socket = None;
                self.loose = true;
            } else if it.seen {
                it.settled |= due;
            } else if it.looks == LOOKS.len() {
                it.over = true;
            }
        }
        let (order, chosen) = (&mut self.order, &mut self.chosen);
        for it in self
            .members
            .iter()
            .filter(|it| it.socket.is_none() || (it.over && !it.seen))
        {
            order.leave(it.inode);
            chosen.retain(|inode| *inode != it.inode);
        }
        self.members.retain(|it| !it.over || it.seen);
        self.choose();
        self.attach_or_leave();
        self.let_spares_go();
    }

    pub(super) fn next_look(&self) -> Option<Instant> {
        self.members.iter().filter_map(Member::next_look).min()
    }

    /// Connected ones that are gone; and is one here that is not ours?
    pub(super) fn compare(&mut self, rows: &[Row]) {
        let there = |inode: u64| rows.iter().any(|row| row.inode == inode);
        self.members.retain(|it| it.socket.is_some() || there(it.inode));
        let strange = |row: &&Row| row.is_at(&self.place) && row.inode != 0 && !self.knows(row.inode);
        if !self.members.is_empty() && rows.iter().any(|row| strange(&row)) {
            self.unsteered.get_or_insert(Unsteered::ByStrangers);
            self.attach_or_leave();
        }
    }

    pub(super) fn begin(&mut self, serving: Option<u64>) {
        self.serving = serving;
    }

    /// Gives datagrams to the generation, if it has a socket here.
    pub(super) fn steer(&mut self, generation: u64) -> io::Result<()> {
        self.serving = Some(generation);
        self.confirm();
        self.look(None);
        self.reattach()
    }

    /// The generation is over, or about to close its sockets with nobody beside it.
    pub(super) fn release(&mut self, generation: u64) {
        let owns = |it: &Member| it.bound.generation == generation;
        let its: Vec<u64> = self.members.iter().filter(|it| owns(it)).map(|it| it.inode).collect();
        if self.serving == Some(generation) {
            self.serving = None;
        }
        its.into_iter().for_each(|inode| self.abandon(inode));
    }

    /// Is nobody else's socket here?
    pub(super) fn is_only_of(&self, generation: u64) -> bool {
        self.members
            .iter()
            .all(|it| it.bound.generation == generation || it.over)
    }

    /// No process holds this socket any more.
    pub(super) fn abandon(&mut self, inode: u64) {
        self.confirm();
        for it in self.members.iter_mut().filter(|it| it.inode == inode) {
            it.over = true;
        }
        self.chosen.retain(|it| *it != inode);
        self.choose();
        self.attach_or_leave();
        self.let_spares_go();
    }

    pub(super) fn socket(&self, inode: u64) -> Option<BorrowedFd<'_>> {
        let member = self.members.iter().find(|it| it.inode == inode)?;
        member.socket.as_ref().map(AsFd::as_fd)
    }

    /// Has the generation a socket here that gets datagrams of strangers, or would?
    pub(super) fn serves(&self, generation: u64) -> bool {
        self.owned(generation).next().is_some()
    }

    pub(super) fn owned(&self, generation: u64) -> impl Iterator<Item = &Member> {
        let own = move |it: &&Member| it.bound.generation == generation;
        self.members
            .iter()
            .filter(own)
            .filter(|it| it.seen && !it.over && it.socket.is_some())
    }

    /// The program allows others of its own the same address, or no more.
    pub(super) fn note_shares(&mut self, inode: u64, shares: bool) {
        for it in self.members.iter_mut().filter(|it| it.inode == inode) {
            it.bound.shares = shares;
        }
    }

    pub(super) fn note_holder(&mut self, inode: u64, holder: (i32, RawFd)) {
        for it in self.members.iter_mut().filter(|it| it.inode == inode) {
            it.holder = holder;
        }
    }

    pub(super) fn held(&self) -> impl Iterator<Item = Held> {
        let held = self.members.iter().filter(|it| !it.over && it.socket.is_some());
        held.map(|it| Held {
            inode: it.inode,
            holder: it.holder,
            generation: it.bound.generation,
        })
    }

    /// Those that get datagrams, and that a program may let go of.
    pub(super) fn watched(&self) -> impl Iterator<Item = (u64, BorrowedFd<'_>)> {
        let gets = |it: &&Member| it.seen && !it.over && (!self.steered || self.chosen.contains(&it.inode));
        let watched = self.members.iter().filter(gets);
        watched.filter_map(|it| Some((it.inode, it.socket.as_ref()?.as_fd())))
    }

    /// How much waits in this socket, in bytes of the kernel's memory.
    pub(super) fn waiting_in(&self, inode: u64) -> Option<u32> {
        waiting(self.socket(inode)?).ok()
    }
}

impl Member {
    fn next_look(&self) -> Option<Instant> {
        let socket = self.socket.as_ref().filter(|_| !self.over);
        socket.and_then(|_| Some(self.since + *LOOKS.get(self.looks)?))
    }
}

fn waiting(socket: BorrowedFd<'_>) -> io::Result<u32> {
    let mut numbers = [0; 4];
    facts::bytes(socket, libc::SOL_SOCKET, MEMORY, &mut numbers)?;
    Ok(u32::from_ne_bytes(numbers))
}
