//! HEARS and ANSWERS notifications of a seccomp filter (seccomp_unotify(2)). Decides nothing; never waits.
#![expect(unsafe_code, reason = "ioctls that nix has no calls for")]

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd},
    task::{Context, Poll, ready},
};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tokio::io::unix::AsyncFd;

use crate::process::files;

/// A call that a thread of the program waits in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    id: u64,
    /// The thread.
    pub thread: i32,
    /// The number of the call.
    pub number: u32,
    /// Its arguments, as the registers have them.
    pub arguments: [u64; 6],
}

/// The file on which the calls of one generation come in.
#[derive(Debug)]
pub struct Notifications {
    file: AsyncFd<OwnedFd>,
    /// Nobody is left who could make a call.
    ended: bool,
}

impl Notifications {
    /// Needs a tokio runtime.
    pub fn new(file: OwnedFd) -> io::Result<Notifications> {
        Ok(Notifications {
            file: files::watch(file)?,
            ended: false,
        })
    }

    /// The next call; pending for ever once nobody is left who could make one.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Call> {
        while !self.ended {
            let Ok(mut guard) = ready!(self.file.poll_read_ready(context)) else {
                return Poll::Pending;
            };
            // RECV waits if there is nothing, so it is asked only where something is.
            match is_readable(self.file.get_ref()).then(|| self.receive()) {
                Some(Ok(call)) => return Poll::Ready(call),
                // The thread has died, or a signal has ended its call, between the one and the other.
                Some(Err(error)) if error.raw_os_error() == Some(libc::ENOENT) => {}
                Some(Err(error)) => {
                    tracing::warn!(%error, "cannot read a notification of the program's calls");
                    guard.clear_ready();
                }
                // A hang-up stays: it would be heard again at once, and without end.
                None if guard.ready().is_read_closed() => self.ended = true,
                None => guard.clear_ready(),
            }
        }
        Poll::Pending
    }

    fn receive(&self) -> io::Result<Call> {
        /// Room for what later kernels may add; the kernel wants all of it to be zero.
        #[repr(C)]
        struct Room(libc::seccomp_notif, [u64; 32]);
        // SAFETY: zeroed bytes are a valid Room.
        let mut room: Room = unsafe { std::mem::zeroed() };
        self.ioctl(libc::SECCOMP_IOCTL_NOTIF_RECV, (&raw mut room.0).cast())?;
        let libc::seccomp_notif { id, pid, data, .. } = room.0;
        Ok(Call {
            id,
            thread: i32::try_from(pid).unwrap_or(0),
            number: data.nr.unsigned_abs(),
            arguments: data.args,
        })
    }

    /// Is the thread still in this call? Numbers of threads are given anew, so what was read by number counts only if it is.
    #[must_use]
    pub fn is_valid(&self, call: Call) -> bool {
        let mut id = call.id;
        self.ioctl(libc::SECCOMP_IOCTL_NOTIF_ID_VALID, (&raw mut id).cast())
            .is_ok()
    }

    /// Puts a file of ours in the place of one of the program's.
    pub fn place(&self, call: Call, file: BorrowedFd<'_>, number: RawFd, flags: i32) -> io::Result<()> {
        let mut argument = libc::seccomp_notif_addfd {
            id: call.id,
            flags: libc::SECCOMP_ADDFD_FLAG_SETFD as u32,
            srcfd: file.as_raw_fd().unsigned_abs(),
            newfd: number.unsigned_abs(),
            newfd_flags: flags.unsigned_abs(),
        };
        self.ioctl(libc::SECCOMP_IOCTL_NOTIF_ADDFD, (&raw mut argument).cast())
    }

    /// The call is done as if segue were not there.
    pub fn let_pass(&self, call: Call) -> io::Result<()> {
        self.send(call, 0, libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32)
    }

    /// The call is over: with 0, or with this error.
    pub fn answer(&self, call: Call, outcome: Result<(), i32>) -> io::Result<()> {
        self.send(call, outcome.err().map_or(0, |errno| -errno), 0)
    }

    fn send(&self, call: Call, error: i32, flags: u32) -> io::Result<()> {
        let mut response = libc::seccomp_notif_resp {
            id: call.id,
            val: 0,
            error,
            flags,
        };
        self.ioctl(libc::SECCOMP_IOCTL_NOTIF_SEND, (&raw mut response).cast())
    }

    fn ioctl(&self, request: libc::Ioctl, argument: *mut libc::c_void) -> io::Result<()> {
        let file = self.file.get_ref().as_raw_fd();
        loop {
            // SAFETY: each caller passes the struct that its request names, which lives until the call returns.
            if unsafe { libc::ioctl(file, request, argument) } >= 0 {
                return Ok(());
            }
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        }
    }
}

fn is_readable(file: &OwnedFd) -> bool {
    use std::os::fd::AsFd;
    let mut files = [PollFd::new(file.as_fd(), PollFlags::POLLIN)];
    // It looks for signals even where it does not wait.
    let mut polled = poll(&mut files, PollTimeout::ZERO);
    while polled == Err(nix::Error::EINTR) {
        polled = poll(&mut files, PollTimeout::ZERO);
    }
    polled.is_ok()
        && files
            .first()
            .and_then(PollFd::revents)
            .is_some_and(|events| events.contains(PollFlags::POLLIN))
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    /// As a listener of the kernel's without users, an empty pipe without a writer is hung up and has nothing to be read.
    #[tokio::test(flavor = "current_thread")]
    async fn a_hang_up_is_heard_once_and_costs_nothing_after_that() {
        let (reader, writer) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).unwrap();
        let mut notifications = Notifications::new(reader).unwrap();
        drop(writer);
        poll_fn(|context| {
            assert!(notifications.poll_next(context).is_pending());
            assert!(tokio::task::coop::has_budget_remaining(), "it was asked over and over");
            if notifications.ended {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }
}
