//! NAMES the system calls of a process that is stopped at one: what the call is, and what it is about.

use std::{ffi::CString, fmt, fs, os::unix::fs::FileExt};

use libc::user_regs_struct;

/// A stretch of segue's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Path {
    Start,
    Restart,
    Stop,
}

/// Who makes a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Who {
    Segue,
    /// The child that is about to become the program.
    Child,
}

/// A call, as the table knows it. Numbers of processes and files are left out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Call {
    pub path: Path,
    pub who: Who,
    pub label: String,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Call { path, who, label } = self;
        write!(f, "{label} in the {path:?} path of {who:?}")
    }
}

macro_rules! names {
    ($($name:ident)*) => { &[$((libc::$name, stringify!($name))),*] };
}

/// Those that segue could conceivably make; any other is printed by its number.
const NAMES: &[(libc::c_long, &str)] = names![
    SYS_accept SYS_accept4 SYS_access SYS_arch_prctl SYS_bind SYS_brk SYS_capget SYS_chdir SYS_chmod SYS_clock_gettime
    SYS_clock_nanosleep SYS_clone SYS_clone3 SYS_close SYS_close_range SYS_connect SYS_dup SYS_dup2 SYS_dup3
    SYS_epoll_create1 SYS_epoll_ctl SYS_epoll_pwait SYS_epoll_pwait2 SYS_epoll_wait SYS_eventfd2 SYS_execve SYS_exit
    SYS_exit_group SYS_faccessat SYS_faccessat2 SYS_fchmod SYS_fcntl SYS_fdatasync SYS_flock SYS_fork SYS_fstat SYS_fstatfs
    SYS_fsync SYS_ftruncate SYS_futex SYS_getcwd SYS_getdents64 SYS_getegid SYS_geteuid SYS_getgid SYS_getpeername
    SYS_getpgrp SYS_getpgid SYS_getpid SYS_getppid SYS_getrandom SYS_getsid SYS_getsockname SYS_getsockopt SYS_gettid
    SYS_getuid SYS_getxattr SYS_inotify_add_watch SYS_inotify_init1 SYS_inotify_rm_watch SYS_ioctl SYS_kill SYS_lgetxattr
    SYS_link SYS_linkat SYS_listen SYS_lseek SYS_lstat SYS_madvise SYS_memfd_create SYS_mkdir SYS_mmap SYS_mprotect
    SYS_mremap SYS_munmap SYS_nanosleep SYS_newfstatat SYS_open SYS_openat SYS_openat2 SYS_pidfd_getfd SYS_pidfd_open
    SYS_pidfd_send_signal SYS_pipe SYS_pipe2 SYS_poll SYS_ppoll SYS_prctl SYS_pread64 SYS_preadv SYS_prlimit64
    SYS_process_vm_readv SYS_pselect6 SYS_pwrite64 SYS_read SYS_readlink SYS_readlinkat SYS_readv SYS_recvfrom SYS_recvmmsg
    SYS_recvmsg SYS_rename SYS_renameat SYS_renameat2 SYS_restart_syscall SYS_rseq SYS_rt_sigaction SYS_rt_sigpending
    SYS_rt_sigprocmask SYS_rt_sigqueueinfo SYS_rt_sigreturn SYS_rt_sigtimedwait SYS_rt_tgsigqueueinfo SYS_sched_getaffinity
    SYS_sched_yield SYS_seccomp SYS_select SYS_sendmmsg SYS_sendmsg SYS_sendto SYS_set_robust_list SYS_set_tid_address
    SYS_setfsgid SYS_setfsuid SYS_setitimer SYS_setpgid SYS_setrlimit SYS_setsid SYS_setsockopt SYS_shutdown
    SYS_sigaltstack SYS_signalfd4 SYS_socket SYS_socketpair SYS_stat SYS_statfs SYS_statx SYS_symlink SYS_sysinfo SYS_tgkill
    SYS_timer_create SYS_timerfd_create SYS_timerfd_settime SYS_tkill SYS_umask SYS_uname SYS_unlink SYS_unlinkat
    SYS_vfork SYS_wait4 SYS_waitid SYS_write SYS_writev
];

