//! KEEPS the sockets of one address: the members of each generation, and which of them get the new connections. (What
//! becomes of a member that nobody needs any more is in `leaving`.)

mod leaving;

use std::{
    collections::HashMap,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use nix::{
    fcntl::{FcntlArg, OFlag, fcntl},
    sys::{
        socket::{Backlog, listen},
        stat::fstat,
    },
};

use super::{
    listener::{self, Place, Sharing},
    options::Options,
    order::Order,
    steering::{self, Choice},
};

/// One listening address, and a socket or several for each generation.
#[derive(Debug)]
pub struct Group {
    place: Place,
    members: HashMap<MemberId, Member>,
    /// Those that listen.
    order: Order<MemberId>,
    /// Those that get new connections.
    chosen: Vec<MemberId>,
    /// Whose members are to get them, as far as it has any.
    serving: Option<u64>,
    /// Segue's own, that refuses connections.
    refuser: Option<MemberId>,
    probe: Option<(u16, u64)>,
    last_id: MemberId,
}

type MemberId = u32;

#[derive(Debug)]
struct Member {
    socket: OwnedFd,
    inode: u64,
    /// Whose it is; `None` = it waits for the next generation, with the connections that wait in it.
    owner: Option<u64>,
    /// Did the program allow others of its own (SO_REUSEPORT)?
    shares: bool,
}

/// What a program wants of the socket that it binds.
#[derive(Debug, Clone)]
pub struct Wish {
    /// Options that it has set.
    pub options: Options,
    /// O_NONBLOCK, if it has set that.
    pub flags: OFlag,
}

impl Group {
    /// A group without members.
    #[must_use]
    pub fn new(place: Place, serving: Option<u64>) -> Group {
        Group {
            place,
            members: HashMap::new(),
            order: Order::default(),
            chosen: Vec::new(),
            serving,
            refuser: None,
            probe: None,
            last_id: 0,
        }
    }

    /// Binds the address and lets connections wait for generation 1.
    pub fn open(place: Place) -> io::Result<Group> {
        let mut group = Group::new(place, None);
        let id = group.join(None, Sharing::AfterBind, &Options::default())?;
        group.listen_as(id, Backlog::MAXALLOWABLE)?;
        Ok(group)
    }

    /// The address.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Is there no socket in it?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The generation's own listening socket: the one that waits if there is one, else a new one that gets no connection
    /// before it is steered to.
    pub fn member(&mut self, generation: u64) -> io::Result<BorrowedFd<'_>> {
        self.forget_the_shut();
        let id = match self.find(Some(generation)).or_else(|| self.waiting()) {
            Some(id) => id,
            None => {
                let sharing = self.sharing();
                let id = self.join(Some(generation), sharing, &Options::default())?;
                self.listen_as(id, Backlog::MAXALLOWABLE)?;
                id
            }
        };
        self.give(id, generation).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// The socket for a program that binds the address: the one that waits, one of its own that it has closed, or a new
    /// one, which does not listen yet. Its inode tells it from others. `held` says whether the program still has the
    /// socket with an inode open.
    pub fn bind(
        &mut self,
        generation: u64,
        wish: &Wish,
        sharing: Sharing,
        held: impl Fn(u64) -> bool,
    ) -> io::Result<u64> {
        self.forget_the_shut();
        let (shares, mut dropped) = (wish.options.shares(), None);
        for (id, member) in self.members.iter().filter(|it| it.1.owner == Some(generation)) {
            if !held(member.inode) {
                dropped = Some(*id);
            } else if !(shares && member.shares) {
                return Err(io::Error::from_raw_os_error(libc::EADDRINUSE));
            }
        }
        let id = match dropped.or_else(|| self.waiting()) {
            Some(id) => {
                if let Some(member) = self.members.get(&id) {
                    wish.options.apply_again(member.socket.as_fd());
                }
                id
            }
            None => self.join(Some(generation), sharing, &wish.options)?,
        };
        let member = self.members.get_mut(&id).ok_or(io::ErrorKind::NotFound)?;
        member.shares = shares;
        member.owner = Some(generation);
        fcntl(&member.socket, FcntlArg::F_SETFL(wish.flags))?;
        Ok(member.inode)
    }

    /// The socket with this inode.
    #[must_use]
    pub fn socket(&self, inode: u64) -> Option<BorrowedFd<'_>> {
        let member = self.members.values().find(|member| member.inode == inode)?;
        Some(member.socket.as_fd())
    }

    /// How many sockets the generation has here.
    #[must_use]
    pub fn count(&self, generation: u64) -> usize {
        let own = self.members.values().filter(|member| member.owner == Some(generation));
        own.count()
    }

    /// When a new member may share the address: at once if we have it already.
    #[must_use]
    pub fn sharing(&self) -> Sharing {
        if self.members.is_empty() {
            Sharing::AfterBind
        } else {
            Sharing::Allowed
        }
    }

    fn give(&mut self, id: MemberId, generation: u64) -> Option<BorrowedFd<'_>> {
        let member = self.members.get_mut(&id)?;
        member.owner = Some(generation);
        Some(member.socket.as_fd())
    }

    /// A chosen member first, because connections wait in it.
    fn waiting(&self) -> Option<MemberId> {
        let free = |id: &MemberId| self.members.get(id).is_some_and(|member| member.owner.is_none());
        self.chosen.iter().copied().find(free).or_else(|| self.find(None))
    }

    fn find(&self, owner: Option<u64>) -> Option<MemberId> {
        self.listening(owner).next()
    }

    /// The listening members of an owner.
    fn listening(&self, owner: Option<u64>) -> impl Iterator<Item = MemberId> {
        self.order
            .iter()
            .filter(move |id| self.members.get(id).is_some_and(|member| member.owner == owner))
    }

    fn with_inode(&self, inode: u64) -> Option<MemberId> {
        self.members.iter().find(|it| it.1.inode == inode).map(|it| *it.0)
    }

    /// Is this socket one of ours?
    #[must_use]
    pub fn knows(&self, inode: u64) -> bool {
        self.with_inode(inode).is_some()
    }

    fn join(&mut self, owner: Option<u64>, sharing: Sharing, options: &Options) -> io::Result<MemberId> {
        let socket = listener::tcp(&self.place, sharing, options)?;
        let inode = fstat(&socket)?.st_ino;
        self.last_id += 1;
        let id = self.last_id;
        let member = Member {
            socket,
            inode,
            owner,
            shares: false,
        };
        self.members.insert(id, member);
        Ok(id)
    }

    /// Makes the socket with this inode listen, as its program asks.
    pub fn listen(&mut self, inode: u64, backlog: Backlog) -> io::Result<()> {
        self.forget_the_shut();
        let id = self.with_inode(inode).ok_or(io::ErrorKind::NotFound)?;
        self.listen_as(id, backlog)
    }

    fn listen_as(&mut self, id: MemberId, backlog: Backlog) -> io::Result<()> {
        let member = self.members.get(&id).ok_or(io::ErrorKind::NotFound)?;
        let begins = self.order.index(id).is_none();
        // The first member has nobody to share with until it has the program, which keeps connections from all others
        // that join before they are chosen. (With a program from before, listen would not go together with an address
        // of ours that overlaps: `inet_csk_bind_conflict` in Linux.)
        listen(&member.socket, backlog)?;
        if begins {
            self.order.join(id);
        }
        self.choose();
        self.reattach()
    }

    /// The members of who serves, as soon as it has any here; before that they stay as they are.
    fn choose(&mut self) {
        let own: Vec<MemberId> = self.listening(self.serving).collect();
        if self.serving.is_some() && !own.is_empty() {
            self.chosen = own;
        } else if self.chosen.is_empty() {
            self.chosen = self.order.iter().take(1).collect();
        }
    }

    /// Gives new connections to the generation.
    pub fn steer(&mut self, generation: u64) -> io::Result<()> {
        self.forget_the_shut();
        self.serving = Some(generation);
        self.choose();
        self.reattach()
    }

    /// Lets new connections wait in a socket that the next generation is given.
    pub fn hold(&mut self) -> io::Result<()> {
        self.forget_the_shut();
        if self.order.iter().next().is_none() {
            return Ok(());
        }
        let id = self.join(None, Sharing::Allowed, &Options::default())?;
        self.listen_as(id, Backlog::MAXALLOWABLE)?;
        (self.serving, self.chosen) = (None, vec![id]);
        self.reattach()
    }

    /// Gives new connections to a socket of segue's own, a copy of which is returned: whoever accepts there refuses them.
    pub fn refuse(&mut self) -> io::Result<OwnedFd> {
        self.forget_the_shut();
        let sharing = self.sharing();
        let id = self.join(None, sharing, &Options::default())?;
        self.listen_as(id, Backlog::MAXALLOWABLE)?;
        (self.serving, self.refuser, self.chosen) = (None, Some(id), vec![id]);
        self.reattach()?;
        let member = self.members.get(&id).ok_or(io::ErrorKind::NotFound)?;
        fcntl(&member.socket, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        member.socket.try_clone()
    }

    /// Does the generation listen here?
    #[must_use]
    pub fn listens(&self, generation: u64) -> bool {
        self.find(Some(generation)).is_some()
    }

    /// Connections from this local port go to this generation, for as long as its readiness is asked after.
    pub fn probe(&mut self, probe: Option<(u16, u64)>) -> io::Result<()> {
        self.forget_the_shut();
        self.probe = probe;
        self.reattach()
    }

    /// How many connections wait for this generation.
    #[must_use]
    pub fn queued(&self, generation: u64) -> u32 {
        let own = self.members.values().filter(|member| member.owner == Some(generation));
        own.map(|member| steering::waiting(member.socket.as_fd()).unwrap_or(0))
            .sum()
    }

    fn reattach(&self) -> io::Result<()> {
        match self.order.iter().find_map(|id| self.members.get(&id)) {
            Some(member) => self.attach(member.socket.as_fd()),
            None => Ok(()),
        }
    }

    fn attach(&self, member: BorrowedFd<'_>) -> io::Result<()> {
        let number = |id| self.order.index(id).and_then(|index| u32::try_from(index).ok());
        let probe = self
            .probe
            .and_then(|(port, whose)| Some((port, number(self.find(Some(whose))?)?)));
        let everybody = self.chosen.iter().filter_map(|id| number(*id)).collect();
        steering::steer(member, Choice { everybody, probe })
    }
}
