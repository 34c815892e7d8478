//! READS what a copy of a program's socket tells of it: what it is bound to, who may share that, what state it is in. Only
//! looks.
#![expect(unsafe_code, reason = "socket options that nix has no names for")]

use std::{
    io,
    net::SocketAddr,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
};

use nix::sys::{
    socket::{
        AddressFamily, SockFlag, SockType, SockaddrStorage, UnixAddr, getpeername, getsockname, getsockopt, socket,
        sockopt,
    },
    stat::fstat,
};

use super::{listener::Place, steering, trapped::address::Family};
use crate::process::files;

/// What a socket is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// What tells it from any other.
    pub inode: u64,
    /// The user whom it belongs to, as far as sharing an address goes.
    pub user: u32,
    /// IPv4 or IPv6.
    pub family: Family,
    /// Is it a Multipath TCP socket?
    pub multipath: bool,
    /// What it is bound to; `None` if it is not.
    pub bound: Option<SocketAddr>,
    /// Would it take IPv4 too, as an IPv6 one?
    pub dual: bool,
    /// The interface that it is tied to; empty for none.
    pub device: Vec<u8>,
    /// Did the program allow others the same address (SO_REUSEPORT)?
    pub shares: bool,
    /// Did the program set SO_REUSEADDR? (Of UDP sockets, which may have one address by it.)
    pub reuses: bool,
    /// What it is at.
    pub state: State,
    /// Is it of segue's own network namespace?
    pub is_here: bool,
}

/// What a socket is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Neither listening nor connected.
    Closed,
    /// It listens.
    Listening,
    /// It is, or was, one end of a connection.
    Connected,
}

/// `SO_NETNS_COOKIE` of asm-generic/socket.h, since Linux 5.14.
const NAMESPACE: i32 = 71;
/// `IPPROTO_MPTCP` of linux/in.h.
pub const MULTIPATH: i32 = 262;

impl Facts {
    /// `None`: it is no stream socket of the internet.
    pub fn of(socket: &OwnedFd) -> io::Result<Option<Facts>> {
        Facts::read(socket, libc::SOCK_STREAM, &[libc::IPPROTO_TCP, MULTIPATH])
    }

    /// `None`: it is no UDP socket.
    pub fn of_datagrams(socket: &OwnedFd) -> io::Result<Option<Facts>> {
        Facts::read(socket, libc::SOCK_DGRAM, &[libc::IPPROTO_UDP])
    }

    fn read(socket: &OwnedFd, kind: i32, protocols: &[i32]) -> io::Result<Option<Facts>> {
        let number = |name| number(socket.as_fd(), libc::SOL_SOCKET, name);
        let family = match number(libc::SO_DOMAIN)? {
            libc::AF_INET => Family::Four,
            libc::AF_INET6 => Family::Six,
            _ => return Ok(None),
        };
        let protocol = number(libc::SO_PROTOCOL)?;
        if number(libc::SO_TYPE)? != kind || !protocols.contains(&protocol) {
            return Ok(None);
        }
        let stat = fstat(socket)?;
        let datagrams = kind == libc::SOCK_DGRAM;
        let state = if number(libc::SO_ACCEPTCONN)? != 0 {
            State::Listening
        } else if (datagrams && is_connected(socket)) || (!datagrams && steering::connects(socket.as_fd())) {
            State::Connected
        } else {
            State::Closed
        };
        let device = getsockopt(socket, sockopt::BindToDevice).unwrap_or_default();
        let device = std::os::unix::ffi::OsStrExt::as_bytes(device.as_os_str());
        let six_only = family == Family::Six && getsockopt(socket, sockopt::Ipv6V6Only).unwrap_or(false);
        Ok(Some(Facts {
            inode: stat.st_ino,
            user: stat.st_uid,
            family,
            multipath: protocol == MULTIPATH,
            bound: name(socket)?,
            dual: family == Family::Six && !six_only,
            device: device.split(|byte| *byte == 0).next().unwrap_or_default().to_vec(),
            shares: number(libc::SO_REUSEPORT)? != 0,
            reuses: datagrams && number(libc::SO_REUSEADDR)? != 0,
            state,
            is_here: is_here(socket.as_fd()),
        }))
    }

    /// Can it be bound as any other of segue's namespace?
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        self.state == State::Closed && self.bound.is_none() && self.is_here
    }

    /// The address, with all that keeps it apart from others.
    #[must_use]
    pub fn place(&self, address: SocketAddr) -> Place {
        Place {
            address,
            dual: self.dual,
            device: self.device.clone(),
        }
    }
}

/// The socket's own name; `None` if it has no port yet.
pub fn name(socket: &OwnedFd) -> io::Result<Option<SocketAddr>> {
    let name: SockaddrStorage = getsockname(socket.as_raw_fd())?;
    let four = name.as_sockaddr_in().map(|name| SocketAddr::V4((*name).into()));
    let six = name.as_sockaddr_in6().map(|name| SocketAddr::V6((*name).into()));
    Ok(four.or(six).filter(|address| address.port() != 0))
}

