//! HEARS of the program's bind(2) and listen(2), which a seccomp filter makes wait (seccomp_unotify(2)), and brings segue a
//! copy of the socket that is about to listen, without a change that the program could see.
//!
//! Two threads do it, in turns. One receives every call at once (`receiver`), because a signal ends the wait of one that was
//! not received, and lets most of them pass at the first look. The other takes a copy of the socket of the others (`copier`), by
//! the best method that is permitted, and asks the loop what to do. The loop decides; it owns all sockets, and is never waited for
//! without a limit.

pub mod address;
pub mod arguments;
mod copier;
pub mod filter;
mod method;
pub mod notification;
pub mod numbers;
mod path_calls;
pub mod pidfd;
mod ports;
mod probes;
mod receiver;
pub mod record;
pub mod task;
pub mod tracer;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    io,
    os::fd::{AsFd, AsRawFd, OwnedFd, RawFd},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64},
        mpsc::SyncSender,
    },
    task::{Context, Poll},
};

use nix::{
    fcntl::OFlag,
    sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags},
};
use tokio::{io::unix::AsyncFd, sync::mpsc::UnboundedSender};

pub use self::method::Method;
use self::{address::Family, filter::NATIVE, notification::Notifications, ports::Ports};
use crate::{
    handover::paths::Target,
    process::{files, status},
};

/// What the program is about to do.
#[derive(Debug)]
pub enum Want {
    /// To bind this address (the bytes of a `struct sockaddr`).
    Bind(Vec<u8>),
    /// The same, with a UDP socket.
    BindDatagrams(Vec<u8>),
    /// To listen, with so many waiting at most.
    Listen(i32),
    /// To allow other sockets the same address, or not (SO_REUSEPORT).
    Share(bool),
    /// To spread connections over its sockets by a program of its own.
    SteerByItself,
    /// To listen on a unix socket that is bound to this, with so many waiting at most.
    ListenUnix(i32, Bound),
    /// To bind a unix socket to a path that may be served.
    BindPath(Target),
    /// To take away such a path.
    Unlink(Target),
    /// To connect to one.
    Connect(Target),
    /// A readiness command's: to connect to this address (the bytes of a `struct sockaddr`).
    Reach(Vec<u8>),
    /// The same, to a path.
    ReachPath(Target),
    /// To put what has the first name, in the same directory or another, at such a path.
    Rename(Target, Target),
}

/// What a unix socket is bound to.
#[derive(Debug)]
pub enum Bound {
    /// A path.
    Path(Target),
    /// An abstract name.
    Abstract(Vec<u8>),
    /// Nothing, or what nobody can name twice.
    Nothing,
}

/// A call that waits for the loop's verdict.
#[derive(Debug)]
pub struct Request {
    /// Whose.
    pub generation: u64,
    /// The process that calls.
    pub process: i32,
    /// The number of the socket there.
    pub file: RawFd,
    /// What tells the socket from any other.
    pub inode: u64,
    /// What it is about to do.
    pub want: Want,
    /// A copy of the socket; or why there is none.
    pub copy: Result<(Method, OwnedFd), String>,
    /// Where there is none: all that another socket would have to be, to be the same, as far as that is known.
    pub known: Option<Known>,
    /// Whom to tell the verdict.
    pub reply: SyncSender<Verdict>,
}

/// What is known of a socket of which there is no copy.
#[derive(Debug, Clone)]
pub struct Known {
    /// IPv4 or IPv6.
    pub family: Family,
    /// The user whom sockets of the thread belong to.
    pub user: u32,
    /// Its options; `None`: they cannot be set on another.
    pub recorded: record::Recorded,
    /// O_NONBLOCK and the like, and whether an exec closes it.
    pub flags: OFlag,
    /// May the thread bind what segue may?
    pub may_bind: bool,
}

/// What becomes of a call.
#[derive(Debug)]
pub enum Verdict {
    /// The program does it, as if segue were not there.
    Pass,
    /// The same, with a UDP socket whose place among others has to be known: the next call waits until it is bound.
    PassToBind,
    /// It is done, or has failed with this error.
    Return(Result<(), i32>),
    /// The program is given another socket in the place of its own.
    Replace(Replacement),
    /// Its socket is bound to this path, and not to the one that it named.
    BindTo(Vec<u8>),
}

