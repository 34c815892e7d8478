//! KEEPS the listening sockets of one address: the members of each generation, and which of them get the new connections.
//! A member is the program's own socket, of which segue has a copy, or one that segue has made. (Who joins is in `joining`,
//! who leaves in `leaving`.)

mod joining;
mod leaving;

use std::{
    collections::BTreeMap,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd},
};

pub use self::{
    joining::{Joining, Refused},
    leaving::Held,
};
use super::{
    listener::Place,
    order::Order,
    steering::{self, Choice},
};

/// One listening address, and a socket or several for each generation.
#[derive(Debug)]
pub struct Group {
    place: Place,
    /// The user whom its sockets belong to, which the kernel wants to be the same.
    user: u32,
    members: BTreeMap<MemberId, Member>,
    /// Those that listen, as the kernel numbers them.
    order: Order<MemberId>,
    /// Those that get new connections.
    chosen: Vec<MemberId>,
    /// Whose members are to get them, as far as it has any.
    serving: Option<u64>,
    /// Segue's own, that resets connections.
    refuser: Option<MemberId>,
    /// The one that a generation accepts at.
    served_refuser: Option<MemberId>,
    probe: Option<(u16, u64)>,
    /// Why the kernel alone decides who gets a connection.
    unsteered: Option<Unsteered>,
    /// Does the program that serves bind the address again at this moment, having closed its socket?
    reopening: bool,
    /// Could a program notice that it is given the socket in which connections wait? Then none come to wait there.
    keeps_out: bool,
    /// Connections that waited in sockets that are gone.
    lost: u32,
    last_id: MemberId,
}

type MemberId = u32;

#[derive(Debug)]
struct Member {
    socket: OwnedFd,
    inode: u64,
    kind: Kind,
    /// Whose it is; `None` = it waits for the next generation, with the connections that wait in it, or is of no use.
    owner: Option<u64>,
    /// Did the program allow others of its own (SO_REUSEPORT)?
    shares: bool,
    /// Segue's own connection that fills its queue.
    filler: Option<OwnedFd>,
    /// The process that listened on it, then one that was seen to hold it; and the socket's number there.
    holder: (i32, RawFd),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The program's own, which it may close whenever it likes.
    Own { multipath: bool },
    /// Segue's, passed to the program or waiting for one.
    Made { multipath: bool },
}

/// Why a group is not steered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsteered {
    /// The program has a steering program of its own.
    BySteeringOfItsOwn,
    /// Sockets of other processes are among the members, so their numbers are unknown.
    ByStrangers,
    /// The kernel has refused the choice.
    ByKernel,
}

impl Unsteered {
    /// In words.
    #[must_use]
    pub fn why(self) -> &'static str {
        match self {
            Unsteered::BySteeringOfItsOwn => "the program steers its connections by a BPF program of its own",
            Unsteered::ByStrangers => "sockets that are not the program's listen on its address, too",
            Unsteered::ByKernel => "the kernel refused a steering program",
        }
    }
}

impl Group {
    /// A group without members.
    #[must_use]
    pub fn new(place: Place, user: u32, serving: Option<u64>) -> Group {
        Group {
            place,
            user,
            members: BTreeMap::new(),
            order: Order::default(),
            chosen: Vec::new(),
            serving,
            refuser: None,
            served_refuser: None,
            probe: None,
            unsteered: None,
            reopening: false,
            keeps_out: false,
            lost: 0,
            last_id: 0,
        }
    }

    /// The address.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The user whom its sockets belong to.
    #[must_use]
    pub fn user(&self) -> u32 {
        self.user
    }

