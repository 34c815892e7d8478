//! TAKES ON another user between fork and exec, for good. Who that is, others decide.
#![expect(unsafe_code, reason = "what is allowed between fork and exec are system calls")]

use std::os::fd::RawFd;

/// Who a process becomes between fork and exec: real, effective and saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Its user.
    pub user: u32,
    /// Its group.
    pub group: u32,
    /// Its supplementary groups.
    pub groups: Vec<u32>,
}

impl Identity {
    /// Raw calls, as the wrappers of libc would change the threads of the process that this one was forked from, if they share memory.
    /// Streams that are pipes or terminals are handed over, as engines do for `--user`: else /dev/stdout cannot be opened any more.
    pub(super) fn take_on(&self) -> bool {
        for stream in 0..3 {
            hand_over(stream, self.user);
        }
        let (user, group) = (self.user, self.group);
        let (count, groups) = (self.groups.len(), self.groups.as_ptr());
        // SAFETY: as many readable numbers as are said; else numbers only.
        unsafe {
            libc::syscall(libc::SYS_setgroups, count, groups) == 0
                && libc::syscall(libc::SYS_setresgid, group, group, group) == 0
                && libc::syscall(libc::SYS_setresuid, user, user, user) == 0
        }
    }
}

/// A failure (no CAP_CHOWN) leaves the stream usable, but for being opened by its name.
fn hand_over(stream: RawFd, user: u32) {
    let mut stat = std::mem::MaybeUninit::<libc::stat>::zeroed();
    // SAFETY: `stat` is writable, and zeroed bytes are a valid one.
    let (failed, stat) = unsafe { (libc::fstat(stream, stat.as_mut_ptr()), stat.assume_init()) };
    let is_pipe = stat.st_mode & libc::S_IFMT == libc::S_IFIFO;
    // SAFETY: numbers only.
    unsafe {
        if failed == 0 && stat.st_uid != user && (is_pipe || libc::isatty(stream) == 1) {
            libc::fchown(stream, user, libc::gid_t::MAX);
        }
    }
}

/// `false`: the parent is gone already.
pub(super) fn die_with(parent: libc::pid_t) -> bool {
    // SAFETY: numbers only.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as libc::c_ulong);
        libc::getppid() == parent
    }
}