/// A socket that the program is given in the place of its own.
#[derive(Debug)]
pub struct Replacement {
    /// That socket.
    pub socket: OwnedFd,
    /// Is it closed by an exec?
    pub close_on_exec: bool,
    /// Does the program make its call on it? Else that is done.
    pub calls: bool,
}

/// What comes to the loop.
#[derive(Debug)]
pub enum Heard {
    /// A call.
    Request(Box<Request>),
    /// The bind of a UDP socket that was let pass has come out, or takes its time.
    Bound,
    /// The generation could not be given this socket, for this reason, and listens on its own.
    NotGiven(u64, u64, String),
    /// The generation listens on a socket that could not be looked at, for this reason.
    Unseen(u64, String),
}

/// What the loop and both threads know.
#[derive(Debug)]
struct Shared {
    epoll: Epoll,
    generations: Mutex<BTreeMap<u64, Arc<Notifications>>>,
    /// Ports on which segue has a copy of a listener, or of a UDP socket.
    ports: Ports,
    /// UDP ports on which a program has a socket for each client: they are its own.
    left: Ports,
    /// The last parts of the paths on which programs listen.
    paths: Mutex<Vec<Vec<u8>>>,
    /// Sockets that were bound to a port by number which the kernel also chooses from.
    chosen: Mutex<VecDeque<u64>>,
    /// UDP ports of each generation that were asked about although nobody had them.
    asked: Mutex<BTreeMap<u64, BTreeSet<u16>>>,
    ephemeral: (u16, u16),
    cookie: u64,
    /// How many seccomp filters the program had when it was started.
    filters: u32,
    /// Are all options of sockets trapped, because no copy of a socket can be had?
    exchanges: bool,
    /// How many commands were heard.
    commands: AtomicU64,
    /// Has the program bound itself by rules (Landlock) that segue cannot see?
    restricted: AtomicBool,
}

/// More sockets than any program binds before it listens on one of them.
const CHOSEN: usize = 4096;
/// So many UDP ports of a generation are asked about. Few servers have as many, and who binds more chooses them by chance.
const DATAGRAM_PORTS: usize = 32;

impl Shared {
    fn is_ephemeral(&self, port: u16) -> bool {
        (self.ephemeral.0..=self.ephemeral.1).contains(&port)
    }

    fn notifications(&self, generation: u64) -> Option<Arc<Notifications>> {
        let generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        generations.get(&generation).cloned()
    }

    fn forget(&self, generation: u64) -> Option<Arc<Notifications>> {
        let mut generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        generations.remove(&generation)
    }

    /// May this UDP port of the generation be asked about?
    fn may_ask_about(&self, generation: u64, port: u16) -> bool {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let ports = asked.entry(generation).or_default();
        ports.contains(&port) || (ports.len() < DATAGRAM_PORTS && ports.insert(port))
    }

    fn note_chosen(&self, inode: u64) {
        let mut chosen = self.chosen.lock().unwrap_or_else(PoisonError::into_inner);
        if chosen.len() >= CHOSEN {
            chosen.pop_front();
        }
        chosen.push_back(inode);
    }
}

/// The epoll of all generations' notifications.
#[derive(Debug)]
struct Waiting(Arc<Shared>);

impl AsRawFd for Waiting {
    fn as_raw_fd(&self) -> RawFd {
        self.0.epoll.0.as_raw_fd()
    }
}

/// The loop's end of it.
#[derive(Debug)]
pub struct Trapped {
    shared: Arc<Shared>,
    heard: UnboundedSender<Heard>,
    /// Until the first call, which begins the threads: most programs of a shell make none.
    first: Option<AsyncFd<Waiting>>,
}

impl Trapped {
    /// Needs a tokio runtime. What is heard is sent to `heard`.
    pub fn new(cookie: u64, exchanges: bool, heard: UnboundedSender<Heard>) -> io::Result<Trapped> {
        let own = i32::try_from(std::process::id()).ok().and_then(status::of);
        let shared = Arc::new(Shared {
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
            generations: Mutex::default(),
            ports: Ports::none(),
            left: Ports::none(),
            paths: Mutex::default(),
            chosen: Mutex::default(),
            asked: Mutex::default(),
            ephemeral: ephemeral_ports(),
            cookie,
            filters: own.map_or(1, |own| own.filters + 1),
            exchanges,
            commands: AtomicU64::new(0),
            restricted: AtomicBool::new(false),
        });
        Ok(Trapped {
            first: Some(files::watch(Waiting(Arc::clone(&shared)))?),
            shared,
            heard,
        })
    }

