//! FINDS a place for the control socket. Its name tells the PID namespace, so that containers that share a directory do not meet.
//!
//! Anybody may write to some of the directories: what is not ours is never removed.

use std::{
    fs,
    io::{self, ErrorKind},
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::{
            fs::{FileTypeExt, MetadataExt},
            net::{UnixListener, UnixStream},
        },
    },
    path::{Path, PathBuf},
};

use nix::{
    fcntl::{Flock, FlockArg},
    sys::{
        socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, socket},
        stat::{Mode, fchmod},
    },
};

/// Where `auto` looks for a place, in this order.
pub const DIRECTORIES: [&str; 3] = ["/run", "/dev/shm", "/tmp"];

/// A socket that clients can connect to; its file is removed when it is dropped.
#[derive(Debug)]
pub struct Socket {
    /// The file.
    pub path: PathBuf,
    listener: UnixListener,
    identity: (u64, u64),
}

impl Socket {
    /// Makes the socket at this path, in place of one that nobody listens on any more.
    ///
    /// # Errors
    ///
    /// What stands in the way: `AlreadyExists` for something that is no socket, `AddrInUse` for another's.
    pub fn at(path: &Path) -> io::Result<Socket> {
        match Socket::bind(path) {
            Err(error) if error.kind() == ErrorKind::AddrInUse => {
                remove_stale(path)?;
                Socket::bind(path)
            }
            made => made,
        }
    }

    /// Makes it in the first of these directories that takes one. A second segue of a PID namespace adds its number.
    ///
    /// # Errors
    ///
    /// What each directory said.
    pub fn automatic<P: AsRef<Path>>(directories: &[P], namespace: &str, pid: u32) -> io::Result<Socket> {
        let mut errors = Vec::new();
        for directory in directories.iter().map(AsRef::as_ref) {
            match Socket::within(directory, namespace, pid) {
                Ok(socket) => return Ok(socket),
                Err(error) => errors.push(format!("{}: {error}", directory.display())),
            }
        }
        Err(io::Error::other(errors.join("; ")))
    }

    fn within(directory: &Path, namespace: &str, pid: u32) -> io::Result<Socket> {
        let own = directory.join(format!("segue-{namespace}-{pid}.sock"));
        // Two that replace the same stale socket would each believe that the name is theirs.
        let Some(lock) = lock(directory)? else {
            return Socket::at(&own);
        };
        let socket = Socket::at(&directory.join(format!("segue-{namespace}.sock")));
        let socket = match socket {
            Ok(socket) => {
                sweep(directory, &socket.path);
                Ok(socket)
            }
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::AddrInUse | ErrorKind::AlreadyExists | ErrorKind::PermissionDenied
                ) =>
            {
                Socket::at(&own)
            }
            made => made,
        };
        drop(lock);
        socket
    }

    /// Listens before it has its name: a socket that nobody listens on yet would be taken for one that was left behind.
    fn bind(path: &Path) -> io::Result<Socket> {
        let mut name = std::ffi::OsString::from(format!(".{}-", std::process::id()));
        name.push(path.file_name().unwrap_or_default());
        let beside = path.with_file_name(name);
        // Left by a process of the same number that did not get further.
        fs::remove_file(&beside).ok();
        let Ok(mut socket) = Socket::bind_there(&beside) else {
            fs::remove_file(&beside).ok();
            // Its path may be too long, or this is what the caller is to be told.
            return Socket::bind_there(path);
        };
        match fs::hard_link(&beside, path) {
            Ok(()) => {
                // Where it stays, it is another name of the same socket.
                fs::remove_file(&beside).ok();
                socket.path = path.to_owned();
                Ok(socket)
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(ErrorKind::AddrInUse.into()),
            // Not every file system has links.
            Err(_) => Socket::bind_there(path),
        }
    }

    fn bind_there(path: &Path) -> io::Result<Socket> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let made = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
        // The file gets the mode that the socket has, so that it is never open to others, not even at first.
        fchmod(&made, Mode::S_IRUSR | Mode::S_IWUSR)?;
        bind(made.as_raw_fd(), &UnixAddr::new(path)?)?;
        let metadata = fs::symlink_metadata(path)?;
        listen(&made, Backlog::MAXCONN)?;
        Ok(Socket {
            path: path.to_owned(),
            listener: UnixListener::from(made),
            identity: (metadata.dev(), metadata.ino()),
        })
    }

    /// Another descriptor of it.
    ///
    /// # Errors
    ///
    /// There is none to be had (EMFILE).
    pub fn listener(&self) -> io::Result<UnixListener> {
        self.listener.try_clone()
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let ours = |it: fs::Metadata| (it.dev(), it.ino()) == self.identity;
        if fs::symlink_metadata(&self.path).is_ok_and(ours) {
            // Where it cannot be removed it is taken for what it is: stale.
            fs::remove_file(&self.path).ok();
        }
    }
}

/// Removes what segues have left behind that were killed, of whatever namespace: nobody listens there any more.
fn sweep(directory: &Path, own: &Path) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries.flatten().filter(|it| it.path() != own) {
        let name = entry.file_name();
        if name
            .to_str()
            .is_some_and(|name| name.starts_with("segue-") && name.ends_with(".sock"))
        {
            // One that is alive stays, and so does one that is somebody else's.
            remove_stale(&entry.path()).ok();
        }
    }
}

