//! KEEPS a pid file: written whole or not at all, and locked (flock(2)) as long as the process lives, so that a stale one and
//! a number that was given to another process are told from a living one by the lock, never by the number.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use nix::fcntl::{Flock, FlockArg};

/// Another process puts its own file in place while this one looks: so often it is looked again.
const TRIES: usize = 10;

/// A pid file that is ours. It is removed when it is dropped.
#[derive(Debug)]
pub struct PidFile {
    path: PathBuf,
    file: Flock<File>,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// A living process has it.
    #[error("already running{}", pid.map(|pid| format!(", pid {pid}")).unwrap_or_default())]
    Running {
        /// Its number, if the file tells.
        pid: Option<i32>,
    },
    /// The system's reason.
    #[error("{0}")]
    System(#[from] io::Error),
}

impl PidFile {
    /// Writes this number.
    ///
    /// # Errors
    ///
    /// [`Refused::Running`] while another process has the file, else what the system says.
    pub fn write(path: &Path, pid: u32) -> Result<PidFile, Refused> {
        for _ in 0..TRIES {
            match hold(path)? {
                Held::Free(old) => return replace(path, old, pid).map_err(Refused::System),
                Held::Changed => {}
                Held::Taken(pid) => return Err(Refused::Running { pid }),
            }
        }
        Err(Refused::Running { pid: None })
    }

    /// The number of the living process that has the file, if one has; `Some(None)` where the file does not tell.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn living(path: &Path) -> io::Result<Option<Option<i32>>> {
        let file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        match Flock::lock(file, FlockArg::LockSharedNonblock) {
            Ok(_) => Ok(None),
            Err((mut file, nix::Error::EWOULDBLOCK)) => Ok(Some(number(&mut file))),
            Err((_, error)) => Err(error.into()),
        }
    }
}

enum Held {
    /// Nobody has it; the lock is ours.
    Free(Flock<File>),
    /// Another file is in its place by now.
    Changed,
    Taken(Option<i32>),
}

fn hold(path: &Path) -> io::Result<Held> {
    let mut options = OpenOptions::new();
    // Never through a link that somebody else may have left in a directory that is open to all.
    let options = options.read(true).write(true).create(true).mode(0o644);
    let file = options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
    }
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) if is_at(&lock, path) => Ok(Held::Free(lock)),
        Ok(_) => Ok(Held::Changed),
        Err((mut file, nix::Error::EWOULDBLOCK)) => Ok(Held::Taken(number(&mut file))),
        Err((_, error)) => Err(error.into()),
    }
}

/// A reader sees the old content or the new one, and never half of it.
fn replace(path: &Path, old: Flock<File>, pid: u32) -> io::Result<PidFile> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{pid}.new"));
    let new = path.with_file_name(name);
    // Left by a process of the same number that did not get further; nobody else has it.
    fs::remove_file(&new).ok();
    let made = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(&new)?;
        file.write_all(format!("{pid}\n").as_bytes())?;
        let file = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, error)| error)?;
        fs::rename(&new, path)?;
        Ok(file)
    })();
    drop(old);
    match made {
        Ok(file) => Ok(PidFile {
            path: path.to_owned(),
            file,
        }),
        Err(error) => {
            fs::remove_file(&new).ok();
            Err(error)
        }
    }
}

fn number(file: &mut File) -> Option<i32> {
    let mut text = String::new();
    file.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok().filter(|pid| *pid > 0)
}

fn is_at(file: &File, path: &Path) -> bool {
    let same = |own: fs::Metadata, there: fs::Metadata| (own.dev(), own.ino()) == (there.dev(), there.ino());
    file.metadata()
        .and_then(|own| Ok(same(own, fs::symlink_metadata(path)?)))
        .unwrap_or(false)
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // Removed while it is locked: nobody can have put another in its place.
        if is_at(&self.file, &self.path) {
            fs::remove_file(&self.path).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> i32 {
        std::process::id().try_into().unwrap()
    }

    #[test]
    fn one_at_a_time_and_none_afterwards() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("app.pid");
        assert_eq!(PidFile::living(&path).unwrap(), None);
        let first = PidFile::write(&path, std::process::id()).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", own()));
        assert_eq!(PidFile::living(&path).unwrap(), Some(Some(own())));
        let second = PidFile::write(&path, std::process::id()).unwrap_err();
        assert!(
            matches!(second, Refused::Running { pid: Some(pid) } if pid == own()),
            "{second}"
        );
        drop(first);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
        drop(PidFile::write(&path, std::process::id()).unwrap());
    }

    #[test]
    fn a_stale_one_is_replaced_whatever_it_says() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("app.pid");
        // 1 lives, but has not locked the file: a number that was given to another process.
        for stale in ["1\n", "", "nonsense", "999999999"] {
            fs::write(&path, stale).unwrap();
            let file = PidFile::write(&path, std::process::id()).unwrap();
            assert_eq!(PidFile::living(&path).unwrap(), Some(Some(own())), "{stale}");
            drop(file);
        }
    }

    #[test]
    fn what_is_no_file_stays() {
        let directory = tempfile::tempdir().unwrap();
        let precious = directory.path().join("precious");
        fs::write(&precious, "x").unwrap();
        let link = directory.path().join("link.pid");
        std::os::unix::fs::symlink(&precious, &link).unwrap();
        for path in [
            link.as_path(),
            directory.path(),
            &directory.path().join("missing/app.pid"),
        ] {
            assert!(
                matches!(PidFile::write(path, std::process::id()), Err(Refused::System(_))),
                "{path:?}"
            );
        }
        assert_eq!(fs::read_to_string(&precious).unwrap(), "x");
    }

    #[test]
    fn of_many_at_once_one_gets_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("app.pid");
        let winners: Vec<PidFile> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..16)
                .map(|_| scope.spawn(|| PidFile::write(&path, std::process::id()).ok()))
                .collect();
            threads.into_iter().filter_map(|it| it.join().unwrap()).collect()
        });
        assert_eq!(winners.len(), 1);
    }
}
