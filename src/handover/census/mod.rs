//! COUNTS the connections of listening addresses, as the kernel tells them, and which of them are busy. Only looks.
//!
//! sock_diag(7) is asked first, which needs no privilege. Where it is refused (gVisor, a kernel without the module) the
//! tables in /proc/net answer, which take longer and do not say when data last came or went.

pub(super) mod diag;
mod row;
pub(super) mod table;
mod tcp_info;
mod traffic;

use std::{
    collections::{BTreeSet, HashSet},
    io,
    net::SocketAddr,
    time::Duration,
};

use row::Row;
pub use traffic::Traffic;

/// One connection, as the kernel tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// The kernel's name for the socket, for as long as the machine runs. Taken from /proc, a number made of the two
    /// addresses, which tells connections apart that exist at the same time.
    pub cookie: u64,
    /// This end; an IPv4 address also where a dual-stack socket was bound.
    pub local: SocketAddr,
    /// The other end.
    pub remote: SocketAddr,
    /// The socket's inode; 0 as long as the connection waits to be accepted.
    pub inode: u64,
    /// How far it has come.
    pub state: TcpState,
    /// Bytes that have come and that the program has not read.
    pub unread: u32,
    /// Bytes that the program has written and that the other end has not confirmed.
    pub unsent: u32,
    /// What went over it, and when; `None` where it cannot be told.
    pub traffic: Option<Traffic>,
}

/// The states of a TCP socket that matter here: not those of a client's beginning, nor of what is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TcpState {
    /// Both ends may send.
    Established,
    /// The handshake waits for the client's last word.
    HalfOpen,
    /// This end has said that it sends no more; the other has not heard it yet.
    FinWait1,
    /// This end has said that it sends no more, and the other knows.
    FinWait2,
    /// The client sends no more; the program may still answer.
    CloseWait,
    /// Both have said that they send no more; the other end has not heard it yet.
    Closing,
    /// The client first, then the program said that it sends no more; the client has not heard it yet.
    LastAck,
    /// Waits for connections.
    Listening,
}

/// All connections of some addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Census {
    /// Each of them, once.
    pub connections: Vec<Connection>,
    /// What `half_open` tells, which comes with the rest at no cost.
    pub half_open: HashSet<(SocketAddr, SocketAddr)>,
    /// `false`: taken from /proc, where idle cannot be told from busy.
    pub tells_idle: bool,
}

/// A listening TCP socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// What it is bound to.
    pub address: SocketAddr,
    /// Its inode.
    pub inode: u64,
    /// How many connections wait to be accepted.
    pub queued: u32,
    /// How many may wait; `None` where it cannot be told.
    pub backlog: Option<u32>,
}

/// The connections whose local port is one of these and that a program may still be answering on, or is yet to accept.
/// Those that no process holds any more, and that the kernel alone brings to their end, are not among them.
pub fn connections(ports: &BTreeSet<u16>) -> io::Result<Census> {
    let told = diag::connections(ports).map(|rows| Census::of(rows, true));
    told.or_else(|error| from_table(ports).map_err(|_| error))
}

/// What `connections` tells, taken a piece at a time: with very many connections it takes long, and who takes it has other
/// things to do.
#[derive(Debug)]
pub struct Taking {
    ports: BTreeSet<u16>,
    dump: Option<diag::Dump>,
}

impl Taking {
    /// Begins.
    #[must_use]
    pub fn begin(ports: BTreeSet<u16>) -> Taking {
        let dump = diag::Dump::connections(&ports).ok();
        Taking { ports, dump }
    }

    /// Goes on; the census once all of it is there, or why it cannot be told.
    pub fn step(&mut self) -> Option<io::Result<Census>> {
        let told = self.dump.as_mut().map(diag::Dump::step);
        match (told, self.dump.take()) {
            (Some(Ok(false)), dump) => {
                self.dump = dump;
                None
            }
            (Some(Ok(true)), Some(dump)) => Some(Ok(Census::of(dump.into_rows(&self.ports), true))),
            (Some(Ok(true) | Err(_)) | None, _) => Some(from_table(&self.ports)),
        }
    }
}

/// What `connections` falls back to: /proc/net/tcp and tcp6.
pub fn from_table(ports: &BTreeSet<u16>) -> io::Result<Census> {
    table::connections(ports).map(|rows| Census::of(rows, false))
}

/// What one datagram of the kernel's answer to a question of this number tells, and whether it ends the answer. The others
/// here hear it themselves.
pub fn told_by_datagram(datagram: &[u8], sequence: u32) -> io::Result<(Census, bool)> {
    let mut rows = Vec::new();
    let is_end = diag::read(datagram, sequence, &mut rows)?;
    Ok((Census::of(rows, true), is_end))
}

/// What lines of /proc/net/tcp or tcp6 tell, whichever ports they are about.
#[must_use]
pub fn told_by_table(text: &str) -> (Census, Vec<Listener>) {
    let (listening, others) = table::parse(text).partition(|row| row.state == TcpState::Listening);
    let listeners = Vec::into_iter(listening).map(Listener::from).collect();
    (Census::of(others, false), listeners)
}

/// The handshakes to these ports that wait for the client's last word, as pairs of (local, remote).
pub fn half_open(ports: &BTreeSet<u16>) -> io::Result<HashSet<(SocketAddr, SocketAddr)>> {
    let rows = diag::half_open(ports).or_else(|error| table::half_open(ports).map_err(|_| error))?;
    Ok(Row::half_open(&rows))
}

/// Every listening TCP socket of the network namespace.
pub fn listeners() -> io::Result<Vec<Listener>> {
    let rows = diag::listeners().or_else(|error| table::listeners().map_err(|_| error))?;
    Ok(rows.into_iter().map(Listener::from).collect())
}

impl Census {
    fn of(rows: Vec<Row>, tells_idle: bool) -> Census {
        let half_open = Row::half_open(&rows);
        let mut connections: Vec<Connection> = rows.into_iter().filter_map(Row::connection).collect();
        // A socket that moves in the kernel's table while it is being told may be told twice.
        connections.sort_unstable_by_key(|it| it.cookie);
        connections.dedup_by_key(|it| it.cookie);
        Census {
            connections,
            half_open,
            tells_idle,
        }
    }
}

impl Connection {
    /// Is the program at work on it, or about to be? So it is if bytes wait on either side, if data came in after data
    /// last went out (a request without an answer), or if either was less than `idle` ago. Where times are not told,
    /// every connection is.
    #[must_use]
    pub fn is_busy(&self, idle: Duration) -> bool {
        let at_work = |it: Traffic| it.is_unanswered() || it.quiet() < idle;
        self.unread > 0 || self.unsent > 0 || self.traffic.is_none_or(at_work)
    }
}
