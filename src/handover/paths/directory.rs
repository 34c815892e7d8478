//! LINKS and renames sockets in one directory, which is opened once and never looked up again. Follows no link: what has a name
//! there may be anybody's. What segue may not do itself, it does as the socket's owner.

use std::{
    ffi::{OsStr, OsString},
    fs::{File, Metadata, OpenOptions, Permissions},
    io,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::{
            ffi::{OsStrExt, OsStringExt},
            fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown},
        },
    },
    path::Path,
    time::SystemTime,
};

use nix::{
    fcntl::{AtFlags, renameat},
    unistd::{UnlinkatFlags, linkat, unlinkat},
};

use crate::process::user::owned_by;

/// What tells a file from any other, for as long as something holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    fn of(metadata: &Metadata) -> Identity {
        Identity {
            device: metadata.dev(),
            inode: metadata.ino(),
        }
    }
}

/// What is under a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Which file it is.
    pub identity: Identity,
    /// Is it a socket?
    pub is_socket: bool,
    /// Its permissions.
    pub mode: u32,
    /// Its owner.
    pub user: u32,
    /// Its group.
    pub group: u32,
}

/// A directory.
#[derive(Debug)]
pub struct Directory {
    file: OwnedFd,
    identity: Identity,
    owner: u32,
}

/// More names than there are in a directory of sockets.
const MOST_ENTRIES: usize = 1_000;

/// File systems of which every call may wait for another machine (their numbers in linux/magic.h).
const REMOTE: [i64; 7] = [
    0x6969,
    0x517b,
    0xff53_4d42,
    0xfe53_4d42,
    0x00c3_6400,
    0x5346_414f,
    0x6b41_4653,
];

impl Directory {
    /// Opens it, without leave to read it.
    pub fn open(path: &Path) -> io::Result<Directory> {
        let file = open(path, libc::O_DIRECTORY)?;
        let metadata = file.metadata()?;
        Ok(Directory {
            identity: Identity::of(&metadata),
            owner: metadata.uid(),
            file: file.into(),
        })
    }

    /// Which one it is.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// When it was made, where the file system remembers that.
    #[must_use]
    pub fn made_at(&self) -> Option<SystemTime> {
        std::fs::metadata(self.path()).ok()?.created().ok()
    }

    /// May what is done here wait for another machine?
    #[must_use]
    pub fn is_remote(&self) -> bool {
        let kind = nix::sys::statfs::fstatfs(&self.file).map(|it| it.filesystem_type().0);
        kind.is_ok_and(|kind| REMOTE.contains(&kind))
    }

    /// A path that leads here whatever happens to its name.
    #[must_use]
    pub fn path(&self) -> String {
        format!("/proc/self/fd/{}", self.file.as_raw_fd())
    }

    /// Does it as segue, and where that is refused, as the directory's owner.
    pub fn as_its_owner<T>(&self, act: impl Fn() -> io::Result<T>) -> io::Result<T> {
        as_owner(self.owner, act)
    }

