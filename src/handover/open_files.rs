//! LISTS the files that a process has open, as /proc/PID/fd names them (proc(5)). Where root may not, it asks as the process's
//! own user. Only looks.

use std::{
    fs, io,
    os::fd::RawFd,
    path::{Path, PathBuf},
};

use crate::process::status;
use crate::process::user::or_as_user;

/// What `read` makes of each of them, given its number and its link. `NotFound`: the process is gone; any other error: its
/// files cannot be looked at. A file that is closed meanwhile is left out.
pub fn of<T>(process: i32, read: impl Fn(RawFd, &Path) -> io::Result<Option<T>>) -> io::Result<Vec<T>> {
    as_its_user(process, || {
        let mut files = Vec::new();
        for entry in fs::read_dir(format!("/proc/{process}/fd"))?.flatten() {
            let number = entry.file_name().to_str().and_then(|name| name.parse().ok());
            if let (Some(number), Ok(link)) = (number, fs::read_link(entry.path())) {
                files.extend(read(number, &link)?);
            }
        }
        Ok(files)
    })
}

/// The link of the file with this number. `NotFound`: the process is gone, or has no such file.
pub fn link(process: i32, number: RawFd) -> io::Result<PathBuf> {
    as_its_user(process, || fs::read_link(format!("/proc/{process}/fd/{number}")))
}

/// The sockets: their numbers, and their inodes.
pub fn sockets(process: i32) -> io::Result<Vec<(RawFd, u64)>> {
    of(process, |number, link| Ok(inode(link).map(|inode| (number, inode))))
}

/// The inode of a socket; `None` for any other file.
#[must_use]
pub fn inode(link: &Path) -> Option<u64> {
    link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

fn as_its_user<T>(process: i32, look: impl Fn() -> io::Result<T>) -> io::Result<T> {
    let status = status::of(process).ok_or(io::ErrorKind::NotFound)?;
    or_as_user(&status, look)
}
