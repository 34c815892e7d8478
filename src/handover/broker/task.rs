//! LOOKS at a thread that waits in a call: at the file that the call is about, and at the memory that it points to.
//!
//! /proc is the way, because pidfd_getfd(2), and in older engines process_vm_readv(2), are refused in containers. The
//! files of a program that has changed its user are closed to root without CAP_SYS_PTRACE, and open to root as that
//! user: for the moment of the look segue takes its file-system user on (setfsuid(2)).
#![expect(unsafe_code, reason = "getxattr, which nix has no call for")]

use std::{
    collections::HashSet,
    ffi::CString,
    fs::{self, File},
    io,
    os::{
        fd::RawFd,
        unix::fs::{FileExt, MetadataExt},
    },
};

use nix::{
    fcntl::OFlag,
    unistd::{Gid, Uid, geteuid, setfsgid, setfsuid},
};

use super::address::Family;
use crate::process::status::{self, Status};

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

    /// What kind of socket the file is; `None` = no socket, or none that segue has to do with.
    ///
    /// A Multipath TCP socket counts as TCP, and is given one: steering does not reach the former, and every peer of it
    /// has to do with the latter anyway (RFC 8684 §3.7).
    pub fn family(&self, file: RawFd) -> io::Result<Option<Family>> {
        let name = self.look(|| protocol(&self.path(&format!("fd/{file}"))))?;
        Ok(match name.as_str() {
            "TCP" | "MPTCP" => Some(Family::Four),
            "TCPv6" | "MPTCPv6" => Some(Family::Six),
            "UNIX" | "UNIX-STREAM" => Some(Family::Unix),
            _ => None,
        })
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

    /// So many bytes of its memory; EFAULT where there are not so many.
    pub fn read(&self, address: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.look(|| File::open(self.path("mem")))?
            .read_exact_at(&mut bytes, address)?;
        Ok(bytes)
    }

    /// Is it in segue's own network namespace? A socket of ours would be of no use to it elsewhere.
    pub fn shares_network(&self) -> io::Result<bool> {
        let theirs = self.look(|| fs::metadata(self.path("ns/net")))?;
        let ours = fs::metadata("/proc/self/ns/net")?;
        Ok((theirs.dev(), theirs.ino()) == (ours.dev(), ours.ino()))
    }

    fn path(&self, rest: &str) -> String {
        format!("/proc/{}/{rest}", self.thread)
    }

    fn look<T>(&self, look: impl Fn() -> io::Result<T>) -> io::Result<T> {
        look_as(self.status, look)
    }
}

/// The sockets that these processes hold, by inode; `None` if one of them cannot be looked at.
#[must_use]
pub fn held_sockets(processes: &[i32]) -> Option<HashSet<u64>> {
    let mut held = HashSet::new();
    for process in processes {
        // Whoever is gone holds nothing.
        let Some(status) = status::of(*process) else { continue };
        let directory = format!("/proc/{process}/fd");
        let listed = look_as(status, || {
            let files = fs::read_dir(&directory)?;
            Ok(files
                .filter_map(|file| fs::read_link(file.ok()?.path()).ok())
                .filter_map(|link| link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok())
                .collect::<Vec<u64>>())
        });
        match listed {
            Ok(inodes) => held.extend(inodes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(_) => return None,
        }
    }
    Some(held)
}

/// Looks as segue, and if that is refused and segue is root, as the user of the program.
fn look_as<T>(status: Status, look: impl Fn() -> io::Result<T>) -> io::Result<T> {
    match look() {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied && geteuid().is_root() => {
            let (group, user) = (
                setfsgid(Gid::from_raw(status.group)),
                setfsuid(Uid::from_raw(status.user)),
            );
            let looked = look();
            setfsuid(user);
            setfsgid(group);
            looked
        }
        looked => looked,
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
        assert_eq!(task.family(file).unwrap(), Some(Family::Four));
        assert!(task.flags(file).unwrap().contains(OFlag::O_CLOEXEC));
        assert!(!task.flags(file).unwrap().contains(OFlag::O_NONBLOCK));
        tcp.set_nonblocking(true).unwrap();
        assert!(task.flags(file).unwrap().contains(OFlag::O_NONBLOCK));
        let inode = task.inode(file).unwrap();
        assert!(held_sockets(&[own]).unwrap().contains(&inode));
        drop(tcp);
        assert!(!held_sockets(&[own]).unwrap().contains(&inode));
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        assert_eq!(task.family(udp.as_raw_fd()).unwrap(), None);
        assert!(task.shares_network().unwrap());
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
        assert_eq!(task.family(file.as_raw_fd()).unwrap(), None);
        assert!(task.family(-1).is_err());
    }
}
