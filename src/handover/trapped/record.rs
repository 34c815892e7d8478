//! RECORDS what is set on the sockets of a program of which segue can have no copy. Only a socket all of whose options are known
//! may be exchanged for one of segue's. Pure.

use std::collections::VecDeque;

/// An option with the value that the program gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SocketOption {
    /// `SOL_SOCKET`, `IPPROTO_TCP`, ….
    pub level: i32,
    /// `SO_RCVBUF`, ….
    pub name: i32,
    /// Its bytes.
    pub value: Vec<u8>,
}

/// The options of one socket, each once, in the order in which they were last set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recorded {
    options: Vec<SocketOption>,
    /// Something was done to it that cannot be done to another.
    beyond: bool,
}

/// Options that are a number, or a structure of numbers, and mean the same in every process.
const PLAIN: [(i32, &[i32]); 4] = [
    (
        libc::SOL_SOCKET,
        &[
            libc::SO_REUSEADDR,
            libc::SO_REUSEPORT,
            libc::SO_KEEPALIVE,
            libc::SO_LINGER,
            libc::SO_RCVBUF,
            libc::SO_SNDBUF,
            libc::SO_RCVLOWAT,
            libc::SO_RCVTIMEO,
            libc::SO_SNDTIMEO,
            libc::SO_OOBINLINE,
            libc::SO_BROADCAST,
            libc::SO_INCOMING_CPU,
            libc::SO_ZEROCOPY,
        ],
    ),
    (
        libc::IPPROTO_TCP,
        &[
            libc::TCP_NODELAY,
            libc::TCP_MAXSEG,
            libc::TCP_CORK,
            libc::TCP_KEEPIDLE,
            libc::TCP_KEEPINTVL,
            libc::TCP_KEEPCNT,
            libc::TCP_SYNCNT,
            libc::TCP_LINGER2,
            libc::TCP_DEFER_ACCEPT,
            libc::TCP_WINDOW_CLAMP,
            libc::TCP_QUICKACK,
            libc::TCP_USER_TIMEOUT,
            libc::TCP_FASTOPEN,
            libc::TCP_NOTSENT_LOWAT,
            libc::TCP_SAVE_SYN,
        ],
    ),
    (
        libc::IPPROTO_IP,
        &[
            libc::IP_TOS,
            libc::IP_TTL,
            libc::IP_FREEBIND,
            libc::IP_MTU_DISCOVER,
            libc::IP_RECVERR,
            libc::IP_BIND_ADDRESS_NO_PORT,
        ],
    ),
    (
        libc::IPPROTO_IPV6,
        &[
            libc::IPV6_V6ONLY,
            libc::IPV6_TCLASS,
            libc::IPV6_UNICAST_HOPS,
            libc::IPV6_FREEBIND,
            libc::IPV6_MTU_DISCOVER,
            libc::IPV6_RECVERR,
        ],
    ),
];

impl Recorded {
    /// Adds an option, or replaces its value.
    pub fn set(&mut self, option: SocketOption) {
        let plain = PLAIN
            .iter()
            .any(|(level, names)| *level == option.level && names.contains(&option.name));
        if !plain {
            self.beyond = true;
            return;
        }
        self.options
            .retain(|it| (it.level, it.name) != (option.level, option.name));
        self.options.push(option);
    }

    /// All of its options; `None`: not all can be set on another socket.
    #[must_use]
    pub fn options(&self) -> Option<&[SocketOption]> {
        (!self.beyond).then_some(&self.options)
    }

    fn number(&self, level: i32, name: i32) -> Option<i32> {
        let option = self.options.iter().find(|it| (it.level, it.name) == (level, name))?;
        Some(i32::from_ne_bytes(option.value.get(..4)?.try_into().ok()?))
    }

    /// May other sockets of the program have the same address (SO_REUSEPORT)?
    #[must_use]
    pub fn shares(&self) -> bool {
        self.number(libc::SOL_SOCKET, libc::SO_REUSEPORT).unwrap_or(0) != 0
    }
}

/// What is known of sockets that are not bound yet, the ones that something was set on last at the end.
#[derive(Debug, Default)]
pub struct Records {
    sockets: VecDeque<(u64, Recorded)>,
    /// Was one forgotten for want of room? Then a socket that is not among them may be that one.
    has_forgotten: bool,
}

/// More than a program prepares at once; connections are among them, as soon as something is set on one.
const MOST: usize = 4096;

impl Records {
    /// An option of the socket with this inode was set.
    pub fn note(&mut self, inode: u64, option: SocketOption) {
        self.change(inode, |recorded| recorded.set(option));
    }

    /// Something was done to the socket that cannot be done to another.
    pub fn note_beyond(&mut self, inode: u64) {
        self.change(inode, |recorded| recorded.beyond = true);
    }

    fn change(&mut self, inode: u64, change: impl FnOnce(&mut Recorded)) {
        let mut recorded = self.take(inode);
        change(&mut recorded);
        if self.sockets.len() >= MOST {
            self.sockets.pop_front();
            self.has_forgotten = true;
        }
        self.sockets.push_back((inode, recorded));
    }

    /// What was set on the socket, which is bound now.
    pub fn take(&mut self, inode: u64) -> Recorded {
        let at = self.sockets.iter().position(|it| it.0 == inode);
        let taken = at.and_then(|at| self.sockets.remove(at)).map(|it| it.1);
        taken.unwrap_or(Recorded {
            options: Vec::new(),
            beyond: self.has_forgotten,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn option(level: i32, name: i32, value: i32) -> SocketOption {
        SocketOption {
            level,
            name,
            value: value.to_ne_bytes().to_vec(),
        }
    }

    #[test]
    fn the_last_value_counts() {
        let mut recorded = Recorded::default();
        assert!(!recorded.shares());
        recorded.set(option(libc::SOL_SOCKET, libc::SO_REUSEPORT, 1));
        assert!(recorded.shares());
        recorded.set(option(libc::SOL_SOCKET, libc::SO_REUSEPORT, 0));
        assert!(!recorded.shares());
        assert_eq!(recorded.options().unwrap().len(), 1);
    }

    #[test]
    fn what_is_not_plain_is_beyond_knowledge() {
        for (level, name) in [
            (libc::SOL_SOCKET, libc::SO_ATTACH_FILTER),
            (libc::SOL_SOCKET, libc::SO_MARK),
            (libc::IPPROTO_TCP, libc::TCP_MD5SIG),
            (libc::IPPROTO_IP, libc::IP_TRANSPARENT),
        ] {
            let mut records = Records::default();
            records.note(7, option(level, name, 1));
            records.note(7, option(libc::IPPROTO_TCP, libc::TCP_NODELAY, 1));
            assert_eq!(records.take(7).options(), None, "{level} {name}");
            assert!(records.take(7).options().unwrap().is_empty(), "it was taken");
        }
    }

    #[test]
    fn memory_is_bounded_and_what_was_forgotten_is_not_taken_for_nothing() {
        let mut records = Records::default();
        for inode in 0..10_000 {
            records.note(inode, option(libc::SOL_SOCKET, libc::SO_REUSEPORT, 1));
        }
        assert_eq!(records.sockets.len(), MOST);
        assert!(records.take(9_999).shares());
        assert_eq!(records.take(0).options(), None);
    }
}
