//! TRAPS calls of the child's in the time between fork and exec: installs a seccomp filter with a notification file, and
//! passes that file to segue. Which calls, and what they are answered, is not decided here.
//!
//! seccomp(2) and seccomp_unotify(2) describe both. The file arrives by SCM_RIGHTS, because the child that is about to
//! become the program is the only one who can make it.
#![expect(unsafe_code, reason = "what is allowed between fork and exec are system calls")]

use std::{
    io,
    io::IoSliceMut,
    os::fd::{AsRawFd, OwnedFd, RawFd},
};

use nix::{
    cmsg_space,
    sys::socket::{AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg, socketpair},
};

/// A filter for the child, and what to do where the kernel refuses it.
#[derive(Debug, Clone, Copy)]
pub struct Trap<'a> {
    /// The program: which calls are notified of.
    pub filter: &'a [libc::sock_filter],
    /// Does the child fail without it? Else it goes on untrapped.
    pub required: bool,
}

/// What became of a trap.
#[derive(Debug)]
pub enum Installed {
    /// The calls of the child and of all that it starts are told on this file.
    Yes {
        /// Where notifications come in.
        notifications: OwnedFd,
        /// Did it take `no_new_privs`, which had not been set before?
        sealed: bool,
    },
    /// The kernel, or whoever confines us, refused.
    No {
        /// With this error.
        errno: i32,
    },
}

/// The two ends of the way from child to segue.
#[derive(Debug)]
pub(super) struct Channel {
    pub(super) ours: OwnedFd,
    pub(super) child: OwnedFd,
}

impl Channel {
    pub(super) fn open() -> io::Result<Channel> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let (ours, child) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?;
        Ok(Channel { ours, child })
    }
}

/// Reads what the child sent before its exec; `None` if that has not come, or not whole.
#[must_use]
pub fn outcome(channel: &OwnedFd) -> Option<Installed> {
    let mut bytes = [0_u8; MESSAGE];
    let mut parts = [IoSliceMut::new(&mut bytes)];
    let mut space = cmsg_space!([RawFd; 1]);
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
    let message = recvmsg::<()>(channel.as_raw_fd(), &mut parts, Some(&mut space), flags).ok()?;
    let mut notifications = None;
    for control in message.cmsgs().ok()? {
        if let ControlMessageOwned::ScmRights(files) = control {
            notifications = files.first().copied();
        }
    }
    if message.bytes != MESSAGE {
        return None;
    }
    let [a, b, c, d, sealed] = bytes;
    match (notifications, i32::from_ne_bytes([a, b, c, d])) {
        (Some(file), _) => Some(Installed::Yes {
            notifications: super::files::made(file),
            sealed: sealed != 0,
        }),
        // It was sent, and there was no room for it here.
        (None, 0) => None,
        (None, errno) => Some(Installed::No { errno }),
    }
}

/// Why a trap cannot be set, in words.
#[must_use]
pub fn refusal(errno: i32) -> String {
    let why = match errno {
        libc::EINVAL | libc::ENOSYS => "this kernel has no seccomp notifications (gVisor, or Linux before 5.9)",
        libc::EBUSY => "the container's runtime has put a seccomp notifier of its own, and there can be only one",
        libc::EACCES | libc::EPERM => "a seccomp filter is not permitted here",
        other => {
            let error = nix::Error::from_raw(other);
            return format!("the kernel refused a seccomp filter: {}", error.desc());
        }
    };
    why.to_owned()
}

/// Can this kernel do all that answering a trapped call needs? `ADDFD` came last, with Linux 5.9; a kernel that takes
/// the filter and cannot do the rest would leave the program waiting.
pub fn check_kernel() -> Result<(), String> {
    let name = nix::sys::utsname::uname().map_err(|error| error.to_string())?;
    let release = name.release().to_string_lossy();
    let mut numbers = release.split(|it: char| !it.is_ascii_digit()).map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) if (major, minor) < (5, 9) => {
            Err(format!("Linux {release} is older than 5.9, the first that can"))
        }
        _ => Ok(()),
    }
}

