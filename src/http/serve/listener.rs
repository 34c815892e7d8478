//! TAKES listeners of any kind for one: TCP or unix, made by the program or passed to it. Binds none itself.

use std::{
    io,
    net::SocketAddr,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd},
    task::{Context, Poll, ready},
};

use nix::sys::socket::{
    AddressFamily, MsgFlags, SockType, SockaddrLike, SockaddrStorage, getsockname, getsockopt, recv, sockopt,
};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio_util::either::Either;

use crate::systemd::listen_fds;

/// At the end no more than this are taken from a queue, however fast they come. The kernel has no longer one by default.
const LONGEST_QUEUE: usize = 4096;

/// A connection of either kind.
pub(super) type Socket = Either<TcpStream, UnixStream>;

/// A listening socket.
#[derive(Debug)]
pub struct Listener(Kind);

#[derive(Debug)]
enum Kind {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// Why the sockets that were passed to this process cannot be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PassedError {
    /// The variables do not tell of sockets.
    #[error(transparent)]
    Variables(#[from] listen_fds::Error),
    /// One of them is not one that accepts streams: a datagram socket, or none at all.
    #[error("the passed file {name:?} is no listening TCP or unix socket")]
    Kind {
        /// Its name, as in `LISTEN_FDNAMES`.
        name: String,
    },
    /// The system refused something.
    #[error("the passed socket {name:?}: {error}")]
    System {
        /// Its name, as in `LISTEN_FDNAMES`.
        name: String,
        /// What it said.
        error: io::Error,
    },
}

impl Listener {
    /// The listeners that segue or systemd has passed to this process (`LISTEN_FDS`), in their order; none if there are
    /// none. Needs a tokio runtime with I/O.
    ///
    /// # Errors
    ///
    /// [`PassedError`]; on every call after the first, since each socket has one owner.
    pub fn passed() -> Result<Vec<Listener>, PassedError> {
        let passed = listen_fds::take()?.into_iter();
        passed.map(|it| Listener::from_fd(it.socket, &it.name)).collect()
    }

    fn from_fd(socket: OwnedFd, name: &str) -> Result<Listener, PassedError> {
        let wrong = || PassedError::Kind { name: name.to_owned() };
        let system = |error| PassedError::System {
            name: name.to_owned(),
            error,
        };
        let listens = getsockopt(&socket, sockopt::AcceptConn).unwrap_or(false);
        let streams = getsockopt(&socket, sockopt::SockType).is_ok_and(|it| it == SockType::Stream);
        if !(listens && streams) {
            return Err(wrong());
        }
        let address: SockaddrStorage = getsockname(socket.as_raw_fd()).map_err(|error| system(error.into()))?;
        match address.family() {
            Some(AddressFamily::Inet | AddressFamily::Inet6) => {
                std::net::TcpListener::from(socket).try_into().map_err(system)
            }
            Some(AddressFamily::Unix) => std::os::unix::net::UnixListener::from(socket)
                .try_into()
                .map_err(system),
            _ => Err(wrong()),
        }
    }

    /// The address that it listens on; `None` for a unix socket.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        match &self.0 {
            Kind::Tcp(listener) => listener.local_addr().ok(),
            Kind::Unix(_) => None,
        }
    }

    pub(super) fn poll_accept(&self, context: &mut Context<'_>) -> Poll<io::Result<(Socket, Option<SocketAddr>)>> {
        Poll::Ready(match &self.0 {
            Kind::Tcp(listener) => ready!(listener.poll_accept(context)).map(tcp),
            Kind::Unix(listener) => {
                ready!(listener.poll_accept(context)).map(|(stream, _)| (Either::Right(stream), None))
            }
        })
    }

    /// All that the kernel has queued, and no more are taken. The runtime is not asked: it answers that there is nothing
    /// for what it has not been told of yet.
    pub(super) fn close(self) -> Vec<(Socket, Option<SocketAddr>)> {
        match self.0 {
            Kind::Tcp(listener) => {
                let Ok(listener) = listener.into_std() else {
                    return Vec::new();
                };
                let next = |_| {
                    let (stream, peer) = listener.accept().ok()?;
                    stream.set_nonblocking(true).ok()?;
                    Some(tcp((TcpStream::from_std(stream).ok()?, peer)))
                };
                (0..LONGEST_QUEUE).map_while(next).collect()
            }
            Kind::Unix(listener) => {
                let Ok(listener) = listener.into_std() else {
                    return Vec::new();
                };
                let next = |_| {
                    let (stream, _) = listener.accept().ok()?;
                    stream.set_nonblocking(true).ok()?;
                    Some((Either::Right(UnixStream::from_std(stream).ok()?), None))
                };
                (0..LONGEST_QUEUE).map_while(next).collect()
            }
        }
    }
}

fn tcp((stream, peer): (TcpStream, SocketAddr)) -> (Socket, Option<SocketAddr>) {
    // A response is written in one go, there is nothing to gain by waiting for more. At most it is slower.
    stream.set_nodelay(true).ok();
    (Either::Left(stream), Some(peer))
}

/// The number of its file, valid as long as the socket is.
pub(super) fn number(socket: &Socket) -> RawFd {
    match socket {
        Either::Left(stream) => stream.as_raw_fd(),
        Either::Right(stream) => stream.as_raw_fd(),
    }
}

/// Has something come that was not read, the client's end included?
pub(super) fn is_readable(socket: RawFd) -> bool {
    let mut byte = [0];
    // An error is for hyper to see: there is nothing to read for it.
    recv(socket, &mut byte, MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT).is_ok_and(|count| count > 0)
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.0 {
            Kind::Tcp(listener) => listener.as_fd(),
            Kind::Unix(listener) => listener.as_fd(),
        }
    }
}

impl From<TcpListener> for Listener {
    fn from(listener: TcpListener) -> Listener {
        Listener(Kind::Tcp(listener))
    }
}

impl From<UnixListener> for Listener {
    fn from(listener: UnixListener) -> Listener {
        Listener(Kind::Unix(listener))
    }
}

impl TryFrom<std::net::TcpListener> for Listener {
    type Error = io::Error;

    fn try_from(listener: std::net::TcpListener) -> io::Result<Listener> {
        listener.set_nonblocking(true)?;
        Ok(TcpListener::from_std(listener)?.into())
    }
}

impl TryFrom<std::os::unix::net::UnixListener> for Listener {
    type Error = io::Error;

    fn try_from(listener: std::os::unix::net::UnixListener) -> io::Result<Listener> {
        listener.set_nonblocking(true)?;
        Ok(UnixListener::from_std(listener)?.into())
    }
}