/// The socket's own name, of whatever kind, as people read it; `None` if it has none.
#[must_use]
pub fn shown(socket: &OwnedFd) -> Option<String> {
    if let Ok(Some(address)) = name(socket) {
        return Some(address.to_string());
    }
    let unix: UnixAddr = getsockname(socket.as_raw_fd()).ok()?;
    let path = unix.path().map(|path| path.display().to_string());
    let name = unix
        .as_abstract()
        .map(|name| format!("@{}", String::from_utf8_lossy(name)));
    path.or(name).map(|it| format!("unix:{it}"))
}

/// Does the socket know with whom it talks?
#[must_use]
pub fn is_connected(socket: &OwnedFd) -> bool {
    getpeername::<SockaddrStorage>(socket.as_raw_fd()).is_ok()
}

/// A kernel that does not say counts as yes: a socket from another namespace is rare, and only its address could differ.
fn is_here(there: BorrowedFd<'_>) -> bool {
    use std::sync::OnceLock;
    static HERE: OnceLock<Option<u64>> = OnceLock::new();
    let here = HERE.get_or_init(|| {
        let own = socket(AddressFamily::Unix, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None);
        own.ok()
            .and_then(|own| wide(own.as_fd(), libc::SOL_SOCKET, NAMESPACE).ok())
    });
    wide(there, libc::SOL_SOCKET, NAMESPACE)
        .ok()
        .is_none_or(|there| here.is_none_or(|here| here == there))
}

/// A Multipath TCP socket (RFC 8684), closed by an exec.
pub fn multipath(family: AddressFamily) -> io::Result<OwnedFd> {
    let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC;
    // SAFETY: numbers only.
    let file = unsafe { libc::socket(family as i32, kind, MULTIPATH) };
    if file >= 0 {
        Ok(files::made(file))
    } else {
        Err(io::Error::last_os_error())
    }
}

/// An option that is an int.
pub fn number(socket: BorrowedFd<'_>, level: i32, name: i32) -> io::Result<i32> {
    let mut value = [0; 4];
    bytes(socket, level, name, &mut value)?;
    Ok(i32::from_ne_bytes(value))
}

fn wide(socket: BorrowedFd<'_>, level: i32, name: i32) -> io::Result<u64> {
    let mut value = [0; 8];
    bytes(socket, level, name, &mut value)?;
    Ok(u64::from_ne_bytes(value))
}

/// An option's bytes; how many the kernel has written.
pub fn bytes(socket: BorrowedFd<'_>, level: i32, name: i32, value: &mut [u8]) -> io::Result<usize> {
    let mut length = libc::socklen_t::try_from(value.len()).map_err(io::Error::other)?;
    // SAFETY: `value` has as many writable bytes as are said.
    let got = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            level,
            name,
            value.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if got == 0 {
        Ok(usize::try_from(length).unwrap_or(0))
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream, UdpSocket};

    use super::*;

    #[test]
    fn a_listener_a_connection_and_what_is_none_of_our_business() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let client = TcpStream::connect(address).unwrap();
        let listener = OwnedFd::from(listener);
        let facts = Facts::of(&listener).unwrap().unwrap();
        assert_eq!(
            (facts.bound, facts.state, facts.is_here),
            (Some(address), State::Listening, true)
        );
        assert_eq!(
            (facts.family, facts.multipath, facts.shares),
            (Family::Four, false, false)
        );
        assert_eq!(facts.place(address), Place::single(address));
        let facts = Facts::of(&client.into()).unwrap().unwrap();
        assert_eq!(facts.state, State::Connected);
    }

    #[test]
    fn a_datagram_socket_that_is_bound_and_then_connected() {
        let udp = UdpSocket::bind("[::1]:0").unwrap();
        let (address, port) = (udp.local_addr().unwrap(), OwnedFd::from(udp.try_clone().unwrap()));
        assert_eq!(Facts::of(&port).unwrap(), None);
        let facts = Facts::of_datagrams(&port).unwrap().unwrap();
        assert_eq!((facts.bound, facts.state), (Some(address), State::Closed));
        udp.connect(address).unwrap();
        let facts = Facts::of_datagrams(&port).unwrap().unwrap();
        assert_eq!(facts.state, State::Connected);
        let stream = OwnedFd::from(TcpListener::bind("127.0.0.1:0").unwrap());
        assert_eq!(Facts::of_datagrams(&stream).unwrap(), None);
    }

    #[test]
    fn a_dual_socket_that_is_not_bound() {
        let flags = SockFlag::SOCK_CLOEXEC;
        let socket = socket(AddressFamily::Inet6, SockType::Stream, flags, None).unwrap();
        let facts = Facts::of(&socket).unwrap().unwrap();
        assert_eq!((facts.bound, facts.state), (None, State::Closed));
        nix::sys::socket::setsockopt(&socket, sockopt::Ipv6V6Only, &true).unwrap();
        nix::sys::socket::setsockopt(&socket, sockopt::ReusePort, &true).unwrap();
        let after = Facts::of(&socket).unwrap().unwrap();
        assert!(facts.dual && !after.dual && after.shares && !facts.shares);
    }
}