/// The error, and whether `no_new_privs` was set.
const MESSAGE: usize = 5;

/// How it went in the child; errno says why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sprung {
    Yes,
    /// The kernel refused.
    No,
    /// The filter is there to stay, and segue was not given its file: nobody would answer the program's calls.
    Unheard,
}

/// In the child: installs the filter and sends its file off.
pub(super) fn spring(trap: Trap<'_>, channel: RawFd) -> Sprung {
    let Ok(len) = u16::try_from(trap.filter.len()) else {
        return Sprung::No;
    };
    let program = libc::sock_fprog {
        len,
        filter: trap.filter.as_ptr().cast_mut(),
    };
    let mut sealed = false;
    let mut file = install(&program);
    if file < 0 && errno() == libc::EACCES {
        // Without CAP_SYS_ADMIN a filter needs a promise that nothing executed later has more privilege.
        // SAFETY: numbers only.
        sealed = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1 as libc::c_ulong, 0_usize, 0_usize, 0_usize) } == 0;
        file = install(&program);
    }
    let fault = if file < 0 { errno() } else { 0 };
    let sent = send(channel, fault, sealed, file);
    if file >= 0 && !sent {
        return Sprung::Unheard;
    }
    if file >= 0 {
        // SAFETY: our own file, whose copy is on its way.
        unsafe { libc::close(file) };
        return Sprung::Yes;
    }
    // SAFETY: the location is this thread's own; `send` may have changed it.
    unsafe { *libc::__errno_location() = fault };
    Sprung::No
}

/// SPEC_ALLOW: the filter is no sandbox, so the program keeps the processor's speculation (Linux before 5.16 would switch
/// it off). WAIT_KILLABLE_RECV (5.19): signals do not restart a call that is being answered; Go's preemption would, for ever.
fn install(program: &libc::sock_fprog) -> RawFd {
    let flags = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER | libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW;
    let file = seccomp(flags | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, program);
    if file < 0 && errno() == libc::EINVAL {
        return seccomp(flags, program);
    }
    file
}

fn seccomp(flags: libc::c_ulong, program: &libc::sock_fprog) -> RawFd {
    let operation = libc::SECCOMP_SET_MODE_FILTER;
    // SAFETY: `program` names as many instructions as it says, and they live until the call returns.
    let file = unsafe { libc::syscall(libc::SYS_seccomp, operation, flags, &raw const *program) };
    RawFd::try_from(file).unwrap_or(-1)
}

fn send(channel: RawFd, fault: i32, sealed: bool, file: RawFd) -> bool {
    let [a, b, c, d] = fault.to_ne_bytes();
    let mut bytes = [a, b, c, d, u8::from(sealed)];
    let mut part = libc::iovec {
        iov_base: bytes.as_mut_ptr().cast(),
        iov_len: bytes.len(),
    };
    #[repr(C, align(8))]
    struct Control([u8; 64]);
    let mut control = Control([0; 64]);
    // SAFETY: zeroed bytes are a valid, empty msghdr; every pointer put in lives until the call returns; the control
    // buffer is aligned for a cmsghdr and larger than one with a number.
    unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        if file >= 0 {
            let size = size_of::<RawFd>() as libc::c_uint;
            message.msg_control = (&raw mut control).cast();
            message.msg_controllen = libc::CMSG_SPACE(size) as _;
            let header = libc::CMSG_FIRSTHDR(&raw const message);
            (*header).cmsg_level = libc::SOL_SOCKET;
            (*header).cmsg_type = libc::SCM_RIGHTS;
            (*header).cmsg_len = libc::CMSG_LEN(size) as _;
            libc::CMSG_DATA(header).cast::<RawFd>().write_unaligned(file);
        }
        libc::sendmsg(channel, &raw const message, libc::MSG_NOSIGNAL) >= 0
    }
}

fn errno() -> i32 {
    // SAFETY: the location is this thread's own.
    unsafe { *libc::__errno_location() }
}
