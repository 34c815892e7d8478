//! CARRIES the options of one socket over to another, so that a program could not notice an exchange, or says which option it cannot.
#![expect(unsafe_code, reason = "options whose values are bytes")]

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd},
};

use super::{facts, trapped::record::SocketOption};

/// An option by level and name, and how many bytes its value has at most.
type Option = (i32, i32, usize);

/// `SO_BUF_LOCK` (Linux 5.14): were the buffers' sizes set, or are they the kernel's?
const BUF_LOCK: i32 = 72;
const MAX_PACING_RATE: i32 = 47;
const TXREHASH: i32 = 74;
const PREFER_BUSY_POLL: i32 = 69;
const TCP_TX_DELAY: i32 = 37;
const PASSPIDFD: i32 = 76;
const PASSRIGHTS: i32 = 83;

/// What an accepted connection inherits of its listener, or a listener itself goes by (socket(7), tcp(7), ip(7), ipv6(7)).
/// Not SO_REUSEPORT, which is segue's affair; not what an address is made of, which is the same on both.
const OPTIONS: [Option; 57] = [
    (libc::SOL_SOCKET, libc::SO_REUSEADDR, 4),
    (libc::SOL_SOCKET, libc::SO_KEEPALIVE, 4),
    (libc::SOL_SOCKET, libc::SO_LINGER, 8),
    (libc::SOL_SOCKET, libc::SO_RCVBUF, 4),
    (libc::SOL_SOCKET, libc::SO_SNDBUF, 4),
    (libc::SOL_SOCKET, BUF_LOCK, 4),
    (libc::SOL_SOCKET, libc::SO_RCVLOWAT, 4),
    (libc::SOL_SOCKET, libc::SO_RCVTIMEO, 16),
    (libc::SOL_SOCKET, libc::SO_SNDTIMEO, 16),
    (libc::SOL_SOCKET, libc::SO_PRIORITY, 4),
    (libc::SOL_SOCKET, libc::SO_MARK, 4),
    (libc::SOL_SOCKET, libc::SO_BUSY_POLL, 4),
    (libc::SOL_SOCKET, PREFER_BUSY_POLL, 4),
    (libc::SOL_SOCKET, libc::SO_INCOMING_CPU, 4),
    (libc::SOL_SOCKET, libc::SO_OOBINLINE, 4),
    (libc::SOL_SOCKET, libc::SO_DONTROUTE, 4),
    (libc::SOL_SOCKET, libc::SO_BROADCAST, 4),
    (libc::SOL_SOCKET, libc::SO_TIMESTAMP, 4),
    (libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, 4),
    (libc::SOL_SOCKET, libc::SO_RXQ_OVFL, 4),
    (libc::SOL_SOCKET, libc::SO_ZEROCOPY, 4),
    (libc::SOL_SOCKET, MAX_PACING_RATE, 8),
    (libc::SOL_SOCKET, TXREHASH, 4),
    (libc::SOL_SOCKET, libc::SO_PASSCRED, 4),
    (libc::SOL_SOCKET, libc::SO_PASSSEC, 4),
    (libc::SOL_SOCKET, PASSPIDFD, 4),
    (libc::SOL_SOCKET, PASSRIGHTS, 4),
    (libc::IPPROTO_TCP, libc::TCP_NODELAY, 4),
    (libc::IPPROTO_TCP, libc::TCP_MAXSEG, 4),
    (libc::IPPROTO_TCP, libc::TCP_CORK, 4),
    (libc::IPPROTO_TCP, libc::TCP_KEEPIDLE, 4),
    (libc::IPPROTO_TCP, libc::TCP_KEEPINTVL, 4),
    (libc::IPPROTO_TCP, libc::TCP_KEEPCNT, 4),
    (libc::IPPROTO_TCP, libc::TCP_SYNCNT, 4),
    (libc::IPPROTO_TCP, libc::TCP_LINGER2, 4),
    (libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT, 4),
    (libc::IPPROTO_TCP, libc::TCP_WINDOW_CLAMP, 4),
    (libc::IPPROTO_TCP, libc::TCP_CONGESTION, 16),
    (libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT, 4),
    (libc::IPPROTO_TCP, libc::TCP_FASTOPEN, 4),
    (libc::IPPROTO_TCP, libc::TCP_FASTOPEN_NO_COOKIE, 4),
    (libc::IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT, 4),
    (libc::IPPROTO_TCP, libc::TCP_SAVE_SYN, 4),
    (libc::IPPROTO_TCP, libc::TCP_INQ, 4),
    (libc::IPPROTO_TCP, TCP_TX_DELAY, 4),
    (libc::IPPROTO_IP, libc::IP_TOS, 4),
    (libc::IPPROTO_IP, libc::IP_TTL, 4),
    (libc::IPPROTO_IP, libc::IP_TRANSPARENT, 4),
    (libc::IPPROTO_IP, libc::IP_FREEBIND, 4),
    (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, 4),
    (libc::IPPROTO_IP, libc::IP_RECVERR, 4),
    (libc::IPPROTO_IP, libc::IP_MINTTL, 4),
    (libc::IPPROTO_IPV6, libc::IPV6_TCLASS, 4),
    (libc::IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS, 4),
    (libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, 4),
    (libc::IPPROTO_IPV6, libc::IPV6_RECVERR, 4),
    (libc::IPPROTO_IPV6, libc::IPV6_FREEBIND, 4),
];

