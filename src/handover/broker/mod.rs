//! ANSWERS the program's own bind(2) with segue's socket, so that any program takes part in a hand-over, unmodified.
//!
//! The kernel holds the calling thread until it is answered (seccomp_unotify(2)). A TCP bind with a port of its own gets
//! a member of the address's group in the place of its socket; listen(2) on a member is done here, so that the order in
//! which members begin to listen is known; options that a socket had before its bind are set on the member too. Every
//! other call passes, also whenever anything cannot be told: then the kernel says what it would have said anyway.

pub mod address;
pub mod bound;
pub mod filter;
pub mod notification;
pub mod registers;
pub mod task;

use std::{
    collections::{HashSet, VecDeque},
    io,
    os::fd::{OwnedFd, RawFd},
    task::{Context, Poll},
};

use nix::{fcntl::OFlag, sys::socket::Backlog};

use self::{
    address::Wanted,
    bound::Bound,
    filter::{Calls, NATIVE},
    notification::{Call, Notifications},
    registers::{Bytes, Setting},
    task::Task,
};
use super::{
    group::Wish,
    listener::Place,
    options::{Records, SocketOption},
    sockets::Sockets,
};
use crate::process::status;

/// What the program was seen to do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Listens {
    /// It listens on this address, with a socket of segue's.
    Tcp(Place),
    /// It listens on this path or abstract name.
    Unix(Vec<u8>),
    /// It listens somewhere that is different each time.
    Somewhere,
}

/// The broker of one generation.
#[derive(Debug)]
pub struct Broker {
    generation: u64,
    calls: Calls,
    notifications: Notifications,
    options: Records,
    /// Sockets that were bound and do not listen yet.
    bound: Bound,
    /// Unix sockets that were bound, with their paths.
    paths: VecDeque<(u64, Vec<u8>)>,
    /// How many sockets of the generation make a look at what it has closed worth while.
    sweep_at: usize,
    warned: bool,
}

/// Unix sockets whose paths are remembered until they listen.
const PATHS: usize = 64;
/// The least number of sockets that are looked through for closed ones.
const SWEEP: usize = 64;

/// How a call is answered.
enum Verdict {
    /// As if segue were not there.
    Pass,
    /// It is done, or failed.
    Done(Result<(), i32>),
    /// The thread is gone.
    Nobody,
}

impl Broker {
    /// Answers the calls of this generation. Needs a tokio runtime.
    pub fn new(generation: u64, notifications: OwnedFd) -> io::Result<Broker> {
        Ok(Broker {
            generation,
            calls: NATIVE.ok_or(io::ErrorKind::Unsupported)?,
            notifications: Notifications::new(notifications)?,
            options: Records::default(),
            bound: Bound::default(),
            paths: VecDeque::new(),
            sweep_at: SWEEP,
            warned: false,
        })
    }

    /// The next call of the program. Sockets that turned out to be clients' are let go of on the way.
    pub fn poll_call(&mut self, context: &mut Context<'_>, sockets: &mut Sockets) -> Poll<Call> {
        while let Poll::Ready(inode) = self.bound.poll_connected(context) {
            sockets.forget(inode);
        }
        self.notifications.poll_next(context)
    }

    /// Answers a call. `processes` are those of the generation; to find them costs something, and is rarely needed.
    pub fn answer(&mut self, call: Call, sockets: &mut Sockets, processes: impl Fn() -> Vec<i32>) -> Option<Listens> {
        let mut heard = None;
        let verdict = self.decide(call, sockets, &processes, &mut heard);
        let answered = match verdict {
            Ok(Verdict::Pass) => self.notifications.let_pass(call),
            Ok(Verdict::Done(outcome)) => self.notifications.answer(call, outcome),
            Ok(Verdict::Nobody) => return None,
            Err(error) => {
                // EFAULT, EBADF and the like are for the kernel to tell; what segue was refused is for people to know.
                self.warn(call, &error);
                // A number that is no file's is no listener either.
                let listens = call.number == self.calls.listen && error.kind() != io::ErrorKind::NotFound;
                if listens && !self.bound.is_empty() {
                    // It may be a member, which must not begin to listen unseen.
                    let errno = error.raw_os_error().unwrap_or(libc::ENOMEM);
                    self.notifications.answer(call, Err(errno))
                } else {
                    heard = listens.then_some(Listens::Somewhere);
                    self.notifications.let_pass(call)
                }
            }
        };
        match answered {
            Ok(()) => heard,
            Err(error) => {
                tracing::debug!(thread = call.thread, %error, "a call was over before it was answered");
                None
            }
        }
    }

