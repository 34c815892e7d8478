//! DECIDES what becomes of the program's bind(2) and listen(2): how it comes out as it would without segue, and the socket can
//! be handed over all the same. What cannot passes, and is remembered: such a program is restarted stop-first.

use std::{
    io,
    os::fd::{OwnedFd, RawFd},
};

use nix::sys::socket::{Backlog, setsockopt, sockopt};

use super::{Supervisor, unix_sockets::OnUnix};
use crate::handover::{
    datagrams,
    facts::{Facts, State},
    group::{Held, Joining, Refused, Unsteered},
    listener::Place,
    sockets::Bind,
    trapped::{Heard, Method, Request, Verdict, Want, address},
};

/// Where a program was seen to listen.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Listens {
    /// On this address, by a socket of which segue has a copy.
    Tcp(Place),
    /// On this address, by a socket that cannot be handed over.
    Passed(Place),
    /// It takes datagrams at this address.
    Udp(Place),
    /// On this path or abstract name.
    Unix(Vec<u8>),
    /// Somewhere that is different each time.
    Somewhere,
}

/// A program's socket that has just begun to listen.
#[derive(Debug)]
pub(super) struct Joined {
    /// Does the program share its address?
    shares: bool,
    held: Held,
    place: Place,
}

/// Reasons that are remembered until a socket listens.
const MOST_NOT_EXCHANGED: usize = 64;
/// More sockets than any program binds before it listens.
const MOST_BOUND: usize = 1_000;

impl Supervisor {
    pub(super) fn on_heard(&mut self, heard: Heard) {
        match heard {
            Heard::Bound => self.see_bound_datagrams(),
            Heard::NotGiven(generation, inode, why) => {
                self.pass(generation, why);
                self.abandon(Held {
                    inode,
                    generation,
                    holder: (0, -1),
                });
                self.on_listens(generation, Listens::Somewhere);
            }
            Heard::Unseen(generation, why) => {
                self.pass(generation, why);
                self.on_listens(generation, Listens::Somewhere);
            }
            Heard::Request(request) => {
                let reply = request.reply.clone();
                let (generation, inode, mut listens) = (request.generation, request.inode, None);
                let verdict = if self.generations.contains_key(&generation) {
                    self.decide(*request, &mut listens)
                } else {
                    Verdict::Pass
                };
                let binds = matches!(verdict, Verdict::PassToBind);
                // It waits no longer than its patience lasts, and has bound by itself then.
                if reply.send(verdict).is_err() && binds {
                    self.sockets
                        .datagrams
                        .leave_unsteered(inode, datagrams::Unsteered::ByOrder);
                }
                if let Some(joined) = self.joined.take() {
                    self.after_join(generation, &joined);
                }
                if let Some(listens) = listens {
                    self.on_listens(generation, listens);
                }
            }
        }
    }

    fn decide(&mut self, request: Request, listens: &mut Option<Listens>) -> Verdict {
        let Request {
            generation,
            process,
            file,
            inode,
            want,
            copy,
            known,
            reply: _,
        } = request;
        let (method, copy) = match (want, copy) {
            (
                want @ (Want::ListenUnix(..)
                | Want::BindPath(_)
                | Want::Unlink(_)
                | Want::Connect(_)
                | Want::Rename(..)),
                copy,
            ) => {
                let it = OnUnix {
                    generation,
                    holder: (process, file),
                    inode,
                    copy,
                };
                return self.decide_unix(it, want, listens);
            }
            (Want::Reach(address), copy) => {
                let reached = self.reach(generation, &address, copy.map(|it| it.1));
                return reached.map_or_else(|errno| Verdict::Return(Err(errno as i32)), |()| Verdict::Pass);
            }
            (Want::ReachPath(target), copy) => {
                let reached = self.reach_path(generation, &target, copy.map(|it| it.1));
                let reached = reached.map(|it| it.map_err(|errno| errno as i32));
                return reached.map_or(Verdict::Pass, Verdict::Return);
            }
            (Want::Share(shares), _) => return self.on_share(generation, inode, shares),
            (Want::SteerByItself, _) => return self.on_steering(generation, inode),
            (Want::BindDatagrams(bytes), copy) => {
                return self.on_bind_datagrams(generation, (process, file), inode, &bytes, copy);
            }
            (Want::Bind(bytes), Err(why)) => {
                let exchanged = self.exchange_at_bind(generation, (process, file), inode, &bytes, known);
                return exchanged.unwrap_or_else(|but| {
                    self.note_not_exchanged(generation, inode, format!("{why}; it cannot be exchanged: {but}"));
                    Verdict::Pass
                });
            }
            (Want::Listen(backlog), Err(why)) => match self.bound.copy(inode).and_then(Result::ok) {
                Some(copy) => {
                    let backlog = Backlog::new(backlog).unwrap_or(Backlog::MAXCONN);
                    (Method::Exchange, (copy, backlog))
                }
                None => {
                    let it = self.generations.get(&generation);
                    let known = it.and_then(|it| it.not_exchanged.iter().find(|it| it.0 == inode));
                    let why = known.map_or(why, |it| it.1.clone());
                    self.pass(generation, why);
                    *listens = Some(Listens::Somewhere);
                    return Verdict::Pass;
                }
            },
            (Want::Bind(bytes), Ok((_, copy))) => return self.on_bind(generation, &bytes, &copy),
            (Want::Listen(backlog), Ok((method, copy))) => {
                let backlog = Backlog::new(backlog).unwrap_or(Backlog::MAXCONN);
                (method, (copy, backlog))
            }
        };
        let (copy, backlog) = copy;
        match self.on_listen(generation, (process, file), copy, backlog, listens) {
            Ok(verdict) => {
                if matches!(listens, Some(Listens::Tcp(_)))
                    && let Some(it) = self.generations.get_mut(&generation)
                {
                    it.method = Some(method);
                    drop(self.bound.take(inode));
                }
                verdict
            }
            Err(error) => {
                self.pass(generation, error.to_string());
                *listens = Some(Listens::Somewhere);
                Verdict::Pass
            }
        }
    }

