//! BINDS addresses. Knows nothing of generations.

use std::{
    ffi::OsString,
    fmt, io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::{ffi::OsStringExt, fs::FileTypeExt, net::UnixStream},
    },
    path::Path,
};

use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrIn, SockaddrIn6, SockaddrStorage, UnixAddr, bind, getsockname,
    listen, setsockopt, socket, sockopt,
};

use super::facts;

/// A TCP address to listen on, with all that keeps it apart from others.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Where.
    pub address: SocketAddr,
    /// For IPv6: IPv4 too, where the address is the wildcard?
    pub dual: bool,
    /// The interface that it is tied to; empty for none.
    pub device: Vec<u8>,
}

impl Place {
    /// An address as it stands.
    #[must_use]
    pub fn single(address: SocketAddr) -> Place {
        Place {
            address,
            dual: false,
            device: Vec::new(),
        }
    }

    /// All interfaces, IPv6 and IPv4, or IPv4 only where the kernel has no IPv6.
    #[must_use]
    pub fn any(port: u16) -> Place {
        if has_ipv6() {
            Place {
                dual: true,
                ..Place::single((Ipv6Addr::UNSPECIFIED, port).into())
            }
        } else {
            Place::single((Ipv4Addr::UNSPECIFIED, port).into())
        }
    }

    /// Is there a connection that both could get?
    #[must_use]
    pub fn overlaps(&self, other: &Place) -> bool {
        let devices = self.device.is_empty() || other.device.is_empty() || self.device == other.device;
        let (ours, theirs) = (self.address.ip().to_canonical(), other.address.ip().to_canonical());
        let covers = |one: &Place, other: &Place| {
            let is_four = |place: &Place| place.address.ip().to_canonical().is_ipv4();
            one.address.ip().is_unspecified() && (is_four(one) == is_four(other) || one.dual)
        };
        let addresses = ours == theirs || covers(self, other) || covers(other, self);
        self.address.port() == other.address.port() && devices && addresses
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.address)?;
        if !self.device.is_empty() {
            write!(f, "%{}", String::from_utf8_lossy(&self.device))?;
        }
        Ok(())
    }
}

/// Can IPv6 sockets be made and bound here? (`ipv6.disable=1` refuses the one, `disable_ipv6` the other.)
#[must_use]
pub fn has_ipv6() -> bool {
    let any_port = Place::single((Ipv6Addr::UNSPECIFIED, 0).into());
    tcp(&any_port, Sharing::Allowed).is_ok()
}

/// When a socket gets SO_REUSEPORT, which makes it a member of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// Never: the socket is in no group.
    Never,
    /// Before the bind: others with the option may have the address already.
    Allowed,
    /// After the bind: a foreign listener on the address is an error, as it would be without segue, and never silently
    /// shared with.
    AfterBind,
}

/// A bound TCP socket that can become a member of a SO_REUSEPORT group, not listening yet.
pub fn tcp(place: &Place, sharing: Sharing) -> io::Result<OwnedFd> {
    stream(place, sharing, false)
}

/// The same, and a Multipath TCP socket if it is to be one.
pub fn stream(place: &Place, sharing: Sharing, multipath: bool) -> io::Result<OwnedFd> {
    bound(made(place, multipath)?, place, sharing)
}

/// A socket for this address, not bound yet.
pub fn made(place: &Place, multipath: bool) -> io::Result<OwnedFd> {
    let family = if place.address.is_ipv6() {
        AddressFamily::Inet6
    } else {
        AddressFamily::Inet
    };
    let socket = if multipath {
        facts::multipath(family)?
    } else {
        socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?
    };
    setsockopt(&socket, sockopt::ReuseAddr, &true)?;
    if place.address.is_ipv6() {
        setsockopt(&socket, sockopt::Ipv6V6Only, &!place.dual)?;
    }
    if !place.device.is_empty() {
        setsockopt(
            &socket,
            sockopt::BindToDevice,
            &OsString::from_vec(place.device.clone()),
        )?;
    }
    Ok(socket)
}

/// A client of segue's own for a listener of this address, and the port that it comes from.
pub fn filler(place: &Place) -> io::Result<(OwnedFd, u16)> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let family = if place.address.is_ipv6() {
        AddressFamily::Inet6
    } else {
        AddressFamily::Inet
    };
    let client = socket(family, SockType::Stream, flags, None)?;
    if !place.device.is_empty() {
        setsockopt(
            &client,
            sockopt::BindToDevice,
            &OsString::from_vec(place.device.clone()),
        )?;
    }
    let mut from = reached_at(place);
    from.set_port(0);
    bind(client.as_raw_fd(), &SockaddrStorage::from(from))?;
    let bound: SockaddrStorage = getsockname(client.as_raw_fd())?;
    let port = bound.as_sockaddr_in().map(SockaddrIn::port);
    let port = port.or_else(|| bound.as_sockaddr_in6().map(SockaddrIn6::port));
    Ok((client, port.ok_or(io::ErrorKind::InvalidData)?))
}

/// Connects it. On the same machine that is done when the call returns.
pub fn connect(client: &OwnedFd, place: &Place) -> io::Result<()> {
    match nix::sys::socket::connect(client.as_raw_fd(), &SockaddrStorage::from(reached_at(place))) {
        Ok(()) | Err(nix::Error::EINPROGRESS) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn reached_at(place: &Place) -> SocketAddr {
    let mut address = place.address;
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

/// Binds it.
pub fn bound(socket: OwnedFd, place: &Place, sharing: Sharing) -> io::Result<OwnedFd> {
    if sharing == Sharing::Allowed {
        setsockopt(&socket, sockopt::ReusePort, &true)?;
    }
    bind(socket.as_raw_fd(), &SockaddrStorage::from(place.address))?;
    if sharing == Sharing::AfterBind {
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

#[cfg(test)]
mod tests {
    use super::Place;

    fn place(text: &str, dual: bool) -> Place {
        Place {
            dual,
            ..Place::single(text.parse().unwrap())
        }
    }

    #[test]
    fn places_that_get_the_same_connections_overlap() {
        let overlap = |one: &Place, other: &Place| {
            assert_eq!(one.overlaps(other), other.overlaps(one));
            one.overlaps(other)
        };
        let (any, six, both) = (
            place("0.0.0.0:80", false),
            place("[::]:80", false),
            place("[::]:80", true),
        );
        assert!(overlap(&any, &place("127.0.0.1:80", false)) && overlap(&both, &any));
        assert!(!overlap(&any, &six) && !overlap(&any, &place("127.0.0.1:81", false)));
        assert!(overlap(&six, &both) && overlap(&six, &place("[::1]:80", true)));
        assert!(!overlap(&place("127.0.0.1:80", false), &place("127.0.0.2:80", false)));
        let tied = Place {
            device: b"lo".to_vec(),
            ..any.clone()
        };
        assert!(
            overlap(&tied, &any)
                && !overlap(
                    &tied,
                    &Place {
                        device: b"eth0".to_vec(),
                        ..any.clone()
                    }
                )
        );
        assert_eq!(tied.to_string(), "0.0.0.0:80%lo");
    }
}
