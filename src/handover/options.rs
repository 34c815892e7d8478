//! RECORDS the options that a program sets on a socket before its bind, and sets them on the socket that it is given
//! instead.
#![expect(unsafe_code, reason = "options whose values are the program's bytes")]

use std::{
    collections::VecDeque,
    io,
    os::fd::{AsRawFd, BorrowedFd},
};

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
pub struct Options(Vec<SocketOption>);

impl Options {
    /// One more, or one anew.
    pub fn set(&mut self, option: SocketOption) {
        self.0.retain(|it| (it.level, it.name) != (option.level, option.name));
        self.0.push(option);
    }

    fn value(&self, level: i32, name: i32) -> Option<&[u8]> {
        let option = self.0.iter().find(|it| (it.level, it.name) == (level, name))?;
        Some(&option.value)
    }

    fn number(&self, level: i32, name: i32) -> Option<i32> {
        let bytes = self.value(level, name)?.get(..4)?;
        Some(i32::from_ne_bytes(bytes.try_into().ok()?))
    }

    /// May other sockets of the program have the same address (SO_REUSEPORT)?
    #[must_use]
    pub fn shares(&self) -> bool {
        self.number(libc::SOL_SOCKET, libc::SO_REUSEPORT).unwrap_or(0) != 0
    }

    /// IPV6_V6ONLY, if it was set.
    #[must_use]
    pub fn only_six(&self) -> Option<bool> {
        self.number(libc::IPPROTO_IPV6, libc::IPV6_V6ONLY)
            .map(|value| value != 0)
    }

    /// The interface that it is tied to; empty for none.
    #[must_use]
    pub fn device(&self) -> Vec<u8> {
        let name = self.value(libc::SOL_SOCKET, libc::SO_BINDTODEVICE).unwrap_or_default();
        name.split(|byte| *byte == 0).next().unwrap_or_default().to_vec()
    }

    /// Sets all of them but SO_REUSEPORT, which is segue's own affair.
    pub fn apply(&self, socket: BorrowedFd<'_>) -> io::Result<()> {
        self.others().try_for_each(|option| set(socket, option))
    }

    /// The same for a socket that is bound already. What only an unbound one takes (IPV6_V6ONLY) it has from before.
    pub fn apply_again(&self, socket: BorrowedFd<'_>) {
        for option in self.others() {
            if let Err(error) = set(socket, option) {
                tracing::debug!(option.level, option.name, %error, "an option stays as it was");
            }
        }
    }

    fn others(&self) -> impl Iterator<Item = &SocketOption> {
        let ours = |it: &&SocketOption| (it.level, it.name) != (libc::SOL_SOCKET, libc::SO_REUSEPORT);
        self.0.iter().filter(ours)
    }
}

fn set(socket: BorrowedFd<'_>, option: &SocketOption) -> io::Result<()> {
    let length = libc::socklen_t::try_from(option.value.len()).map_err(io::Error::other)?;
    // SAFETY: the value has as many bytes as are said.
    let set = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            option.level,
            option.name,
            option.value.as_ptr().cast(),
            length,
        )
    };
    if set == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// What is remembered of sockets that were not bound yet. A program that never binds any makes it forget the oldest.
#[derive(Debug, Default)]
pub struct Records(VecDeque<(u64, Options)>);

/// More than any program prepares at once.
const RECORDS: usize = 256;

impl Records {
    /// The socket with this inode has this option now.
    pub fn note(&mut self, inode: u64, option: SocketOption) {
        if let Some((_, options)) = self.0.iter_mut().find(|it| it.0 == inode) {
            return options.set(option);
        }
        if self.0.len() >= RECORDS {
            self.0.pop_front();
        }
        self.0.push_back((inode, Options(vec![option])));
    }

    /// The options of the socket with this inode.
    #[must_use]
    pub fn of(&self, inode: u64) -> Options {
        let options = self.0.iter().find(|it| it.0 == inode);
        options.map(|it| it.1.clone()).unwrap_or_default()
    }

    /// The socket is no more.
    pub fn forget(&mut self, inode: u64) {
        self.0.retain(|it| it.0 != inode);
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
        let mut options = Options::default();
        assert!(!options.shares() && options.only_six().is_none());
        options.set(option(libc::SOL_SOCKET, libc::SO_REUSEPORT, 1));
        options.set(option(libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 0));
        assert!(options.shares() && options.only_six() == Some(false));
        options.set(option(libc::SOL_SOCKET, libc::SO_REUSEPORT, 0));
        assert!(!options.shares());
    }

    #[test]
    fn options_are_set_on_another_socket() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let borrowed = std::os::fd::AsFd::as_fd(&socket);
        let mut options = Options::default();
        options.set(option(libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT, 3));
        options.set(option(libc::SOL_SOCKET, libc::SO_RCVBUF, 10_000));
        options.apply(borrowed).unwrap();
        let size = nix::sys::socket::getsockopt(&socket, nix::sys::socket::sockopt::RcvBuf).unwrap();
        assert_eq!(size, 20_000, "the kernel doubles it");
    }

    #[test]
    fn a_device_is_a_name_up_to_its_zero() {
        let mut options = Options::default();
        options.set(SocketOption {
            level: libc::SOL_SOCKET,
            name: libc::SO_BINDTODEVICE,
            value: b"lo\0rubbish".to_vec(),
        });
        assert_eq!(options.device(), b"lo");
    }

    #[test]
    fn memory_is_bounded() {
        let mut records = Records::default();
        for inode in 0..10_000 {
            records.note(inode, option(libc::SOL_SOCKET, libc::SO_REUSEPORT, 1));
        }
        assert_eq!(records.0.len(), RECORDS);
        assert!(records.of(9_999).shares() && !records.of(0).shares());
        records.forget(9_999);
        assert!(!records.of(9_999).shares());
    }
}