    /// A socket of a program's that cannot be handed over: said once, and again only if it is for another reason.
    pub(super) fn pass(&mut self, generation: u64, why: String) {
        let Some(it) = self.generations.get_mut(&generation) else {
            return;
        };
        tracing::debug!(generation, why, "a call passes");
        if it.passed.is_none() {
            it.passed = Some(why.clone());
            if self.logged_pass_reason.as_ref() != Some(&why) {
                tracing::warn!(
                    generation,
                    why,
                    remedy = "SEGUE_LISTEN for a program that takes LISTEN_FDS, or SEGUE_HANDOVER=none",
                    "cannot hand over a socket of the program, so a restart stops it first"
                );
                self.logged_pass_reason = Some(why);
            }
        }
    }

    /// Before a bind: where others of ours listen, the socket has to allow that.
    fn on_bind(&mut self, generation: u64, bytes: &[u8], copy: &OwnedFd) -> Verdict {
        let Ok(Some(facts)) = Facts::of(copy) else {
            return Verdict::Pass;
        };
        let address = address::parse(facts.family, bytes);
        let Some(address) = address.filter(|_| facts.is_fresh()) else {
            return Verdict::Pass;
        };
        let place = facts.place(address);
        self.let_go_of_closed(generation, &place);
        match self.sockets.on_bind(generation, &place, facts.shares) {
            Bind::Shared { user } if user == facts.user => {
                if !facts.shares && setsockopt(copy, sockopt::ReusePort, &true).is_ok() {
                    self.note_opened(generation, facts.inode);
                }
                Verdict::Pass
            }
            Bind::InUse { hidden: true } => Verdict::Return(Err(libc::EADDRINUSE)),
            Bind::Alone | Bind::Shared { .. } | Bind::InUse { hidden: false } => Verdict::Pass,
        }
    }

    /// Should it listen, that is why it cannot be handed over.
    fn note_not_exchanged(&mut self, generation: u64, inode: u64, why: String) {
        let exchanges = self.calls.as_ref().is_some_and(|calls| calls.trapped.exchanges());
        if !exchanges {
            return self.pass(generation, why);
        }
        if let Some(it) = self.generations.get_mut(&generation) {
            if it.not_exchanged.len() >= MOST_NOT_EXCHANGED {
                it.not_exchanged.pop_front();
            }
            it.not_exchanged.push_back((inode, why));
        }
    }

    /// Segue has allowed the socket what its program has not asked for.
    pub(super) fn note_opened(&mut self, generation: u64, inode: u64) {
        if let Some(it) = self.generations.get_mut(&generation) {
            if it.opened.len() >= MOST_BOUND {
                it.opened.pop_front();
            }
            it.opened.push_back(inode);
        }
    }

