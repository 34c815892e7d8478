//! ASKS and closes by number where only a number is known: files that segue did not open.
#![expect(
    unsafe_code,
    reason = "a number is borrowed or closed, and nothing else is known of the file"
)]

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use tokio::io::unix::AsyncFd;

/// Is the number an open file?
pub(super) fn is_open(file: RawFd) -> bool {
    // SAFETY: F_GETFD has no effect, and tells by EBADF that the number is none.
    unsafe { libc::fcntl(file, libc::F_GETFD) != -1 }
}

/// Closes a file that was inherited and that nothing in segue owns.
pub(crate) fn close(file: RawFd) {
    // SAFETY: the caller found the number among the inherited ones; no OwnedFd of segue's has it.
    drop(unsafe { OwnedFd::from_raw_fd(file) });
}

/// Takes an inherited file as segue's own.
pub(crate) fn adopt(file: RawFd) -> Option<OwnedFd> {
    // SAFETY: it is open, was inherited, and each number is adopted once, at start.
    is_open(file).then(|| unsafe { OwnedFd::from_raw_fd(file) })
}

/// Lets tokio tell when a file is ready. Needs a tokio runtime.
pub(crate) fn watch<T: AsRawFd>(file: T) -> std::io::Result<AsyncFd<T>> {
    // SAFETY: the AsyncFd owns the file, and its types here (OwnedFd, and wrappers of it) close it only when dropped.
    Ok(unsafe { AsyncFd::register(file) }?)
}

/// A file that the kernel has just made for us.
pub(crate) fn made(file: RawFd) -> OwnedFd {
    debug_assert!(file >= 0);
    // SAFETY: callers pass the number that a system call has returned as new, once.
    unsafe { OwnedFd::from_raw_fd(file) }
}

/// A copy at the first free number from `above` on, closed by an exec.
pub(crate) fn duplicate(file: BorrowedFd<'_>, above: RawFd) -> std::io::Result<OwnedFd> {
    let copy = nix::fcntl::fcntl(file, nix::fcntl::FcntlArg::F_DUPFD_CLOEXEC(above))?;
    Ok(made(copy))
}

/// A standard stream, to look at or write to.
pub(crate) fn stream(number: RawFd) -> BorrowedFd<'static> {
    // SAFETY: the numbers 0 to 2 are never closed by segue (`inherited` fills those that were).
    unsafe { BorrowedFd::borrow_raw(number) }
}