/// The call that a process has stopped at the beginning of.
pub fn label(pid: i32, registers: &user_regs_struct) -> String {
    let number = registers.orig_rax;
    let known = NAMES.iter().find(|(known, _)| *known as u64 == number);
    let Some((_, name)) = known else {
        return format!("call {number}");
    };
    let name = name.trim_start_matches("SYS_");
    let about = match name {
        "newfstatat" | "statx" => match text(pid, registers.rsi) {
            // Then it is about the file itself.
            empty if empty.is_empty() => file(pid, registers.rdi),
            path => path,
        },
        "openat" | "readlinkat" | "faccessat" | "unlinkat" => text(pid, registers.rsi),
        "open" | "stat" | "lstat" | "statfs" | "readlink" | "access" | "unlink" | "getxattr" | "lgetxattr"
        | "chdir" | "chmod" | "rename" => text(pid, registers.rdi),
        "read" | "write" | "writev" | "pread64" | "recvmsg" | "sendmsg" | "sendto" | "recvfrom" => {
            file(pid, registers.rdi)
        }
        "ioctl" => request(registers.rsi),
        "socket" | "socketpair" => family(registers.rdi, registers.rsi),
        "bind" | "listen" | "connect" | "getsockname" => file(pid, registers.rdi),
        "setsockopt" if registers.rsi == libc::SOL_SOCKET as u64 && registers.rdx == libc::SO_REUSEADDR as u64 => {
            "SO_REUSEADDR".to_owned()
        }
        "setsockopt" => option(registers.rsi, registers.rdx),
        // Segue sets it on its own sockets, and reads it to carry it over.
        "getsockopt" if registers.rdx == libc::SO_PASSCRED as u64 => "another option".to_owned(),
        "getsockopt" => option(registers.rsi, registers.rdx),
        "fcntl" if registers.rsi == libc::F_GETFD as u64 => "F_GETFD".to_owned(),
        "fcntl" => format!("{} {}", command(registers.rsi), file(pid, registers.rdi)),
        "prctl" => operation(registers.rdi),
        "epoll_ctl" => {
            let what = ["", "add", "delete", "change"]
                .get(registers.rsi as usize)
                .unwrap_or(&"");
            format!("{what} {}", file(pid, registers.rdx))
        }
        _ => String::new(),
    };
    format!("{name} {about}").trim_end().to_owned()
}

fn text(pid: i32, address: u64) -> String {
    let mut bytes = [0_u8; 256];
    let Ok(memory) = fs::File::open(format!("/proc/{pid}/mem")) else {
        return "?".to_owned();
    };
    let read = memory.read_at(&mut bytes, address).unwrap_or(0);
    let text = bytes[..read].split(|it| *it == 0).next().unwrap_or_default();
    let text = String::from_utf8_lossy(text);
    if std::env::current_dir().is_ok_and(|own| own.as_os_str() == &*text) {
        return "the caller's directory".to_owned();
    }
    without_numbers(&text)
}

fn file(pid: i32, number: u64) -> String {
    let target = fs::read_link(format!("/proc/{pid}/fd/{number}")).unwrap_or_default();
    let target = target.to_string_lossy();
    let kind = target.split(":[").next().unwrap_or_default();
    match kind {
        _ if target.starts_with("anon_inode:") => target
            .trim_start_matches("anon_inode:")
            .trim_matches(['[', ']'])
            .to_owned(),
        _ if number == 2 => "stderr".to_owned(),
        "socket" => protocol(pid, number),
        "pipe" => "pipe".to_owned(),
        other => without_numbers(other),
    }
}

/// As the kernel calls it: UNIX-STREAM, NETLINK, TCP.
fn protocol(pid: i32, number: u64) -> String {
    let path = CString::new(format!("/proc/{pid}/fd/{number}")).unwrap();
    let mut name = [0_u8; 32];
    // SAFETY: both strings end with a zero, and so many bytes may be written.
    #[expect(unsafe_code, reason = "no crate here has extended attributes")]
    let length = unsafe {
        libc::getxattr(
            path.as_ptr(),
            c"system.sockprotoname".as_ptr(),
            name.as_mut_ptr().cast(),
            name.len(),
        )
    };
    let name = name.get(..usize::try_from(length).unwrap_or(0)).unwrap_or_default();
    String::from_utf8_lossy(name).trim_end_matches('\0').to_owned()
}