    fn warn(&mut self, call: Call, error: &io::Error) {
        tracing::debug!(generation = self.generation, thread = call.thread, call = call.number, %error, "a call passes");
        let refused = [
            libc::EACCES,
            libc::EPERM,
            libc::EMFILE,
            libc::ENFILE,
            libc::ENOMEM,
            libc::EBUSY,
            libc::EINVAL,
            libc::ENOTTY,
        ];
        let unseen = error.kind() == io::ErrorKind::Other;
        if !self.warned && (unseen || error.raw_os_error().is_some_and(|errno| refused.contains(&errno))) {
            self.warned = true;
            tracing::warn!(
                generation = self.generation,
                thread = call.thread,
                %error,
                remedy = "SEGUE_HANDOVER=none, or SEGUE_LISTEN for a program that takes LISTEN_FDS",
                "cannot hand over a socket of the program"
            );
        }
    }

    fn decide(
        &mut self,
        call: Call,
        sockets: &mut Sockets,
        processes: &impl Fn() -> Vec<i32>,
        heard: &mut Option<Listens>,
    ) -> io::Result<Verdict> {
        let task = Task::new(call.thread).ok_or_else(|| io::Error::other("the thread cannot be looked at"))?;
        let Some(file) = registers::file(call.arguments) else {
            return Ok(Verdict::Pass);
        };
        if call.number == self.calls.bind {
            self.on_bind(call, task, file, sockets, processes)
        } else if call.number == self.calls.listen {
            self.on_listen(call, task, file, sockets, heard)
        } else {
            self.on_option(call, task, file, sockets)
        }
    }

    fn on_bind(
        &mut self,
        call: Call,
        task: Task,
        file: RawFd,
        sockets: &mut Sockets,
        processes: &impl Fn() -> Vec<i32>,
    ) -> io::Result<Verdict> {
        let Some(Bytes { address, length }) = registers::bind(call.arguments) else {
            return Ok(Verdict::Pass);
        };
        let Some(family) = task.family(file)? else {
            return Ok(Verdict::Pass);
        };
        let (inode, bytes) = (task.inode(file)?, task.read(address, length)?);
        let flags = task.flags(file)?;
        if !self.notifications.is_valid(call) {
            return Ok(Verdict::Nobody);
        }
        let address = match address::parse(family, &bytes) {
            Wanted::Tcp(address) => address,
            Wanted::Unix(path) => {
                self.remember(inode, path);
                return Ok(Verdict::Pass);
            }
            Wanted::Other => return Ok(Verdict::Pass),
        };
        // The kernel's own answer to a second bind of a socket.
        if sockets.knows(inode) || !task.shares_network()? {
            return Ok(Verdict::Pass);
        }
        if !may_bind(task, address.port()) {
            return Ok(Verdict::Done(Err(libc::EACCES)));
        }
        let options = self.options.of(inode);
        let only_six = options.only_six().unwrap_or_else(only_six_by_default);
        let place = Place {
            address,
            dual: address.is_ipv6() && !only_six,
            device: options.device(),
        };
        self.sweep(sockets, processes);
        let held = std::cell::OnceCell::new();
        let held = |inode| {
            let held = held.get_or_init(|| task::held_sockets(&processes()));
            held.as_ref().is_none_or(|held: &HashSet<u64>| held.contains(&inode))
        };
        let wish = Wish {
            options,
            flags: flags & OFlag::O_NONBLOCK,
        };
        let (member, socket) = match sockets.bind(self.generation, &place, &wish, held) {
            Ok(bound) => bound,
            Err(error) => {
                return match error.raw_os_error() {
                    Some(errno) if ![libc::EMFILE, libc::ENFILE].contains(&errno) => Ok(Verdict::Done(Err(errno))),
                    Some(_) | None => Err(error),
                };
            }
        };
        let placed = self
            .notifications
            .place(call, socket, file, (flags & OFlag::O_CLOEXEC).bits());
        if placed.is_ok() {
            self.bound.watch(member, socket)?;
        }
        self.settle(placed, inode, member, sockets)
    }

