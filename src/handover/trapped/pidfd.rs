//! TAKES a copy of a socket by pidfd_getfd(2), where that is permitted: it asks nothing of the thread that has it.
#![expect(unsafe_code, reason = "pidfd_open and pidfd_getfd, which nix has no calls for")]

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd, RawFd},
};

use nix::sys::stat::fstat;

use super::task::Task;
use crate::process::files;

/// A copy of the file that the thread has under this number. `inode` tells it from any other, as the thread may have files
/// of its own, which its process's other threads do not share.
pub fn copy(task: &Task, file: RawFd, inode: u64) -> io::Result<OwnedFd> {
    let from = |pid, flags| {
        let copy = task.look(|| get(&open(pid, flags)?, file))?;
        if fstat(&copy)?.st_ino == inode {
            Ok(copy)
        } else {
            Err(io::Error::from_raw_os_error(libc::EBADF))
        }
    };
    // Threads have had files of their own since Linux 6.9, as far as pidfds are concerned.
    from(task.status.process, 0).or_else(|error| match error.raw_os_error() {
        Some(libc::EBADF) => from(task.thread(), libc::O_EXCL).map_err(|_| error),
        _ => Err(error),
    })
}

fn open(pid: i32, flags: i32) -> io::Result<OwnedFd> {
    // SAFETY: numbers only.
    made(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, flags) })
}

fn get(process: &OwnedFd, file: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: numbers only; the descriptor lives.
    made(unsafe { libc::syscall(libc::SYS_pidfd_getfd, process.as_raw_fd(), file, 0) })
}

fn made(returned: libc::c_long) -> io::Result<OwnedFd> {
    match i32::try_from(returned) {
        Ok(file) if file >= 0 => Ok(files::made(file)),
        Ok(_) | Err(_) => Err(io::Error::last_os_error()),
    }
}

/// Is pidfd_getfd refused whatever it is about (a container's profile, a kernel before 5.6)?
#[must_use]
pub fn is_refused() -> bool {
    // SAFETY: numbers only; -1 is no file.
    let returned = unsafe { libc::syscall(libc::SYS_pidfd_getfd, -1, 0, 0) };
    returned == -1 && io::Error::last_os_error().raw_os_error() != Some(libc::EBADF)
}
