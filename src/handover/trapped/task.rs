//! LOOKS at a thread that waits in a call: at the file that the call is about, and at the memory that it points to. The files
//! of a program that has changed its user are closed to root without CAP_SYS_PTRACE, and open to root as that user.
#![expect(
    unsafe_code,
    reason = "getxattr and process_vm_readv, which nix has no calls for here"
)]

use std::{
    ffi::CString,
    fs::{self, File},
    io,
    os::{
        fd::RawFd,
        unix::fs::{FileExt, MetadataExt},
    },
};

use nix::fcntl::OFlag;

use crate::process::{
    status::{self, Status},
    user::or_as_user,
};

/// What kind of socket a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// TCP, or Multipath TCP.
    Tcp,
    /// UDP.
    Udp,
    /// A unix socket that can listen.
    Unix,
    /// Another socket, or no socket.
    Other,
}

/// A thread of the program.
#[derive(Debug, Clone, Copy)]
pub struct Task {
    thread: i32,
    /// Who it is.
    pub status: Status,
}

impl Task {
    /// `None` if it is gone.
    #[must_use]
    pub fn new(thread: i32) -> Option<Task> {
        Some(Task {
            thread,
            status: status::of(thread)?,
        })
    }

    /// Its number.
    #[must_use]
    pub fn thread(&self) -> i32 {
        self.thread
    }

    /// The name of its protocol: `TCP`, `MPTCPv6`, ….
    pub fn protocol(&self, file: RawFd) -> io::Result<String> {
        self.look(|| protocol(&self.path(&format!("fd/{file}"))))
    }

    /// What kind of socket the file is.
    pub fn kind(&self, file: RawFd) -> io::Result<Kind> {
        self.look(|| kind(self.thread, file))
    }

    /// The number that tells the file from all others.
    pub fn inode(&self, file: RawFd) -> io::Result<u64> {
        self.look(|| fs::metadata(self.path(&format!("fd/{file}"))))
            .map(|it| it.ino())
    }

    /// Its O_NONBLOCK and O_CLOEXEC.
    pub fn flags(&self, file: RawFd) -> io::Result<OFlag> {
        let text = self.look(|| fs::read_to_string(self.path(&format!("fdinfo/{file}"))))?;
        let flags = text.lines().find_map(|line| line.strip_prefix("flags:"));
        let flags = flags.and_then(|flags| i32::from_str_radix(flags.trim(), 8).ok());
        Ok(OFlag::from_bits_truncate(flags.unwrap_or(0)))
    }

