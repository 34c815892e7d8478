//! HEARS sd_notify(3) datagrams: one socket for each generation, so that the socket tells who speaks.
//!
//! The address is abstract, so that no writable path is needed. Anybody in the network namespace could send to it,
//! so the kernel vouches for the sender (SCM_CREDENTIALS): a process of ours has a number in our PID namespace, which
//! one of another container of the pod has not, and the same user as segue or the program, or is root.

use std::{
    io,
    io::IoSliceMut,
    os::fd::{AsRawFd, OwnedFd},
    task::{Context, Poll, ready},
};

use nix::{
    cmsg_space,
    sys::socket::{
        AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockType, UnixAddr, bind, getsockname, recvmsg,
        setsockopt, socket, sockopt,
    },
};
use tokio::net::UnixDatagram;

/// The longest datagram that is read; systemd's own limit is the same.
const LONGEST: usize = 4096;

/// A `NOTIFY_SOCKET` that is there, and that nobody hears yet.
#[derive(Debug)]
pub struct Address {
    socket: OwnedFd,
    /// What `NOTIFY_SOCKET` says.
    pub name: String,
}

/// A generation's `NOTIFY_SOCKET`.
#[derive(Debug)]
pub struct NotifySocket {
    socket: UnixDatagram,
}

/// A datagram, and who sent it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// The assignments, one a line.
    pub text: String,
    /// The sender's number.
    pub pid: i32,
    /// The sender's user.
    pub user: u32,
}

impl Notice {
    /// Does it say that the program is ready?
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.text.lines().any(|line| line == "READY=1")
    }
}

impl Address {
    /// Makes one, at an address that the kernel chooses.
    pub fn open() -> io::Result<Address> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let made: OwnedFd = socket(AddressFamily::Unix, SockType::Datagram, flags, None)?;
        setsockopt(&made, sockopt::PassCred, &true)?;
        bind(made.as_raw_fd(), &UnixAddr::new_unnamed())?;
        let bound: UnixAddr = getsockname(made.as_raw_fd())?;
        let name = bound.as_abstract().ok_or(io::ErrorKind::AddrNotAvailable)?;
        Ok(Address {
            name: format!("@{}", String::from_utf8_lossy(name)),
            socket: made,
        })
    }
}

impl NotifySocket {
    /// Hears what comes to the address. Needs a tokio runtime.
    pub fn hear(address: Address) -> io::Result<NotifySocket> {
        Ok(NotifySocket {
            socket: UnixDatagram::from_std(address.socket.into())?,
        })
    }

    /// The next datagram from a process of ours, of root or of a user that `believes` is asked about.
    pub fn poll_next(&self, context: &mut Context<'_>, believes: impl Fn(u32) -> bool) -> Poll<Notice> {
        loop {
            if ready!(self.socket.poll_recv_ready(context)).is_err() {
                return Poll::Pending;
            }
            match self
                .socket
                .try_io(tokio::io::Interest::READABLE, || receive(self.socket.as_raw_fd()))
            {
                Ok(Some(notice)) if notice.pid > 0 && (notice.user == 0 || believes(notice.user)) => {
                    return Poll::Ready(notice);
                }
                Ok(stranger) => tracing::debug!(?stranger, "ignored a notification from a stranger"),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => tracing::debug!(%error, "cannot read a notification"),
            }
        }
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the kernel may pass on what was not asked for"
)]
fn receive(socket: i32) -> io::Result<Option<Notice>> {
    let mut bytes = [0_u8; LONGEST];
    let mut parts = [IoSliceMut::new(&mut bytes)];
    // Room for files too: sd_notify may pass some, and they are closed right away.
    let mut space = cmsg_space!(nix::sys::socket::UnixCredentials, [i32; 16]);
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
    let message = recvmsg::<()>(socket, &mut parts, Some(&mut space), flags)?;
    let is_whole = !message.flags.contains(MsgFlags::MSG_TRUNC);
    let mut sender = None;
    for control in message.cmsgs()? {
        match control {
            ControlMessageOwned::ScmCredentials(credentials) => sender = Some((credentials.pid(), credentials.uid())),
            ControlMessageOwned::ScmRights(passed) => passed.into_iter().for_each(crate::process::files::close),
            _ => {}
        }
    }
    // Of what was cut off nobody knows what it says: READY=10 would be READY=1.
    if !is_whole {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "it is longer than 4096 bytes",
        ));
    }
    let length = message.bytes;
    let text = String::from_utf8_lossy(bytes.get(..length).unwrap_or_default()).into_owned();
    Ok(sender.map(|(pid, user)| Notice { text, pid, user }))
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, os::linux::net::SocketAddrExt};

    use super::{Address, LONGEST, Notice, NotifySocket};

    #[tokio::test]
    async fn what_is_cut_off_says_nothing() {
        let address = Address::open().unwrap();
        let name = address.name.trim_start_matches('@').to_owned();
        let name = std::os::unix::net::SocketAddr::from_abstract_name(name).unwrap();
        let socket = NotifySocket::hear(address).unwrap();
        let sender = std::os::unix::net::UnixDatagram::unbound().unwrap();
        let longest = format!("STATUS={}\nREADY=1", "a".repeat(LONGEST - 15));
        for text in [&format!("{longest}0"), &longest] {
            sender.send_to_addr(text.as_bytes(), &name).unwrap();
        }
        let user = nix::unistd::geteuid().as_raw();
        let heard = poll_fn(|context| socket.poll_next(context, |it| it == user)).await;
        assert_eq!((heard.text.len(), heard.is_ready()), (LONGEST, true));
        assert_eq!(heard.text, longest, "the longer one is not heard");
    }

    #[test]
    fn ready_is_a_line_of_its_own() {
        let says = |text: &str| {
            Notice {
                text: text.into(),
                pid: 1,
                user: 0,
            }
            .is_ready()
        };
        assert!(says("STATUS=up\nREADY=1\n"));
        assert!(!says("X_READY=1"));
        assert!(!says("READY=10"));
    }
}
