//! RECEIVES and ANSWERS notifications of a seccomp filter (seccomp_unotify(2)). Decides nothing; never waits.
#![expect(unsafe_code, reason = "ioctls that nix has no calls for")]

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd},
};

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
    /// The address of the instruction after the call's.
    pub returns_to: u64,
}

/// The file on which the calls of one generation come in.
#[derive(Debug)]
pub struct Notifications(OwnedFd);

impl AsFd for Notifications {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Notifications {
    /// Calls come in here from now on. On one processor it is quicker (Linux 6.6) if the thread that answers and the one that waits
    /// take turns there.
    #[must_use]
    pub fn new(file: OwnedFd) -> Notifications {
        let notifications = Notifications(file);
        let sync_wake_up: u64 = 1;
        // SAFETY: the request takes its flags by value, and no pointer.
        let set = unsafe {
            libc::ioctl(
                notifications.0.as_raw_fd(),
                libc::SECCOMP_IOCTL_NOTIF_SET_FLAGS,
                sync_wake_up,
            )
        };
        tracing::trace!(set, "older kernels refuse it");
        notifications
    }

    /// The next call. It waits if there is none, so ask only where the file is readable. ENOENT: the thread has died, or a
    /// signal has ended its call, between the one and the other.
    pub fn receive(&self) -> io::Result<Call> {
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
            returns_to: data.instruction_pointer,
        })
    }

    /// Is the thread still in this call? Thread numbers are reused, so what was read by number counts only if it is.
    #[must_use]
    pub fn is_valid(&self, call: Call) -> bool {
        let mut id = call.id;
        self.ioctl(libc::SECCOMP_IOCTL_NOTIF_ID_VALID, (&raw mut id).cast())
            .is_ok()
    }

    /// Gives the program a copy of a file of ours, closed by an exec; its number.
    pub fn add(&self, call: Call, file: BorrowedFd<'_>) -> io::Result<RawFd> {
        let mut argument = libc::seccomp_notif_addfd {
            id: call.id,
            flags: 0,
            srcfd: file.as_raw_fd().unsigned_abs(),
            newfd: 0,
            newfd_flags: libc::O_CLOEXEC.unsigned_abs(),
        };
        self.ioctl(libc::SECCOMP_IOCTL_NOTIF_ADDFD, (&raw mut argument).cast())
    }

    /// Puts a file of ours in the place of one of the program's.
    pub fn replace(&self, call: Call, file: BorrowedFd<'_>, number: RawFd, flags: i32) -> io::Result<()> {
        let mut argument = libc::seccomp_notif_addfd {
            id: call.id,
            flags: libc::SECCOMP_ADDFD_FLAG_SETFD as u32,
            srcfd: file.as_raw_fd().unsigned_abs(),
            newfd: number.unsigned_abs(),
            newfd_flags: flags.unsigned_abs(),
        };
        self.ioctl(libc::SECCOMP_IOCTL_NOTIF_ADDFD, (&raw mut argument).cast())
            .map(drop)
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
            .map(drop)
    }

    fn ioctl(&self, request: libc::Ioctl, argument: *mut libc::c_void) -> io::Result<RawFd> {
        let file = self.0.as_raw_fd();
        loop {
            // SAFETY: each caller passes the struct that its request names, which lives until the call returns.
            let returned = unsafe { libc::ioctl(file, request, argument) };
            if returned >= 0 {
                return Ok(returned);
            }
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        }
    }
}
