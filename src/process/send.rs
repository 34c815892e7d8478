//! SENDS signals: the only place in segue that does. Never to -1.
#![expect(
    unsafe_code,
    reason = "real-time signals, values and pidfds, which nix has no calls for"
)]

use std::{
    io, mem,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
};

use nix::unistd::Pid;

use super::{status, user};

fn result(returned: libc::c_long) -> io::Result<()> {
    if returned == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// To one process of ours. Until it is reaped (and only segue reaps it) its number is not given to another, so that
/// the number is safe on kernels without pidfds too.
pub fn to_child(pid: Pid, pidfd: Option<BorrowedFd<'_>>, signal: i32, value: Option<usize>) -> io::Result<()> {
    as_its_user(pid, || send(pid, pidfd, signal, value))
}

/// Root without CAP_KILL may not signal a program of another user; as that user it may.
fn as_its_user(pid: Pid, send: impl Fn() -> io::Result<()>) -> io::Result<()> {
    match send() {
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => match status::of(pid.as_raw()) {
            Some(status) => user::or_as_user(&status, send),
            None => Err(error),
        },
        sent => sent,
    }
}

fn send(pid: Pid, pidfd: Option<BorrowedFd<'_>>, signal: i32, value: Option<usize>) -> io::Result<()> {
    match (pidfd, value) {
        (_, Some(value)) => {
            let value = libc::sigval {
                sival_ptr: value as *mut libc::c_void,
            };
            // SAFETY: the value is passed on unread.
            result(unsafe { libc::sigqueue(pid.as_raw(), signal, value) }.into())
        }
        (Some(pidfd), None) => match by_pidfd(pidfd, signal) {
            // A container's profile may be older than the call.
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)) => by_number(pid, signal),
            sent => sent,
        },
        (None, None) => by_number(pid, signal),
    }
}

fn by_number(pid: Pid, signal: i32) -> io::Result<()> {
    // SAFETY: numbers only.
    result(unsafe { libc::kill(pid.as_raw(), signal) }.into())
}

/// To a process group led by a child of ours that is not reaped yet.
pub fn to_group(leader: Pid, signal: i32) -> io::Result<()> {
    if leader.as_raw() <= 1 {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    as_its_user(leader, || {
        // SAFETY: numbers only; the number is positive, so this is one group and never "everybody".
        result(unsafe { libc::kill(-leader.as_raw(), signal) }.into())
    })
}

fn by_pidfd(pidfd: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    // SAFETY: a null info makes it kill(2); the descriptor lives.
    result(unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, 0_usize, 0) })
}

/// A process that is no child of ours, held so that the number cannot become another's between the look and the
/// signal. `None` on kernels before 5.3 and for a process that is gone.
pub fn hold(pid: Pid) -> Option<OwnedFd> {
    // SAFETY: numbers only.
    let file = unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0) };
    // SAFETY: the kernel has just made it for us.
    i32::try_from(file)
        .ok()
        .filter(|file| *file >= 0)
        .map(|file| unsafe { OwnedFd::from_raw_fd(file) })
}

/// To a held process, or by number where processes cannot be held.
pub fn to_held(pid: Pid, held: Option<&OwnedFd>, signal: i32) -> io::Result<()> {
    use std::os::fd::AsFd;
    to_child(pid, held.map(AsFd::as_fd), signal, None)
}

/// Does this process gather orphans that are not its own children's? (`PR_SET_CHILD_SUBREAPER`)
pub fn become_subreaper() -> io::Result<()> {
    let unused: libc::c_ulong = 0;
    // SAFETY: numbers only.
    result(unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1 as libc::c_ulong, unused, unused, unused) }.into())
}

/// This process gets the signal when its parent ends; at once, if that has just ended.
pub fn when_parent_dies(signal: i32) -> io::Result<()> {
    let parent = nix::unistd::getppid();
    let number = libc::c_ulong::from(signal.unsigned_abs());
    // SAFETY: numbers only.
    result(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, number) }.into())?;
    if nix::unistd::getppid() == parent {
        return Ok(());
    }
    by_number(nix::unistd::getpid(), signal)
}

/// Time since boot, in clock ticks, as /proc/PID/stat counts a process's start.
#[must_use]
pub fn ticks_since_boot() -> u64 {
    let mut time = mem::MaybeUninit::<libc::timespec>::zeroed();
    // SAFETY: `time` is writable.
    unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, time.as_mut_ptr()) };
    // SAFETY: zeroed bytes are a valid timespec, whether or not the call has written one.
    let time = unsafe { time.assume_init() };
    // SAFETY: numbers only.
    let per_second = u64::try_from(unsafe { libc::sysconf(libc::_SC_CLK_TCK) })
        .unwrap_or(100)
        .max(1);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanoseconds = u64::try_from(time.tv_nsec).unwrap_or(0);
    seconds * per_second + nanoseconds * per_second / 1_000_000_000
}