    /// Is there no socket in it, but one that refuses?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.keys().all(|id| Some(*id) == self.refuser)
    }

    /// Why it is not steered.
    #[must_use]
    pub fn unsteered(&self) -> Option<Unsteered> {
        self.unsteered
    }

    /// The inodes of its sockets.
    pub fn inodes(&self) -> impl Iterator<Item = u64> {
        self.members.values().map(|member| member.inode)
    }

    /// How many sockets the generation has here.
    #[must_use]
    pub fn count(&self, generation: u64) -> usize {
        let own = self.members.values().filter(|member| member.owner == Some(generation));
        own.count()
    }

    /// Is this socket one of ours?
    #[must_use]
    pub fn knows(&self, inode: u64) -> bool {
        self.with_inode(inode).is_some()
    }

    /// Does the generation listen here?
    #[must_use]
    pub fn listens(&self, generation: u64) -> bool {
        self.find(Some(generation)).is_some()
    }

    /// The program allows others the same address with its socket of this inode, or no more. (In the kernel it stays allowed,
    /// or the socket would leave the group.)
    pub fn note_shares(&mut self, inode: u64, shares: bool) {
        if let Some(member) = self.members.values_mut().find(|member| member.inode == inode) {
            member.shares = shares;
        }
    }

    /// Do the generation's sockets here, and one more that shares or not, go together? As the kernel would have it of sockets
    /// whose option is the program's alone.
    #[must_use]
    pub fn has_room(&self, generation: u64, shares: bool) -> bool {
        let mut own = self.members.values().filter(|member| member.owner == Some(generation));
        own.all(|member| shares && member.shares)
    }

    /// How many connections wait for this generation, in sockets that a process holds.
    #[must_use]
    pub fn queued(&self, generation: u64) -> u32 {
        let own = self.members.values().filter(|member| member.owner == Some(generation));
        own.map(|member| steering::waiting(member.socket.as_fd()).unwrap_or(0))
            .sum()
    }

    fn find(&self, owner: Option<u64>) -> Option<MemberId> {
        self.listening(owner).next()
    }

    /// The listening members of an owner.
    fn listening(&self, owner: Option<u64>) -> impl Iterator<Item = MemberId> {
        self.order
            .iter()
            .filter(move |id| Some(*id) != self.refuser)
            .filter(move |id| self.members.get(id).is_some_and(|member| member.owner == owner))
    }

    fn with_inode(&self, inode: u64) -> Option<MemberId> {
        self.members.iter().find(|it| it.1.inode == inode).map(|it| *it.0)
    }

    /// A member in which connections wait for the next generation.
    fn waiting(&self) -> Option<MemberId> {
        let free = |id: &MemberId| {
            Some(*id) != self.refuser && self.members.get(id).is_some_and(|member| member.owner.is_none())
        };
        self.chosen.iter().copied().find(free)
    }

    /// The members of who serves, as soon as it has any here; before that they stay as they are.
    fn choose(&mut self) {
        let own: Vec<MemberId> = self.listening(self.serving).collect();
        if self.serving.is_some() && !own.is_empty() {
            self.chosen = own;
        } else if self.chosen.is_empty() {
            let first = self.order.iter().find(|id| Some(*id) != self.refuser);
            self.chosen = first.into_iter().collect();
        }
    }

    /// Gives new connections to the generation.
    pub fn steer(&mut self, generation: u64) -> io::Result<()> {
        self.forget_the_shut();
        self.serving = Some(generation);
        self.choose();
        self.reattach()?;
        // Connections may have waited in a socket that the generation was not given.
        self.let_spares_go();
        self.reattach()
    }

    /// Connections from this local port go to this generation, for as long as its readiness is asked after.
    pub fn probe(&mut self, probe: Option<(u16, u64)>) -> io::Result<()> {
        self.forget_the_shut();
        self.probe = probe;
        self.reattach()
    }

    /// The kernel decides from now on, as it would without segue.
    pub fn leave_unsteered(&mut self, why: Unsteered) -> io::Result<()> {
        if self.unsteered.replace(why).is_some() || why == Unsteered::BySteeringOfItsOwn {
            return Ok(());
        }
        self.attacher().map_or(Ok(()), steering::detach)
    }

    /// The member through which segue sets which member the group chooses: a Multipath TCP socket does not take that.
    fn attacher(&self) -> Option<BorrowedFd<'_>> {
        let mut members = self.order.iter().filter_map(|id| self.members.get(&id));
        let plain = members.find(|member| !member.is_multipath());
        plain.map(|member| member.socket.as_fd())
    }

    fn reattach(&mut self) -> io::Result<()> {
        if self.unsteered.is_some() {
            return Ok(());
        }
        let Some(attacher) = self.attacher() else { return Ok(()) };
        let number = |id| self.order.index(id).and_then(|index| u32::try_from(index).ok());
        let probe = self
            .probe
            .and_then(|(port, whose)| Some((port, number(self.find(Some(whose))?)?)));
        let everybody = self.chosen.iter().filter_map(|id| number(*id)).collect();
        steering::steer(attacher, Choice { everybody, probe })
    }
}

impl Member {
    fn is_multipath(&self) -> bool {
        match self.kind {
            Kind::Own { multipath } | Kind::Made { multipath } => multipath,
        }
    }

    fn is_own(&self) -> bool {
        matches!(self.kind, Kind::Own { .. })
    }
}