/// The kernel doubles what is asked for.
const DOUBLED: [i32; 2] = [libc::SO_RCVBUF, libc::SO_SNDBUF];

/// The longest value.
const LONGEST: usize = 16;

/// Gives `to` the options of `from`. An error names the option that stays different; some of the others are changed by then.
pub fn carry_over(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> io::Result<()> {
    let filter = facts::bytes(from, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &mut []);
    if filter.is_ok_and(|instructions| instructions > 0) {
        return Err(io::Error::other("it has a packet filter"));
    }
    for option @ (level, name, _) in OPTIONS {
        let (wanted, found) = (value(from, option), value(to, option));
        let Some(wanted) = wanted else {
            if found.is_some() {
                return Err(different(level, name));
            }
            continue;
        };
        if found.as_ref() != Some(&wanted) {
            set(to, option, &wanted)?;
            if value(to, option).as_ref() != Some(&wanted) {
                return Err(different(level, name));
            }
        }
    }
    Ok(())
}

/// Sets an option as a program has set it. What the kernel refuses it has refused to the program, which has the same socket.
pub fn repeat(socket: BorrowedFd<'_>, option: &SocketOption) {
    let length = libc::socklen_t::try_from(option.value.len()).unwrap_or(0);
    let value = option.value.as_ptr().cast();
    // SAFETY: the value has as many bytes as are said.
    let set = unsafe { libc::setsockopt(socket.as_raw_fd(), option.level, option.name, value, length) };
    tracing::trace!(option.level, option.name, set, "an option is repeated");
}

fn different(level: i32, name: i32) -> io::Error {
    io::Error::other(format!("option {name} of level {level} cannot be carried over"))
}

fn value(socket: BorrowedFd<'_>, (level, name, length): Option) -> std::option::Option<Vec<u8>> {
    let mut value = [0; LONGEST];
    let length = facts::bytes(socket, level, name, value.get_mut(..length)?).ok()?;
    Some(value.get(..length)?.to_vec())
}

fn set(socket: BorrowedFd<'_>, (level, name, _): Option, value: &[u8]) -> io::Result<()> {
    let halved = value
        .try_into()
        .map(|bytes| (i32::from_ne_bytes(bytes) / 2).to_ne_bytes());
    let value = match halved {
        Ok(halved) if level == libc::SOL_SOCKET && DOUBLED.contains(&name) => halved.to_vec(),
        Ok(_) | Err(_) => value.to_vec(),
    };
    let length = libc::socklen_t::try_from(value.len()).map_err(io::Error::other)?;
    // SAFETY: the value has as many bytes as are said.
    let set = unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, value.as_ptr().cast(), length) };
    if set == 0 { Ok(()) } else { Err(different(level, name)) }
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, os::fd::AsFd};

    use super::*;

    fn socket() -> TcpListener {
        TcpListener::bind("127.0.0.1:0").unwrap()
    }

    /// What differs is set, what was set and is not wanted any more is as it was at first, and both are the same in the end.
    #[test]
    fn a_socket_with_a_past_becomes_like_a_new_one_and_the_other_way_round() {
        let options: [(Option, i32); 8] = [
            ((libc::IPPROTO_TCP, libc::TCP_NODELAY, 4), 1),
            ((libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT, 4), 31),
            ((libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT, 4), 5_000),
            ((libc::SOL_SOCKET, libc::SO_KEEPALIVE, 4), 1),
            ((libc::SOL_SOCKET, libc::SO_RCVBUF, 4), 2 * 30_000),
            ((libc::SOL_SOCKET, libc::SO_PRIORITY, 4), 3),
            ((libc::IPPROTO_IP, libc::IP_TOS, 4), 16),
            ((libc::IPPROTO_TCP, libc::TCP_FASTOPEN, 4), 9),
        ];
        let (new, old) = (socket(), socket());
        let all = |socket: &TcpListener| -> Vec<_> { OPTIONS.map(|it| value(socket.as_fd(), it)).to_vec() };
        let fresh = all(&new);
        for (option, number) in options {
            set(old.as_fd(), option, &number.to_ne_bytes()).unwrap();
        }
        assert_ne!(all(&old), fresh);
        let used = all(&old);
        carry_over(new.as_fd(), old.as_fd()).unwrap();
        assert_eq!(all(&old), fresh);
        let third = socket();
        for (option, number) in options {
            set(third.as_fd(), option, &number.to_ne_bytes()).unwrap();
        }
        carry_over(third.as_fd(), new.as_fd()).unwrap();
        assert_eq!(all(&new), used);
    }

    #[test]
    fn congestion_control_is_a_name() {
        let (one, other) = (socket(), socket());
        let name = (libc::IPPROTO_TCP, libc::TCP_CONGESTION, 16);
        set(one.as_fd(), name, b"reno").unwrap();
        carry_over(one.as_fd(), other.as_fd()).unwrap();
        assert!(value(other.as_fd(), name).unwrap().starts_with(b"reno\0"));
    }
}
