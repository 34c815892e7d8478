//! CHOOSES how a call may fail: errors that it can have in a real system, and no other.

use libc::{
    EACCES, EADDRINUSE, EAFNOSUPPORT, EAGAIN, EBUSY, ECONNREFUSED, EINTR, EINVAL, EIO, EMFILE, EMLINK, ENFILE, ENOBUFS,
    ENOENT, ENOMEM, ENOPROTOOPT, ENOSPC, ENOSYS, ENOTCONN, EOPNOTSUPP, EPERM, ESRCH, ETXTBSY, EWOULDBLOCK,
};

/// What brk(2) answers where there is no memory: the end as it was, for which 0 does.
pub const NO_MORE: i32 = 0;

/// Calls that cannot fail, or not with arguments as segue's; or whose failure means that there was nothing to be had.
const NEVER: [&str; 22] = [
    "clock_gettime",
    // What the C library and std do about threads, and go on without.
    "futex",
    "munmap",
    "prctl SET_NAME",
    "rseq",
    "set_robust_list",
    "exit",
    "exit_group",
    "getegid",
    "geteuid",
    "getgid",
    "getpid",
    "getsockopt SO_ACCEPTCONN",
    "getppid",
    "gettid",
    "getuid",
    "rt_sigaction",
    "rt_sigprocmask",
    "rt_sigreturn",
    "sched_yield",
    "umask",
    "uname",
];

/// How this call may fail; `None` for one that has no row yet.
pub fn of(label: &str) -> Option<&'static [i32]> {
    if NEVER.contains(&label) {
        return Some(&[]);
    }
    let (name, about) = label.split_once(' ').unwrap_or((label, ""));
    Some(match name {
        "bind" => &[EADDRINUSE, EACCES],
        "brk" => &[NO_MORE],
        "mmap" | "mremap" | "mprotect" | "munmap" | "madvise" => &[ENOMEM],
        "chdir" => &[EACCES, ENOENT],
        "clone" => &[EAGAIN, ENOMEM, EINVAL],
        "clone3" => &[EAGAIN],
        "close" => &[EINTR],
        "connect" => &[ECONNREFUSED, EAGAIN],
        "dup2" => &[EMFILE],
        "epoll_create1" | "signalfd4" | "eventfd2" | "pipe2" => &[EMFILE, ENFILE],
        // Opening a file fails with an error; a watched file is no longer watched.
        "fcntl" if about.starts_with("F_GETFD") => &[],
        "epoll_ctl" if about.starts_with("delete") => &[],
        "getsockname" => &[],
        "epoll_ctl" => &[ENOMEM, ENOSPC],
        "epoll_wait" | "poll" | "wait4" => &[EINTR],
        "execve" => &[ENOENT, EACCES, ENOMEM, ETXTBSY],
        "fchmod" | "chmod" | "unlink" | "rename" => &[EPERM],
        // Not every file system has links.
        "linkat" => &[EPERM, EMLINK, ENOSPC],
        "fcntl" if about.starts_with("F_DUPFD_CLOEXEC") => &[EMFILE],
        "fcntl" => &[EINVAL],
        "flock" => &[EWOULDBLOCK, EINTR],
        "getcwd" => &[ENOENT],
        "getdents64" => &[EIO],
        "getrandom" => &[ENOSYS],
        "getsockopt" => &[ENOPROTOOPT],
        // A program's file without the attribute is most of them.
        "getxattr" if about == "the program's file" => &[EOPNOTSUPP],
        "getxattr" => &[ENOMEM],
        // The lock of the filter is waited for with an eye on signals.
        "ioctl" if about == "NOTIF_ADDFD" => &[EMFILE, ENOMEM, EBUSY, EINTR],
        "ioctl" if about.starts_with("NOTIF_") => &[EINTR],
        "ioctl" => &[EINVAL],
        "kill" | "pidfd_send_signal" => &[EPERM, ENOSYS],
        "listen" => &[EADDRINUSE],
        "newfstatat" | "statx" | "readlink" => &[EACCES, ENOMEM],
        "openat" => &[EMFILE, ENOENT, EACCES],
        "pidfd_open" => &[EMFILE],
        "pidfd_getfd" => &[EPERM, EMFILE],
        "process_vm_readv" => &[EPERM, ESRCH],
        "prctl" | "setpgid" | "setsid" | "prlimit64" => &[EPERM],
        "pread64" => &[EIO],
        "read" if about.starts_with("/proc/") => &[EIO, ESRCH],
        "read" => &[EINTR],
        "write" if about == "stderr" => &[EIO, EAGAIN],
        "write" if about == "eventfd" => &[EAGAIN],
        "write" => &[EIO],
        "recvfrom" | "recvmsg" => &[ENOBUFS, EINTR],
        "seccomp" => &[EINVAL, EACCES, EBUSY, ENOMEM],
        "sendmsg" | "sendto" => &[ENOBUFS],
        "setsockopt" if about == "SO_ATTACH_REUSEPORT_CBPF" => &[ENOMEM],
        "setsockopt" => &[ENOPROTOOPT],
        "shutdown" => &[ENOTCONN],
        "socket" | "socketpair" => &[EMFILE, EAFNOSUPPORT],
        _ => return None,
    })
}

/// Is what the call does done, and only its answer an error? A file is closed however close(2) ends.
pub fn is_done_all_the_same(label: &str) -> bool {
    label == "close"
}

pub fn name(errno: i32) -> String {
    if errno == NO_MORE {
        return "no memory".to_owned();
    }
    format!("{:?}", nix::errno::Errno::from_raw(errno))
}