/// Removes a socket that nobody listens on.
fn remove_stale(path: &Path) -> io::Result<()> {
    let kind = fs::symlink_metadata(path)?.file_type();
    if !kind.is_socket() {
        let what = if kind.is_dir() {
            "a directory"
        } else {
            "a file that is no socket"
        };
        return Err(io::Error::new(
            ErrorKind::AlreadyExists,
            format!("{what} is in its place"),
        ));
    }
    match connect(path) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path),
        Ok(_) => Err(io::Error::new(ErrorKind::AddrInUse, "another process listens there")),
        Err(error) => Err(error),
    }
}

/// Locks a directory for a moment; `None` while somebody else does.
fn lock(directory: &Path) -> io::Result<Option<Flock<fs::File>>> {
    let directory = fs::File::open(directory)?;
    Ok(Flock::lock(directory, FlockArg::LockExclusiveNonblock).ok())
}

/// Connects without ever waiting: to a socket whose queue is full nobody is answered anyway.
pub(super) fn connect(path: &Path) -> io::Result<UnixStream> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let made: OwnedFd = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    nix::sys::socket::connect(made.as_raw_fd(), &UnixAddr::new(path)?)?;
    let stream = UnixStream::from(made);
    stream.set_nonblocking(false)?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::{super::search::search, *};

    fn pids(directory: &Path) -> usize {
        search(&[directory], "7").0.len()
    }

    #[test]
    fn a_second_one_adds_its_number_and_each_cleans_up_after_itself() {
        let directory = tempfile::tempdir().unwrap();
        let first = Socket::automatic(&[directory.path()], "7", 1).unwrap();
        let second = Socket::automatic(&[directory.path()], "7", 20).unwrap();
        let other = Socket::automatic(&[directory.path()], "77", 1).unwrap();
        assert!(first.path.ends_with("segue-7.sock") && second.path.ends_with("segue-7-20.sock"));
        assert!(other.path.ends_with("segue-77.sock"));
        assert_eq!(fs::metadata(&first.path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(pids(directory.path()), 2);
        drop(first);
        assert_eq!(pids(directory.path()), 1);
        drop((second, other));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_stale_socket_is_replaced_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("segue-7.sock");
        drop(UnixListener::bind(&path).unwrap());
        assert_eq!(pids(directory.path()), 0, "stale");
        let socket = Socket::automatic(&[directory.path()], "7", 1).unwrap();
        assert_eq!(socket.path, path);
        let taken = Socket::at(&path).unwrap_err();
        assert_eq!(taken.kind(), ErrorKind::AddrInUse);
        drop(socket);
        fs::create_dir(&path).unwrap();
        assert!(Socket::at(&path).unwrap_err().to_string().contains("a directory"));
        let beside = Socket::automatic(&[directory.path()], "7", 5).unwrap();
        assert!(beside.path.ends_with("segue-7-5.sock") && path.is_dir());
        let file = directory.path().join("file");
        fs::write(&file, "precious").unwrap();
        assert!(Socket::at(&file).unwrap_err().to_string().contains("no socket"));
        assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
    }

    #[test]
    fn what_killed_ones_left_behind_is_swept() {
        let directory = tempfile::tempdir().unwrap();
        let first = Socket::automatic(&[directory.path()], "7", 1).unwrap();
        let second = Socket::automatic(&[directory.path()], "7", 20).unwrap();
        for left in ["segue-7-30.sock", "segue-8-30.sock"] {
            drop(UnixListener::bind(directory.path().join(left)).unwrap());
        }
        drop(first);
        let third = Socket::automatic(&[directory.path()], "7", 2).unwrap();
        let mut names: Vec<_> = fs::read_dir(directory.path())
            .unwrap()
            .map(|it| it.unwrap().file_name())
            .collect();
        names.sort();
        assert_eq!(names, ["segue-7-20.sock", "segue-7.sock"]);
        drop((second, third));
    }

    #[test]
    fn a_directory_that_takes_none_is_passed_over() {
        let directory = tempfile::tempdir().unwrap();
        let missing = directory.path().join("missing");
        let socket = Socket::automatic(&[missing.as_path(), directory.path()], "7", 1).unwrap();
        assert_eq!(socket.path.parent(), Some(directory.path()));
        let nowhere = Socket::automatic(&[missing.as_path()], "7", 1).unwrap_err();
        assert!(nowhere.to_string().contains("missing: No such file"), "{nowhere}");
    }

    #[test]
    fn many_at_once_get_a_place_each() {
        let directory = tempfile::tempdir().unwrap();
        drop(UnixListener::bind(directory.path().join("segue-7.sock")).unwrap());
        let sockets: Vec<Socket> = std::thread::scope(|scope| {
            let make = |pid| {
                let directory = directory.path();
                scope.spawn(move || Socket::automatic(&[directory], "7", pid).unwrap())
            };
            let threads: Vec<_> = (1..=16).map(make).collect();
            threads.into_iter().map(|it| it.join().unwrap()).collect()
        });
        assert_eq!(pids(directory.path()), sockets.len());
    }
}