    fn on_listen(
        &mut self,
        generation: u64,
        holder: (i32, RawFd),
        copy: OwnedFd,
        backlog: Backlog,
        listens: &mut Option<Listens>,
    ) -> io::Result<Verdict> {
        let Some(facts) = Facts::of(&copy)? else {
            return Ok(Verdict::Pass);
        };
        // A second listen changes the length of the queue; that of a connection is an error of the kernel's to tell.
        if facts.state != State::Closed {
            return Ok(Verdict::Pass);
        }
        let chosen = |port| {
            self.calls
                .as_ref()
                .is_some_and(|calls| calls.trapped.is_chosen(port, facts.inode))
        };
        let Some(address) = facts.bound.filter(|address| chosen(address.port())) else {
            *listens = Some(Listens::Somewhere);
            return Ok(Verdict::Pass);
        };
        let place = facts.place(address);
        let it = self.generations.get(&generation);
        let shares = facts.shares && it.is_none_or(|it| !it.opened.contains(&facts.inode));
        let why = if !facts.is_here {
            Some("it belongs to another network namespace".to_owned())
        } else if it.is_some_and(|it| it.steers_itself.contains(&facts.inode)) {
            Some(Unsteered::BySteeringOfItsOwn.why().to_owned())
        } else {
            None
        };
        if let Some(why) = why {
            *listens = Some(Listens::Passed(place));
            self.pass(generation, why);
            return Ok(Verdict::Pass);
        }
        self.let_go_of_closed(generation, &place);
        match self.sockets.on_bind(generation, &place, shares) {
            Bind::InUse { hidden: true } => return Ok(Verdict::Return(Err(libc::EADDRINUSE))),
            Bind::InUse { hidden: false } => return Ok(Verdict::Pass),
            Bind::Shared { user } if user != facts.user => {
                *listens = Some(Listens::Passed(place));
                self.pass(
                    generation,
                    format!("it belongs to user {}, and its predecessor to {user}", facts.user),
                );
                return Ok(Verdict::Pass);
            }
            Bind::Shared { .. } | Bind::Alone => {}
        }
        let joining = Joining {
            generation,
            inode: facts.inode,
            multipath: facts.multipath,
            shares,
            is_open: facts.shares,
            holder,
            socket: copy,
        };
        if let Some(verdict) = self.give_waiting(&joining, &facts, &place, backlog) {
            *listens = Some(Listens::Tcp(place));
            return Ok(verdict);
        }
        match self.sockets.join(place.clone(), facts.user, joining, backlog) {
            Ok(()) => {
                if let Some(calls) = &self.calls {
                    calls.trapped.add_port(place.address.port());
                }
                self.joined = Some(Joined {
                    shares,
                    held: Held {
                        inode: facts.inode,
                        generation,
                        holder,
                    },
                    place: place.clone(),
                });
                *listens = Some(Listens::Tcp(place));
                Ok(Verdict::Return(Ok(())))
            }
            Err(Refused::Listen(error)) => Ok(Verdict::Return(Err(error.raw_os_error().unwrap_or(libc::EINVAL)))),
            Err(Refused::Handover(error)) => {
                *listens = Some(Listens::Passed(place));
                self.pass(generation, error.to_string());
                Ok(Verdict::Pass)
            }
        }
    }

    /// What the program does not wait for.
    fn after_join(&mut self, generation: u64, joined: &Joined) {
        self.see_whether_exchangeable(generation, &joined.held, &joined.place);
        self.serve_refusers();
        // Only where the program shares its address can another process listen there already.
        if joined.shares {
            self.look_for_strangers();
        }
        self.warn_of_lost(generation);
        self.sweep(generation);
        self.watch_queues_at(&joined.place);
        self.watch_holder(joined.held.holder.0);
    }

    /// The program allows others of its own the same address, or no more; in the kernel it stays allowed.
    fn on_share(&mut self, generation: u64, inode: u64, shares: bool) -> Verdict {
        if self.sockets.note_shares(inode, shares) {
            return Verdict::Return(Ok(()));
        }
        if let Some(it) = self.generations.get_mut(&generation)
            && it.opened.contains(&inode)
        {
            if shares {
                it.opened.retain(|opened| *opened != inode);
            }
            return Verdict::Return(Ok(()));
        }
        Verdict::Pass
    }

    fn on_steering(&mut self, generation: u64, inode: u64) -> Verdict {
        if let Err(error) = self.sockets.leave_unsteered(inode, Unsteered::BySteeringOfItsOwn) {
            tracing::debug!(%error, "cannot leave it to the program");
        }
        if let Some(it) = self.generations.get_mut(&generation)
            && it.steers_itself.len() < MOST_BOUND
        {
            it.steers_itself.insert(inode);
        }
        Verdict::Pass
    }

    /// How segue came by the sockets of a generation.
    pub(super) fn method(&self, generation: u64) -> Option<Method> {
        self.generations.get(&generation).and_then(|it| it.method)
    }
}