    /// What has this name; `None`: nothing.
    pub fn look(&self, name: &[u8]) -> io::Result<Option<Seen>> {
        match self.open_entry(name) {
            Ok((_, seen)) => Ok(Some(seen)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The name of the socket with this number (the low half of it), if there is one.
    #[must_use]
    pub fn find(&self, number: u32) -> Option<Vec<u8>> {
        let entries = std::fs::read_dir(self.path()).ok()?.take(MOST_ENTRIES).flatten();
        let mut names = entries.map(|it| it.file_name().into_vec());
        names.find(|name| {
            let seen = self.look(name).ok().flatten();
            seen.is_some_and(|it| it.is_socket && it.identity.inode as u32 == number)
        })
    }

    fn open_entry(&self, name: &[u8]) -> io::Result<(File, Seen)> {
        let path = Path::new(&self.path()).join(OsStr::from_bytes(name));
        let file = as_owner(self.owner, || open(&path, libc::O_NOFOLLOW))?;
        let metadata = file.metadata()?;
        let seen = Seen {
            identity: Identity::of(&metadata),
            is_socket: metadata.file_type().is_socket(),
            mode: metadata.mode() & 0o7777,
            user: metadata.uid(),
            group: metadata.gid(),
        };
        Ok((file, seen))
    }

    /// Gives the file one more name, which must be free, or the file's already.
    pub fn link(&self, from: &[u8], to: &[u8], file: Identity, owner: u32) -> io::Result<()> {
        let (old, new) = (OsStr::from_bytes(from), OsStr::from_bytes(to));
        let linked = as_owner(owner, || {
            linkat(&self.file, old, &self.file, new, AtFlags::empty()).map_err(io::Error::from)
        });
        match linked {
            Ok(()) | Err(_) if self.look(to)?.is_some_and(|it| it.identity == file) => Ok(()),
            // Something else had the name meanwhile.
            Ok(()) => {
                self.unlink(to, owner)?;
                Err(io::ErrorKind::NotFound.into())
            }
            Err(error) => Err(error),
        }
    }

    /// Makes one name lead where another does; from one moment to the next, and whatever it led to before.
    pub fn lead(&self, name: &[u8], to: &[u8], file: Identity, owner: u32) -> io::Result<()> {
        let between = [to, b"~"].concat();
        self.remove_socket(&between)?;
        self.link(to, &between, file, owner)?;
        let (old, new) = (OsStr::from_bytes(&between), OsStr::from_bytes(name));
        let renamed = as_owner(owner, || {
            renameat(&self.file, old, &self.file, new).map_err(io::Error::from)
        });
        // Two names of one file are left both.
        if self.look(&between)?.is_some_and(|it| it.identity == file) {
            self.unlink(&between, owner)?;
        }
        renamed
    }

    /// Takes the name away, if it leads to this file.
    pub fn remove(&self, name: &[u8], file: Identity, owner: u32) -> io::Result<()> {
        if self.look(name)?.is_some_and(|it| it.identity == file) {
            self.unlink(name, owner)?;
        }
        Ok(())
    }

    /// Takes the name away, if it is a socket's.
    pub fn remove_socket(&self, name: &[u8]) -> io::Result<()> {
        match self.look(name)? {
            Some(seen) if seen.is_socket => self.unlink(name, seen.user),
            Some(_) => Err(io::ErrorKind::AlreadyExists.into()),
            None => Ok(()),
        }
    }

    fn unlink(&self, name: &[u8], owner: u32) -> io::Result<()> {
        let name = OsStr::from_bytes(name);
        as_owner(owner, || {
            unlinkat(&self.file, name, UnlinkatFlags::NoRemoveDir).map_err(io::Error::from)
        })
    }

    /// Gives the socket of this name these permissions.
    pub fn permit(&self, name: &[u8], mode: u32) -> io::Result<()> {
        let (_, seen) = self.open_entry(name)?;
        self.resemble(name, seen.identity, &Seen { mode, ..seen })
    }

    /// Gives what has this name the owner and the permissions of another, as far as segue may.
    pub fn resemble(&self, name: &[u8], file: Identity, like: &Seen) -> io::Result<()> {
        let (entry, seen) = self.open_entry(name)?;
        if seen.identity != file || !seen.is_socket {
            return Err(io::ErrorKind::NotFound.into());
        }
        let path = format!("/proc/self/fd/{}", entry.as_raw_fd());
        if (seen.user, seen.group) != (like.user, like.group) {
            as_owner(seen.user, || chown(&path, Some(like.user), Some(like.group)))?;
        }
        if seen.mode != like.mode {
            as_owner(like.user, || {
                std::fs::set_permissions(&path, Permissions::from_mode(like.mode))
            })?;
        }
        Ok(())
    }
}

impl Seen {
    /// Are owner and permissions the same?
    #[must_use]
    pub fn resembles(&self, other: &Seen) -> bool {
        (self.mode, self.user, self.group) == (other.mode, other.user, other.group)
    }
}

/// A name as the log has it.
#[must_use]
pub fn shown(path: &[u8]) -> String {
    format!("unix:{}", OsString::from_vec(path.to_vec()).display())
}

fn open(path: &Path, flags: i32) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_PATH | libc::O_CLOEXEC | flags)
        .open(path)
}

/// As segue, and where that is refused, as this user.
fn as_owner<T>(owner: u32, act: impl Fn() -> io::Result<T>) -> io::Result<T> {
    match act() {
        Err(error) if matches!(error.raw_os_error(), Some(libc::EPERM | libc::EACCES)) => {
            owned_by(owner, act).map_err(|as_owner| match as_owner.raw_os_error() {
                // It may not become that user.
                Some(libc::EPERM) => error,
                _ => as_owner,
            })
        }
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::{UnixListener, UnixStream};

    use super::*;

    fn at(directory: &tempfile::TempDir, name: &str) -> (UnixListener, Identity) {
        let listener = UnixListener::bind(directory.path().join(name)).unwrap();
        let seen = Directory::open(directory.path()).unwrap().look(name.as_bytes());
        (listener, seen.unwrap().unwrap().identity)
    }

    fn user() -> u32 {
        nix::unistd::geteuid().as_raw()
    }

    #[test]
    fn a_name_leads_from_one_socket_to_the_other_and_back() {
        let files = tempfile::tempdir().unwrap();
        let directory = Directory::open(files.path()).unwrap();
        let (old, first) = at(&files, "name");
        let (new, second) = at(&files, ".2");
        directory.link(b"name", b".1", first, user()).unwrap();
        let connect = || UnixStream::connect(files.path().join("name")).unwrap();
        let accepts = |listener: &UnixListener| {
            listener.set_nonblocking(true).unwrap();
            listener.accept().is_ok()
        };
        for (hidden, file, listener) in [(".2", second, &new), (".1", first, &old), (".1", first, &old)] {
            directory.lead(b"name", hidden.as_bytes(), file, user()).unwrap();
            drop(connect());
            assert!(accepts(listener));
        }
        directory.remove(b".2", first, user()).unwrap();
        assert!(directory.look(b".2").unwrap().is_some(), "another's name stays");
        directory.remove(b".2", second, user()).unwrap();
        directory.remove(b".1", first, user()).unwrap();
        let left: Vec<_> = std::fs::read_dir(files.path())
            .unwrap()
            .map(|it| it.unwrap().file_name())
            .collect();
        assert_eq!(left, ["name"]);
    }

    #[test]
    fn permissions_are_another_s_and_links_are_not_followed() {
        let files = tempfile::tempdir().unwrap();
        let directory = Directory::open(files.path()).unwrap();
        let (_old, _) = at(&files, "old");
        let (_new, second) = at(&files, "new");
        std::fs::set_permissions(files.path().join("old"), Permissions::from_mode(0o606)).unwrap();
        let like = directory.look(b"old").unwrap().unwrap();
        directory.resemble(b"new", second, &like).unwrap();
        assert!(directory.look(b"new").unwrap().unwrap().resembles(&like));
        std::os::unix::fs::symlink("new", files.path().join("link")).unwrap();
        assert!(directory.resemble(b"link", second, &like).is_err());
        assert!(directory.remove_socket(b"link").is_err());
        assert!(directory.link(b"link", b"other", second, user()).is_err());
        assert_eq!(directory.look(b"other").unwrap(), None);
    }
}