    /// Hears of the calls of one more generation.
    pub fn add(&mut self, generation: u64, notifications: OwnedFd) -> io::Result<()> {
        let notifications = Arc::new(Notifications::new(notifications));
        let event = EpollEvent::new(EpollFlags::EPOLLIN, generation);
        let mut generations = self.shared.generations.lock().unwrap_or_else(PoisonError::into_inner);
        self.shared.epoll.add(notifications.as_fd(), event)?;
        generations.insert(generation, notifications);
        Ok(())
    }

    /// The generation is over.
    pub fn remove(&mut self, generation: u64) {
        self.shared
            .asked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&generation);
        if let Some(notifications) = self.shared.forget(generation) {
            let removed = self.shared.epoll.delete(notifications.as_fd());
            tracing::trace!(?removed, "its calls are heard no more");
        }
    }

    /// Are sockets exchanged at their bind, because no copy of one can be had?
    #[must_use]
    pub fn exchanges(&self) -> bool {
        self.shared.exchanges
    }

    /// Are the generation's calls heard?
    #[must_use]
    pub fn hears(&self, generation: u64) -> bool {
        self.shared.notifications(generation).is_some()
    }

    /// From now on binds of these ports, and of no others, are asked about.
    pub fn set_ports(&self, ports: impl IntoIterator<Item = u16>) {
        self.shared.ports.set(ports);
    }

    /// From now on binds of UDP sockets to these ports, and to no others, are let pass whatever they are.
    pub fn leave_ports(&self, ports: impl IntoIterator<Item = u16>) {
        self.shared.left.set(ports);
    }

    /// Binds of this port are asked about, too.
    pub fn add_port(&self, port: u16) {
        self.shared.ports.add(port);
    }

    /// From now on calls that name a path with such a last part, and no others, are asked about.
    pub fn set_paths(&self, names: impl Iterator<Item = Vec<u8>>) {
        let mut paths = self.shared.paths.lock().unwrap_or_else(PoisonError::into_inner);
        *paths = names.collect();
    }

    /// Did the program choose this port by number? Else the kernel did, and it will be another one the next time.
    #[must_use]
    pub fn is_chosen(&self, port: u16, inode: u64) -> bool {
        let chosen = self.shared.chosen.lock().unwrap_or_else(PoisonError::into_inner);
        !self.shared.is_ephemeral(port) || chosen.contains(&inode)
    }

    /// Is this one of the ports from which the kernel chooses?
    #[must_use]
    pub fn is_ephemeral(&self, port: u16) -> bool {
        self.shared.is_ephemeral(port)
    }

    /// Begins the threads at the first call. Where none can be begun (a limit on processes), calls pass until one can.
    pub fn poll_first(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(first) = &self.first else { return Poll::Pending };
        match first.poll_read_ready(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(guard) => {
                match receiver::begin(&self.shared, &self.heard) {
                    Ok(()) => self.first = None,
                    Err(error) => {
                        tracing::warn!(%error, "cannot begin a thread, so the program's sockets are not handed over");
                        receiver::let_all_pass(&self.shared);
                        if let Ok(mut guard) = guard {
                            guard.clear_ready();
                        }
                    }
                }
                Poll::Ready(())
            }
        }
    }
}

/// Can a copy of a program's socket be had by neither method, whatever the program is? A container's profile refuses the calls
/// themselves. (Yama refuses them for other processes, and with them all that an exchange needs to read of the program.)
#[must_use]
pub fn are_copies_refused() -> bool {
    pidfd::is_refused() && tracer::is_refused()
}

/// A cookie that nobody can guess.
#[must_use]
pub fn cookie() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::hash::RandomState::new().build_hasher().finish() | 1 << 63
}

/// Where a call has its cookie.
fn repeat(shared: &Shared, number: u32) -> tracer::Repeat {
    let names_address = NATIVE.is_some_and(|calls| [calls.bind, calls.connect].contains(&number));
    tracer::Repeat {
        cookie: shared.cookie,
        argument: if names_address { 3 } else { 2 },
    }
}

/// The ports from which the kernel chooses (ip_local_port_range in ip(7)).
fn ephemeral_ports() -> (u16, u16) {
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let mut numbers = text.split_whitespace().filter_map(|it| it.parse().ok());
    (numbers.next().unwrap_or(32_768), numbers.next().unwrap_or(60_999))
}