    /// The permissions that files of its making do not get.
    pub fn umask(&self) -> io::Result<u32> {
        let text = self.look(|| fs::read_to_string(self.path("status")))?;
        let mask = text.lines().find_map(|line| line.strip_prefix("Umask:"));
        let mask = mask.and_then(|mask| u32::from_str_radix(mask.trim(), 8).ok());
        mask.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// So many bytes of its memory; EFAULT where there are not so many.
    pub fn read(&self, address: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        if read_memory(self.thread, address, &mut bytes).is_err() {
            self.look(|| File::open(self.path("mem")))?
                .read_exact_at(&mut bytes, address)?;
        }
        Ok(bytes)
    }

    /// Is its namespace of this kind (`net`, `user`) segue's own?
    pub fn shares_namespace(&self, kind: &str) -> io::Result<bool> {
        let theirs = self.look(|| fs::metadata(self.path(&format!("ns/{kind}"))))?;
        let ours = fs::metadata(format!("/proc/self/ns/{kind}"))?;
        Ok((theirs.dev(), theirs.ino()) == (ours.dev(), ours.ino()))
    }

    fn path(&self, rest: &str) -> String {
        format!("/proc/{}/{rest}", self.thread)
    }

    /// Does it as segue, and if that is refused, as the user of the program.
    pub fn look<T>(&self, look: impl Fn() -> io::Result<T>) -> io::Result<T> {
        or_as_user(&self.status, look)
    }
}

/// What kind of socket the thread's file is, as segue sees it.
pub fn kind(thread: i32, file: RawFd) -> io::Result<Kind> {
    let name = protocol(&format!("/proc/{thread}/fd/{file}"))?;
    Ok(match name.as_str() {
        "TCP" | "MPTCP" | "TCPv6" | "MPTCPv6" => Kind::Tcp,
        "UDP" | "UDPv6" => Kind::Udp,
        "UNIX" | "UNIX-STREAM" => Kind::Unix,
        _ => Kind::Other,
    })
}

/// Fills `bytes` from the thread's memory, in one call.
pub fn read_memory(thread: i32, address: u64, bytes: &mut [u8]) -> io::Result<()> {
    let local = libc::iovec {
        iov_base: bytes.as_mut_ptr().cast(),
        iov_len: bytes.len(),
    };
    let remote = libc::iovec {
        iov_base: address as *mut libc::c_void,
        iov_len: bytes.len(),
    };
    // SAFETY: `local` names writable bytes of ours; `remote` is an address in another process, which the kernel checks.
    let read = unsafe { libc::process_vm_readv(thread, &raw const local, 1, &raw const remote, 1, 0) };
    if usize::try_from(read) == Ok(bytes.len()) {
        Ok(())
    } else if read < 0 {
        Err(io::Error::last_os_error())
    } else {
        Err(io::Error::from_raw_os_error(libc::EFAULT))
    }
}

/// The name of a socket's protocol, which socket files tell everybody as an extended attribute.
fn protocol(path: &str) -> io::Result<String> {
    let path = CString::new(path)?;
    let mut name = [0_u8; 32];
    // SAFETY: two C strings, and as many writable bytes as are said.
    let length = unsafe {
        libc::getxattr(
            path.as_ptr(),
            c"system.sockprotoname".as_ptr(),
            name.as_mut_ptr().cast(),
            name.len(),
        )
    };
    match usize::try_from(length) {
        Ok(length) => {
            let name = name.get(..length).unwrap_or_default();
            Ok(String::from_utf8_lossy(name).trim_end_matches('\0').to_owned())
        }
        Err(_) => match io::Error::last_os_error() {
            // A file that is no socket has no such attribute.
            error if matches!(error.raw_os_error(), Some(libc::ENODATA | libc::EOPNOTSUPP)) => Ok(String::new()),
            error => Err(error),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::{
        net::{TcpListener, UdpSocket},
        os::fd::AsRawFd,
    };

    use super::*;

    #[test]
    fn a_socket_of_this_thread() {
        let own = i32::try_from(std::process::id()).unwrap();
        let task = Task::new(own).unwrap();
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let file = tcp.as_raw_fd();
        assert_eq!(task.kind(file).unwrap(), Kind::Tcp);
        assert!(task.flags(file).unwrap().contains(OFlag::O_CLOEXEC));
        assert!(!task.flags(file).unwrap().contains(OFlag::O_NONBLOCK));
        tcp.set_nonblocking(true).unwrap();
        assert!(task.flags(file).unwrap().contains(OFlag::O_NONBLOCK));
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        assert_eq!(task.kind(udp.as_raw_fd()).unwrap(), Kind::Udp);
        let (unix, _) = std::os::unix::net::UnixStream::pair().unwrap();
        assert_eq!(task.kind(unix.as_raw_fd()).unwrap(), Kind::Unix);
        assert!(task.shares_namespace("net").unwrap() && task.shares_namespace("user").unwrap());
    }

    #[test]
    fn memory_that_is_there_and_memory_that_is_not() {
        let task = Task::new(i32::try_from(std::process::id()).unwrap()).unwrap();
        let bytes = *b"sockaddr";
        assert_eq!(task.read(bytes.as_ptr() as u64, bytes.len()).unwrap(), bytes);
        assert!(task.read(8, 16).is_err());
        assert!(task.read(u64::MAX - 3, 16).is_err());
    }

    #[test]
    fn a_file_that_is_no_socket_and_one_that_is_none() {
        let task = Task::new(i32::try_from(std::process::id()).unwrap()).unwrap();
        let file = File::open("/dev/null").unwrap();
        assert_eq!(task.kind(file.as_raw_fd()).unwrap(), Kind::Other);
        assert!(task.kind(-1).is_err());
    }
}
