//! KEEPS the sockets of one address: a member for each generation, which of them gets the new connections, and what
//! becomes of a member whose generation is gone.

use std::{
    collections::HashMap,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use nix::sys::socket::{Shutdown, getsockopt, shutdown, sockopt};

use super::{
    listener::{self, TcpAddress},
    order::Order,
    steering::{self, Choice},
};

/// One listening address, one socket per generation.
#[derive(Debug)]
pub struct Group {
    address: TcpAddress,
    members: HashMap<MemberId, Member>,
    order: Order<MemberId>,
    chosen: Option<MemberId>,
    probe: Option<(u16, u64)>,
    last_id: MemberId,
}

type MemberId = u32;

#[derive(Debug)]
struct Member {
    socket: OwnedFd,
    /// Whose it is; `None` = it waits for the next generation, with the connections that wait in it.
    owner: Option<u64>,
}

impl Group {
    /// Binds the address and lets connections wait for generation 1.
    pub fn open(address: TcpAddress) -> io::Result<Group> {
        let mut group = Group {
            address,
            members: HashMap::new(),
            order: Order::default(),
            chosen: None,
            probe: None,
            last_id: 0,
        };
        group.chosen = Some(group.join(None, true)?);
        Ok(group)
    }

    /// The generation's own socket: the one that waits if there is one, else a new one that gets no connection before
    /// it is steered to.
    pub fn member(&mut self, generation: u64) -> io::Result<BorrowedFd<'_>> {
        self.forget_the_shut();
        let own = self.find(Some(generation));
        let id = match own.or_else(|| self.waiting()) {
            Some(id) => id,
            None => self.join(Some(generation), self.members.is_empty())?,
        };
        let member = self.members.get_mut(&id).ok_or(io::ErrorKind::NotFound)?;
        member.owner = Some(generation);
        Ok(member.socket.as_fd())
    }

    /// The chosen member first, because connections wait in it.
    fn waiting(&self) -> Option<MemberId> {
        let free = |id: &MemberId| self.members.get(id).is_some_and(|member| member.owner.is_none());
        self.chosen.filter(free).or_else(|| self.find(None))
    }

    fn find(&self, owner: Option<u64>) -> Option<MemberId> {
        self.order
            .iter()
            .find(|id| self.members.get(id).is_some_and(|member| member.owner == owner))
    }

    fn join(&mut self, owner: Option<u64>, first: bool) -> io::Result<MemberId> {
        let socket = listener::tcp(self.address, first)?;
        // Whoever joins a group gets nothing until its program says so; the first brings the program along.
        if first {
            self.attach(socket.as_fd())?;
        }
        listener::open(&socket)?;
        self.last_id += 1;
        let id = self.last_id;
        self.order.join(id);
        self.members.insert(id, Member { socket, owner });
        Ok(id)
    }

    /// Gives new connections to the generation.
    pub fn steer(&mut self, generation: u64) -> io::Result<()> {
        self.forget_the_shut();
        self.chosen = self.find(Some(generation)).or(self.chosen);
        self.reattach()
    }

    /// Connections from this local port go to this generation, for as long as its readiness is asked after.
    pub fn probe(&mut self, probe: Option<(u16, u64)>) -> io::Result<()> {
        self.forget_the_shut();
        self.probe = probe;
        self.reattach()
    }

    /// The generation is over. If it had the new connections its socket waits for the next one; else it goes, at once
    /// or as soon as its going moves no number that the program answers.
    pub fn release(&mut self, generation: u64) -> io::Result<()> {
        self.forget_the_shut();
        if self.probe.is_some_and(|(_, whose)| whose == generation) {
            self.probe = None;
        }
        for member in self
            .members
            .values_mut()
            .filter(|member| member.owner == Some(generation))
        {
            member.owner = None;
        }
        let spare: Vec<MemberId> = self.order.iter().filter(|id| self.is_spare(*id)).collect();
        for id in spare.into_iter().rev() {
            if self.order.may_leave(id, self.chosen) {
                self.leave(id);
            }
        }
        self.reattach()
    }

    fn is_spare(&self, id: MemberId) -> bool {
        Some(id) != self.chosen && self.members.get(&id).is_some_and(|member| member.owner.is_none())
    }

    fn leave(&mut self, id: MemberId) {
        if let Some(member) = self.members.remove(&id) {
            // A process of the generation that could not be killed may still hold it.
            let shut = shutdown(std::os::fd::AsRawFd::as_raw_fd(&member.socket), Shutdown::Both);
            tracing::trace!(?shut, "a listening socket left its group");
        }
        self.order.leave(id);
    }

    /// A program may shut its socket down, which takes it out of the group while segue still holds it.
    fn forget_the_shut(&mut self) {
        let is_shut = |member: &Member| !getsockopt(&member.socket, sockopt::AcceptConn).unwrap_or(false);
        let shut: Vec<MemberId> = self
            .order
            .iter()
            .filter(|id| self.members.get(id).is_some_and(is_shut))
            .collect();
        for id in shut {
            self.members.remove(&id);
            self.order.leave(id);
            if self.chosen == Some(id) {
                self.chosen = None;
            }
        }
    }

    /// How many connections wait for this generation.
    #[must_use]
    pub fn queued(&self, generation: u64) -> u32 {
        let own = self.members.values().filter(|member| member.owner == Some(generation));
        own.map(|member| steering::waiting(member.socket.as_fd()).unwrap_or(0))
            .sum()
    }

    /// Closes segue's copies of every socket; connections that wait where no program has a copy are reset.
    pub fn close(&mut self) {
        self.members.clear();
        self.order = Order::default();
        self.chosen = None;
    }

    fn reattach(&self) -> io::Result<()> {
        match self.members.values().next() {
            Some(member) => self.attach(member.socket.as_fd()),
            None => Ok(()),
        }
    }

    fn attach(&self, member: BorrowedFd<'_>) -> io::Result<()> {
        let number = |id| self.order.index(id).and_then(|index| u32::try_from(index).ok());
        let probe = self
            .probe
            .and_then(|(port, whose)| Some((port, number(self.find(Some(whose))?)?)));
        steering::steer(
            member,
            Choice {
                everybody: self.chosen.and_then(number).unwrap_or(0),
                probe,
            },
        )
    }
}
