//! PROVES that a program could not tell if its socket were exchanged for another: it is open under one number, in one process,
//! and in no epoll. Only looks.

use std::{fs, io, os::fd::RawFd};

use super::open_files;

/// What is in the way, if anything is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InTheWay {
    /// It is open under another number, or in another process.
    OpenElsewhere,
    /// It is registered with an epoll.
    Registered,
    /// It may be registered with an io_uring.
    MayBeRegistered,
    /// Segue may not look at every process, so it cannot know.
    CannotTell,
}

impl InTheWay {
    /// In words.
    #[must_use]
    pub fn why(&self) -> &'static str {
        match self {
            InTheWay::OpenElsewhere => "its socket is open under another number, too",
            InTheWay::Registered => "its socket is registered with an epoll already",
            InTheWay::MayBeRegistered => "its socket may be registered with an io_uring",
            InTheWay::CannotTell => "segue cannot see which other processes hold its socket",
        }
    }
}

/// Is the socket with this inode open under this number of this process, and nowhere else among these processes?
pub fn is_invisible(
    process: i32,
    number: RawFd,
    inode: u64,
    processes: impl IntoIterator<Item = i32>,
) -> Result<(), InTheWay> {
    let mut seen = false;
    for other in processes {
        match files(other) {
            Ok(files) => {
                for file in files {
                    match file {
                        File::Socket(at, found) if found == inode => {
                            if (other, at) != (process, number) {
                                return Err(InTheWay::OpenElsewhere);
                            }
                            seen = true;
                        }
                        File::Registers(inodes) if inodes.contains(&inode) => return Err(InTheWay::Registered),
                        File::MayRegister if other == process => return Err(InTheWay::MayBeRegistered),
                        File::Socket(..) | File::Registers(_) | File::MayRegister => {}
                    }
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(_) => return Err(InTheWay::CannotTell),
        }
    }
    if seen { Ok(()) } else { Err(InTheWay::CannotTell) }
}

enum File {
    Socket(RawFd, u64),
    /// An epoll, with the inodes in it.
    Registers(Vec<u64>),
    /// An io_uring.
    MayRegister,
}

fn files(process: i32) -> io::Result<Vec<File>> {
    open_files::of(process, |number, link| {
        if let Some(inode) = open_files::inode(link) {
            return Ok(Some(File::Socket(number, inode)));
        }
        match link.to_str() {
            Some("anon_inode:[eventpoll]") => {
                let text = fs::read_to_string(format!("/proc/{process}/fdinfo/{number}"))?;
                Ok(Some(File::Registers(registered(&text))))
            }
            Some("anon_inode:[io_uring]") => Ok(Some(File::MayRegister)),
            _ => Ok(None),
        }
    })
}

/// The inodes of `tfd: … ino:HEX …` lines.
fn registered(text: &str) -> Vec<u64> {
    let lines = text.lines().filter(|line| line.starts_with("tfd:"));
    let inodes = lines.filter_map(|line| {
        let rest = line.split("ino:").nth(1)?;
        u64::from_str_radix(rest.split_whitespace().next()?, 16).ok()
    });
    inodes.collect()
}

#[cfg(test)]
mod tests {
    use std::{
        net::TcpListener,
        os::fd::{AsRawFd, OwnedFd},
    };

    use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};

    use super::*;

    #[test]
    fn a_socket_alone_a_copy_and_an_epoll() {
        let own = i32::try_from(std::process::id()).unwrap();
        let socket = OwnedFd::from(TcpListener::bind("127.0.0.1:0").unwrap());
        let inode = nix::sys::stat::fstat(&socket).unwrap().st_ino;
        let look = || is_invisible(own, socket.as_raw_fd(), inode, [own]);
        assert_eq!(look(), Ok(()));
        let copy = socket.try_clone().unwrap();
        assert_eq!(look(), Err(InTheWay::OpenElsewhere));
        drop(copy);
        assert_eq!(look(), Ok(()));
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).unwrap();
        epoll.add(&socket, EpollEvent::new(EpollFlags::EPOLLIN, 0)).unwrap();
        assert_eq!(look(), Err(InTheWay::Registered));
        drop(epoll);
        assert_eq!(look(), Ok(()));
        assert_eq!(is_invisible(own, 0, inode, [own]), Err(InTheWay::OpenElsewhere));
        assert_eq!(is_invisible(own, 0, u64::MAX, [own]), Err(InTheWay::CannotTell));
    }
}
