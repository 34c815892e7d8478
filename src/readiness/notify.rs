//! HEARS sd_notify(3) datagrams: one socket for each generation, so that the socket tells who speaks.
//!
//! The address is abstract, so that no writable path is needed. Anybody in the network namespace could send to it,
//! so the kernel vouches for the sender (SCM_CREDENTIALS): a process of ours has a number in our PID namespace, which
//! one of another container of the pod has not, and the same user as segue or the program, or is root.

use std::{
    io,
    io::IoSliceMut,
    os::fd::{AsRawFd, OwnedFd},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use nix::{
    cmsg_space,
    sys::socket::{
        AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockType, UnixAddr, bind, getsockname, recvmsg,
        setsockopt, socket, sockopt,
    },
};
use tokio::{
    net::UnixDatagram,
    time::{Instant, Sleep, sleep_until},
};

/// The longest datagram that is read; systemd's own limit is the same.
const LONGEST: usize = 4096;

/// So many datagrams are read in each such time. Programs send a few in their life; anybody in the network namespace may send without end, and
/// is made to wait then.
const MOST: u32 = 64;
const EACH: Duration = Duration::from_millis(100);

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
    /// Since when it is counted what comes, and how much has.
    counted: (Instant, u32),
    /// Until more is read.
    rest: Option<Pin<Box<Sleep>>>,
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
            counted: (Instant::now(), 0),
            rest: None,
        })
    }

    /// The next datagram from a process of ours, of root or of a user that `believes` is asked about.
    pub fn poll_next(&mut self, context: &mut Context<'_>, believes: impl Fn(u32) -> bool) -> Poll<Notice> {
        loop {
            ready!(self.poll_rest(context));
            if ready!(self.socket.poll_recv_ready(context)).is_err() {
                return Poll::Pending;
            }
            let received = self
                .socket
                .try_io(tokio::io::Interest::READABLE, || receive(self.socket.as_raw_fd()));
            let is_one = !matches!(&received, Err(error) if error.kind() == io::ErrorKind::WouldBlock);
            self.counted.1 += u32::from(is_one);
            match received {
                Ok(Some(notice)) if notice.pid > 0 && (notice.user == 0 || believes(notice.user)) => {
                    return Poll::Ready(notice);
                }
                Ok(stranger) => tracing::debug!(?stranger, "ignored a notification from a stranger"),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => tracing::debug!(%error, "cannot read a notification"),
            }
        }
    }

    /// Waits if there were too many.
    fn poll_rest(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let now = Instant::now();
        let (since, count) = &mut self.counted;
        if now.saturating_duration_since(*since) >= EACH {
            (*since, *count) = (now, 0);
            self.rest = None;
        }
        if *count >= MOST {
            let rest = self.rest.get_or_insert_with(|| Box::pin(sleep_until(*since + EACH)));
            ready!(rest.as_mut().poll(context));
        }
        Poll::Ready(())
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
        let mut socket = NotifySocket::hear(address).unwrap();
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

    /// Who floods it is made to wait, and what a program says gets through.
    #[tokio::test]
    async fn a_flood_is_read_at_a_bounded_rate() {
        let address = Address::open().unwrap();
        let name = address.name.trim_start_matches('@').to_owned();
        let name = std::os::unix::net::SocketAddr::from_abstract_name(name).unwrap();
        let mut socket = NotifySocket::hear(address).unwrap();
        let ended = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let over = std::sync::Arc::clone(&ended);
        let flood = std::thread::spawn(move || {
            let sender = std::os::unix::net::UnixDatagram::unbound().unwrap();
            sender
                .set_write_timeout(Some(std::time::Duration::from_millis(50)))
                .unwrap();
            while !over.load(std::sync::atomic::Ordering::Relaxed) {
                sender.send_to_addr(b"STATUS=flood", &name).ok();
            }
        });
        let (begin, mut heard) = (std::time::Instant::now(), 0);
        while begin.elapsed() < 5 * super::EACH {
            poll_fn(|context| socket.poll_next(context, |_| true)).await;
            heard += 1;
        }
        ended.store(true, std::sync::atomic::Ordering::Relaxed);
        flood.join().unwrap();
        assert!(heard <= 7 * super::MOST, "{heard}");
    }

    /// To look and find nothing is no datagram.
    #[tokio::test]
    async fn however_often_it_is_looked_nothing_is_held_up() {
        let address = Address::open().unwrap();
        let name = address.name.trim_start_matches('@').to_owned();
        let name = std::os::unix::net::SocketAddr::from_abstract_name(name).unwrap();
        let mut socket = NotifySocket::hear(address).unwrap();
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        for _ in 0..10 * super::MOST {
            assert!(socket.poll_next(&mut context, |_| true).is_pending());
        }
        assert!(socket.rest.is_none() && socket.counted.1 == 0);
        let sender = std::os::unix::net::UnixDatagram::unbound().unwrap();
        sender.send_to_addr(b"READY=1", &name).unwrap();
        assert!(poll_fn(|context| socket.poll_next(context, |_| true)).await.is_ready());
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