    /// After a bind: keeps the member if the program has it.
    fn settle(
        &mut self,
        placed: io::Result<()>,
        inode: u64,
        member: u64,
        sockets: &mut Sockets,
    ) -> io::Result<Verdict> {
        match placed {
            Ok(()) => {
                self.options.forget(inode);
                Ok(Verdict::Done(Ok(())))
            }
            Err(error) => {
                sockets.forget(member);
                if error.raw_os_error() == Some(libc::ENOENT) {
                    return Ok(Verdict::Nobody);
                }
                Err(error)
            }
        }
    }

    fn sweep(&mut self, sockets: &mut Sockets, processes: &impl Fn() -> Vec<i32>) {
        if sockets.bound_by(self.generation) < self.sweep_at {
            return;
        }
        if let Some(held) = task::held_sockets(&processes()) {
            let swept = sockets.sweep(self.generation, |inode| held.contains(&inode));
            tracing::debug!(?swept, "looked for sockets that the program has closed");
        }
        self.sweep_at = SWEEP.max(2 * sockets.bound_by(self.generation));
    }

    fn on_listen(
        &mut self,
        call: Call,
        task: Task,
        file: RawFd,
        sockets: &mut Sockets,
        heard: &mut Option<Listens>,
    ) -> io::Result<Verdict> {
        let inode = task.inode(file)?;
        if !self.notifications.is_valid(call) {
            return Ok(Verdict::Nobody);
        }
        let backlog = Backlog::new(registers::backlog(call.arguments)).unwrap_or(Backlog::MAXCONN);
        match sockets.listen(inode, backlog) {
            Some(Ok(place)) => {
                self.bound.forget(inode);
                *heard = Some(Listens::Tcp(place));
                Ok(Verdict::Done(Ok(())))
            }
            Some(Err(error)) => match error.raw_os_error() {
                Some(errno) => Ok(Verdict::Done(Err(errno))),
                None => Err(error),
            },
            None => {
                let Some(family) = task.family(file)? else {
                    return Ok(Verdict::Pass);
                };
                let path = self.paths.iter().find(|it| it.0 == inode).map(|it| it.1.clone());
                *heard = Some(match path {
                    Some(path) if family == address::Family::Unix => Listens::Unix(path),
                    Some(_) | None => Listens::Somewhere,
                });
                Ok(Verdict::Pass)
            }
        }
    }

    fn on_option(&mut self, call: Call, task: Task, file: RawFd, sockets: &mut Sockets) -> io::Result<Verdict> {
        let Some(Setting { level, name, value }) = registers::option(call.arguments) else {
            return Ok(Verdict::Pass);
        };
        if !may_set(task, level, name) {
            return Ok(Verdict::Pass);
        }
        let inode = task.inode(file)?;
        let member = sockets.knows(inode);
        if member && (level, name) == (libc::SOL_SOCKET, libc::SO_REUSEPORT) {
            // A member without it would leave its group.
            return Ok(Verdict::Done(Ok(())));
        }
        let tcp = matches!(task.family(file)?, Some(address::Family::Four | address::Family::Six));
        if !member && tcp {
            let value = task.read(value.address, value.length)?;
            if !self.notifications.is_valid(call) {
                return Ok(Verdict::Nobody);
            }
            self.options.note(inode, SocketOption { level, name, value });
        }
        Ok(Verdict::Pass)
    }

    fn remember(&mut self, inode: u64, path: Vec<u8>) {
        if self.paths.len() >= PATHS {
            self.paths.pop_front();
        }
        self.paths.push_back((inode, path));
    }
}

/// Segue may be root where the program is not, and must not bind for it what it may not bind itself.
fn may_bind(task: Task, port: u16) -> bool {
    task.status.can(status::NET_BIND_SERVICE) || port >= unprivileged_ports()
}

fn unprivileged_ports() -> u16 {
    let first = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    first.ok().and_then(|it| it.trim().parse().ok()).unwrap_or(1024)
}

/// The same for options that need a privilege: the kernel refuses the program, and segue does not remember it.
fn may_set(task: Task, level: i32, name: i32) -> bool {
    let admin = task.status.can(status::NET_ADMIN);
    match (level, name) {
        (libc::SOL_SOCKET, libc::SO_RCVBUFFORCE | libc::SO_SNDBUFFORCE) => admin,
        (libc::IPPROTO_IP, libc::IP_TRANSPARENT) | (libc::IPPROTO_IPV6, libc::IPV6_TRANSPARENT) => {
            admin || task.status.can(status::NET_RAW)
        }
        _ => true,
    }
}

fn only_six_by_default() -> bool {
    std::fs::read_to_string("/proc/sys/net/ipv6/bindv6only").is_ok_and(|it| it.trim() == "1")
}
