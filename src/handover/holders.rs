//! FINDS the processes that hold a socket: nothing else shows whether a program has closed its last copy. Only looks.

use std::{
    collections::{HashMap, HashSet},
    io,
    os::fd::RawFd,
};

use super::open_files;

/// Who holds sockets.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Holders {
    /// For each socket, by inode, a process and the socket's number there.
    pub found: HashMap<u64, (i32, RawFd)>,
    /// Processes whose files cannot be looked at.
    pub closed: HashSet<i32>,
}

impl Holders {
    /// Looks through the files of these processes.
    pub fn among(processes: impl IntoIterator<Item = i32>) -> Holders {
        let mut holders = Holders::default();
        for process in processes {
            match open_files::sockets(process) {
                Ok(held) => held.into_iter().for_each(|(number, inode)| {
                    holders.found.entry(inode).or_insert((process, number));
                }),
                // A process that is gone holds nothing.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(_) => drop(holders.closed.insert(process)),
            }
        }
        holders
    }
}

/// Has the process this socket under this number? `None`: that cannot be looked at.
#[must_use]
pub fn has(process: i32, number: RawFd, inode: u64) -> Option<bool> {
    match open_files::link(process, number) {
        Ok(link) => Some(open_files::inode(&link) == Some(inode)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Some(false),
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::{
        net::TcpListener,
        os::fd::{AsRawFd, OwnedFd},
    };

    use super::*;

    #[test]
    fn this_process_holds_what_it_has_open() {
        let own = i32::try_from(std::process::id()).unwrap();
        let socket = OwnedFd::from(TcpListener::bind("127.0.0.1:0").unwrap());
        let (number, inode) = (socket.as_raw_fd(), nix::sys::stat::fstat(&socket).unwrap().st_ino);
        assert_eq!(
            (has(own, number, inode), has(own, number, inode + 1)),
            (Some(true), Some(false))
        );
        let holders = Holders::among([own, i32::MAX]);
        assert_eq!(holders.found.get(&inode), Some(&(own, number)));
        assert!(holders.closed.is_empty());
        drop(socket);
        assert_eq!(
            (has(own, 9999, inode), has(i32::MAX, number, inode)),
            (Some(false), Some(false))
        );
    }
}