/// No name depends on where the checkout lies. The test's own files have names of their own; numbers of processes, files and namespaces become N.
fn without_numbers(path: &str) -> String {
    if path.ends_with("/examples/hello") {
        return "the program's file".to_owned();
    }
    if let Some((_, name)) = path
        .rsplit_once('/')
        .filter(|(directory, _)| directory.contains("/segue-test-"))
    {
        return name.to_owned();
    }
    // Where it is mounted, and how deep the cgroup is, depends on the machine.
    if path.starts_with("/sys/fs/cgroup/") && path.contains("/memory.") {
        return "a cgroup's memory".to_owned();
    }
    let mut out = String::new();
    for it in path.chars() {
        match out.chars().next_back() {
            Some('/' | '-') if it.is_ascii_digit() => out.push('N'),
            Some('N') if it.is_ascii_digit() => {}
            _ => out.push(it),
        }
    }
    out
}

fn family(family: u64, kind: u64) -> String {
    let family = match family as i32 {
        libc::AF_UNIX => "unix",
        libc::AF_INET => "IPv4",
        libc::AF_INET6 => "IPv6",
        libc::AF_NETLINK => "netlink",
        _ => "other",
    };
    let kind = match (kind as i32) & 0xf {
        libc::SOCK_STREAM => "stream",
        libc::SOCK_DGRAM => "datagram",
        libc::SOCK_SEQPACKET => "seqpacket",
        _ => "raw",
    };
    format!("{family} {kind}")
}

fn request(request: u64) -> String {
    match (request >> 8 & 0xff, request & 0xff) {
        (0x21, 0) => "NOTIF_RECV".to_owned(),
        (0x21, 1) => "NOTIF_SEND".to_owned(),
        (0x21, 2) => "NOTIF_ID_VALID".to_owned(),
        (0x21, 3) => "NOTIF_ADDFD".to_owned(),
        (0x54, 0x01) => "TCGETS".to_owned(),
        (0x54, 0x0f) => "TIOCGPGRP".to_owned(),
        (0x54, 0x2a) => "TCGETS2".to_owned(),
        (0x54, 0x21) => "FIONBIO".to_owned(),
        (group, number) => format!("{group:#x} {number:#x}"),
    }
}

macro_rules! constants {
    ($value:expr, $prefix:literal, $($name:ident)*) => {
        match $value {
            $(value if value == libc::$name as u64 => stringify!($name).trim_start_matches($prefix).to_owned(),)*
            other => other.to_string(),
        }
    };
}

fn option(level: u64, name: u64) -> String {
    let label = match level as i32 {
        libc::SOL_SOCKET => constants!(
            name, "",
            SO_REUSEADDR SO_REUSEPORT SO_ATTACH_REUSEPORT_CBPF SO_PEERCRED SO_PASSCRED SO_ERROR SO_RCVBUF SO_SNDBUF SO_DOMAIN
            SO_PROTOCOL SO_TYPE SO_ACCEPTCONN SO_RCVBUFFORCE SO_RCVTIMEO SO_SNDTIMEO SO_LINGER SO_BINDTODEVICE SO_KEEPALIVE
            SO_INCOMING_CPU
        ),
        libc::IPPROTO_TCP => constants!(name, "", TCP_DEFER_ACCEPT TCP_FASTOPEN TCP_INFO TCP_NODELAY),
        libc::IPPROTO_IPV6 => constants!(name, "", IPV6_V6ONLY),
        libc::IPPROTO_IP => constants!(name, "", IP_FREEBIND IP_TRANSPARENT),
        other => format!("{other} {name}"),
    };
    // Those that a socket has to have to be like another are one as good as another.
    if label.bytes().all(|byte| byte.is_ascii_digit() || byte == b' ') || CARRIED.contains(&label.as_str()) {
        return "another option".to_owned();
    }
    label
}

/// Options that have a name above and are only carried over.
const CARRIED: [&str; 13] = [
    "SO_REUSEADDR",
    "SO_RCVBUF",
    "SO_SNDBUF",
    "SO_RCVTIMEO",
    "SO_SNDTIMEO",
    "SO_LINGER",
    "SO_KEEPALIVE",
    "SO_INCOMING_CPU",
    "TCP_DEFER_ACCEPT",
    "TCP_FASTOPEN",
    "TCP_NODELAY",
    "IP_FREEBIND",
    "IP_TRANSPARENT",
];

fn command(command: u64) -> String {
    constants!(command, "", F_DUPFD_CLOEXEC F_GETFD F_SETFD F_GETFL F_SETFL F_DUPFD F_SETLK F_OFD_SETLK)
}

fn operation(operation: u64) -> String {
    constants!(operation, "PR_", PR_SET_CHILD_SUBREAPER PR_SET_NO_NEW_PRIVS PR_SET_NAME PR_SET_VMA PR_CAPBSET_READ PR_SET_DUMPABLE PR_SET_TIMERSLACK)
}
