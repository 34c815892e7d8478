//! BINDS addresses. Knows nothing of generations.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::{fs::FileTypeExt, net::UnixStream},
    },
    path::Path,
};

use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, UnixAddr, bind, listen, setsockopt, socket, sockopt,
};

/// A TCP address to listen on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TcpAddress {
    /// Where.
    pub address: SocketAddr,
    /// For an IPv6 wildcard: IPv4 too?
    pub dual: bool,
}

impl TcpAddress {
    /// All interfaces, IPv6 and IPv4, or IPv4 only where the kernel has no IPv6.
    #[must_use]
    pub fn any(port: u16) -> TcpAddress {
        if has_ipv6() {
            TcpAddress {
                address: (Ipv6Addr::UNSPECIFIED, port).into(),
                dual: true,
            }
        } else {
            TcpAddress {
                address: (Ipv4Addr::UNSPECIFIED, port).into(),
                dual: false,
            }
        }
    }
}

/// Can IPv6 sockets be made and bound here? (`ipv6.disable=1` refuses the one, `disable_ipv6` the other.)
#[must_use]
pub fn has_ipv6() -> bool {
    let loopback = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
    tcp(
        TcpAddress {
            address: loopback,
            dual: false,
        },
        false,
    )
    .is_ok()
}

/// A bound TCP socket that can become a member of a SO_REUSEPORT group, not listening yet.
///
/// The `first` of a group is bound without SO_REUSEPORT and gets it afterwards: a foreign listener on the address is
/// an error then, as it would be without segue, and never silently shared with.
pub fn tcp(address: TcpAddress, first: bool) -> io::Result<OwnedFd> {
    let family = if address.address.is_ipv6() {
        AddressFamily::Inet6
    } else {
        AddressFamily::Inet
    };
    let socket = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    setsockopt(&socket, sockopt::ReuseAddr, &true)?;
    if address.address.is_ipv6() {
        setsockopt(&socket, sockopt::Ipv6V6Only, &!address.dual)?;
    }
    if !first {
        setsockopt(&socket, sockopt::ReusePort, &true)?;
    }
    bind(socket.as_raw_fd(), &SockaddrStorage::from(address.address))?;
    if first {
        setsockopt(&socket, sockopt::ReusePort, &true)?;
    }
    Ok(socket)
}

/// Lets connections in, as many waiting as the system allows.
pub fn open(socket: &OwnedFd) -> io::Result<()> {
    Ok(listen(socket, Backlog::MAXALLOWABLE)?)
}

/// A listening unix socket at `path`. One that a dead process left behind is replaced, one that somebody serves is
/// `AddrInUse`, and anything that is no socket stays.
pub fn unix(path: &Path) -> io::Result<OwnedFd> {
    let made = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    let address = UnixAddr::new(path)?;
    match bind(made.as_raw_fd(), &address) {
        Err(nix::Error::EADDRINUSE) if is_stale(path) => {
            std::fs::remove_file(path)?;
            bind(made.as_raw_fd(), &address)?;
        }
        bound => bound?,
    }
    open(&made)?;
    Ok(made)
}

fn is_stale(path: &Path) -> bool {
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|it| it.file_type().is_socket());
    is_socket && UnixStream::connect(path).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}
