//! HOLDS what segue does when a call fails, and prints docs/faults.md. A call may stand for several of its kind (a socket of
//! the program's, one of segue's own), so that it may do one thing or another.

use super::{
    call::{Call, Path, Who},
    errors,
    life::Did::{self, GoesOn, HearsNext, LeavesIt, Refuses, RollsBack, Tells, Without},
};

/// What may be done about these calls.
type Row = (Path, Who, &'static [Did], &'static [&'static str]);

const TABLE: &[Row] = &[
    (
        Path::Start,
        Who::Segue,
        &[GoesOn],
        &[
            "brk",
            "chdir /",
            "close",
            "epoll_ctl add pipe",
            "epoll_ctl add signalfd",
            "epoll_wait",
            "fcntl F_GETFL UNIX-STREAM",
            "getcwd",
            "getdents64",
            "getrandom",
            "ioctl NOTIF_ID_VALID",
            "ioctl NOTIF_RECV",
            "ioctl NOTIF_SEND",
            "ioctl TCGETS",
            "ioctl TIOCGPGRP",
            "listen UNIX-STREAM",
            "newfstatat /proc/N/fd",
            "newfstatat stderr",
            "openat /proc/self/fd",
            "openat /proc/sys/net/ipv6/bindv6only",
            "poll",
            "prlimit64",
            "read /proc/sys/net/ipv6/bindv6only",
            "read pipe",
            "recvfrom UNIX-STREAM",
            "setsockopt SO_ATTACH_REUSEPORT_CBPF",
            "signalfd4",
            "statx /proc/N",
            "statx /proc/N/fdinfo/N",
            "statx /proc/N/status",
            "statx /proc/sys/net/ipv6/bindv6only",
            "write eventfd",
            "write stderr",
        ],
    ),
    (
        Path::Start,
        Who::Segue,
        &[Refuses],
        &[
            "bind UNIX",
            "bind UNIX-STREAM",
            "epoll_ctl add UNIX",
            "epoll_ctl add eventfd",
            "epoll_ctl add seccomp notify",
            "eventfd2",
            "fchmod",
            "fcntl F_DUPFD_CLOEXEC eventpoll",
            "fcntl F_GETFL UNIX",
            "pipe2",
            "setsockopt SO_PASSCRED",
            "socket unix datagram",
            "socket unix stream",
            "socketpair unix seqpacket",
            "statx control",
        ],
    ),
    (
        Path::Start,
        Who::Segue,
        &[Tells],
        &["epoll_ctl add TCP", "epoll_ctl add eventpoll", "fcntl F_SETFL TCP"],
    ),
    (
        Path::Start,
        Who::Segue,
        &[LeavesIt],
        &[
            "getxattr /proc/N/fd/N",
            "pread64 /proc/N/mem",
            "read /proc/N/fdinfo/N",
            "read /proc/N/status",
            "statx /proc/self/ns/net",
        ],
    ),
    (
        Path::Start,
        Who::Segue,
        &[GoesOn, Refuses],
        &[
            "clone",
            "epoll_ctl add UNIX-STREAM",
            "fcntl F_DUPFD_CLOEXEC UNIX-STREAM",
            "recvmsg UNIX",
            "socketpair unix stream",
        ],
    ),
    (
        Path::Start,
        Who::Segue,
        &[GoesOn, LeavesIt],
        &[
            "ioctl NOTIF_ADDFD",
            "openat /proc/N/fdinfo/N",
            "openat /proc/N/mem",
            "statx /proc/N/ns/net",
        ],
    ),
    (
        Path::Start,
        Who::Segue,
        &[Refuses, Tells],
        &[
            "bind TCP",
            "epoll_create1",
            "fcntl F_DUPFD_CLOEXEC TCP",
            "listen TCP",
            "newfstatat TCP",
            "setsockopt SO_REUSEADDR",
            "setsockopt SO_REUSEPORT",
        ],
    ),
    (Path::Start, Who::Segue, &[Tells, LeavesIt], &["openat /proc/N/status"]),
    (
        Path::Start,
        Who::Segue,
        &[GoesOn, Tells, LeavesIt],
        &["statx /proc/N/fd/N"],
    ),
    (
        Path::Start,
        Who::Segue,
        &[Refuses, Tells, LeavesIt],
        &["socket IPv4 stream"],
    ),
    (
        Path::Start,
        Who::Child,
        &[GoesOn],
        &["close", "fcntl F_DUPFD_CLOEXEC pipe", "prlimit64", "setpgid"],
    ),
    (
        Path::Start,
        Who::Child,
        &[Refuses],
        &["chdir the caller's directory", "dup2", "execve", "sendmsg UNIX"],
    ),
    (Path::Start, Who::Child, &[GoesOn, Without], &["seccomp"]),
    (
        Path::Restart,
        Who::Segue,
        &[GoesOn],
        &[
            "brk",
            "close",
            "epoll_wait",
            "getdents64",
            "getsockopt TCP_INFO",
            "ioctl NOTIF_ID_VALID",
            "ioctl NOTIF_RECV",
            "ioctl NOTIF_SEND",
            "newfstatat /proc",
            "newfstatat stderr",
            "openat /proc",
            "openat /proc/N/stat",
            "openat /proc/sys/net/ipv6/bindv6only",
            "pidfd_send_signal",
            "poll",
            "read /proc/N/stat",
            "read /proc/sys/net/ipv6/bindv6only",
            "read pipe",
            "read signalfd",
            "recvfrom NETLINK",
            "recvfrom UNIX-STREAM",
            "sendto NETLINK",
            "setsockopt SO_ATTACH_REUSEPORT_CBPF",
            "setsockopt SO_RCVTIMEO",
            "shutdown",
            "socket netlink datagram",
            "statx /proc/N",
            "statx /proc/N/fdinfo/N",
            "statx /proc/N/stat",
            "statx /proc/N/status",
            "statx /proc/sys/net/ipv6/bindv6only",
            "wait4",
            "write eventfd",
            "write stderr",
        ],
    ),
    (
        Path::Restart,
        Who::Segue,
        &[RollsBack],
        &[
            "bind UNIX",
            "epoll_create1",
            "epoll_ctl add TCP",
            "epoll_ctl add UNIX",
            "epoll_ctl add eventpoll",
            "epoll_ctl add seccomp notify",
            "fcntl F_DUPFD_CLOEXEC TCP",
            "fcntl F_GETFL UNIX",
            "fcntl F_SETFL TCP",
            "getxattr /proc/N/fd/N",
            "pipe2",
            "pread64 /proc/N/mem",
            "read /proc/N/fdinfo/N",
            "setsockopt SO_PASSCRED",
            "socket unix datagram",
            "socketpair unix seqpacket",
            "statx /proc/self/ns/net",
        ],
    ),
    (Path::Restart, Who::Segue, &[HearsNext], &["sendto UNIX-STREAM"]),
    (
        Path::Restart,
        Who::Segue,
        &[GoesOn, RollsBack],
        &[
            "bind TCP",
            "clone",
            "epoll_ctl add pipe",
            "ioctl NOTIF_ADDFD",
            "listen TCP",
            "newfstatat TCP",
            "openat /proc/N/fdinfo/N",
            "openat /proc/N/mem",
            "openat /proc/N/status",
            "read /proc/N/status",
            "recvmsg UNIX",
            "setsockopt SO_REUSEADDR",
            "setsockopt SO_REUSEPORT",
            "socket IPv4 stream",
            "statx /proc/N/fd/N",
            "statx /proc/N/ns/net",
        ],
    ),
    (
        Path::Restart,
        Who::Child,
        &[GoesOn],
        &["close", "fcntl F_DUPFD_CLOEXEC pipe", "prlimit64", "setpgid"],
    ),
    (
        Path::Restart,
        Who::Child,
        &[RollsBack],
        &["chdir the caller's directory", "dup2", "execve", "sendmsg UNIX"],
    ),
    (Path::Restart, Who::Child, &[GoesOn, RollsBack], &["seccomp"]),
    (
        Path::Stop,
        Who::Segue,
        &[GoesOn],
        &[
            "close",
            "epoll_wait",
            "newfstatat stderr",
            "openat /dev/termination-log",
            "openat /proc/N/stat",
            "openat /proc/N/status",
            "pidfd_send_signal",
            "poll",
            "read /proc/N/stat",
            "read /proc/N/status",
            "read signalfd",
            "recvfrom UNIX-STREAM",
            "statx /proc/N",
            "statx /proc/N/stat",
            "statx /proc/N/status",
            "statx control",
            "unlink control",
            "wait4",
            "write eventfd",
            "write stderr",
        ],
    ),
    (Path::Stop, Who::Segue, &[HearsNext], &["sendto UNIX-STREAM"]),
];

/// What segue may do when this call fails; `None` for a call that is not in the table. What is usually made on one path may be
/// made on another, if the system is busy: then what it does there holds.
pub fn may_do(call: &Call) -> Option<Vec<Did>> {
    let rows = || {
        TABLE
            .iter()
            .filter(|(_, who, _, calls)| *who == call.who && calls.contains(&call.label.as_str()))
    };
    if let Some(row) = rows().find(|row| row.0 == call.path) {
        return Some(row.2.to_vec());
    }
    let elsewhere: Vec<Did> = rows().flat_map(|row| row.2.iter().copied()).collect();
    (!elsewhere.is_empty()).then_some(elsewhere)
}

const HEAD: &str = "# Faults

What segue does when the system refuses it something. Printed by `tests/injection`, which makes every call on the three \
paths below fail once, with each of the errors named, while clients send requests to a program that binds by itself, to one \
with `SEGUE_LISTEN`, and in restarts to one that is stopped first. In every case, whatever it does:

- no request is lost, neither a new one nor one that is under way,
- segue neither hangs nor ends by itself once the program has begun,
- the old generation serves until another one does, and the next restart succeeds,
- SIGTERM ends it all within the deadline, with the program's own code.

What it does is one of these; of two or more, one goes for one purpose or error of the call and one for another:

- *goes on*: where something is missing now, the log says what
- *refuses*: the program does not start; a line says why, and the exit code is 71 (126 or 127 if it cannot be run)
- *tells*: the program's own call fails with that error, as it would without segue
- *without*: there is no hand-over, which is said; a restart stops the program first
- *leaves it*: that one socket is the program's own; a restart that needs it is rolled back, until the program is started afresh
- *rolls back*: with the reason; where the old generation has been stopped first, `SEGUE_RESTART` starts another, and connections \
  wait
- *hears later*: the signal is heard when the next one comes

Not made to fail are calls that cannot, such as those that take nothing but numbers which are right, and those of the C library \
before segue's first own.
";

fn word(did: Did) -> &'static str {
    match did {
        GoesOn => "goes on",
        Refuses => "refuses",
        Tells => "tells",
        Without => "without",
        LeavesIt => "leaves it",
        RollsBack => "rolls back",
        HearsNext => "hears later",
    }
}

/// The page.
pub fn page() -> String {
    let mut page = HEAD.to_owned();
    let paths = [(Path::Start, "Start"), (Path::Restart, "Restart"), (Path::Stop, "Stop")];
    for (path, title) in paths {
        page += &format!("\n## {title}\n\n| segue | when this fails |\n|---|---|\n");
        for (_, who, did, calls) in TABLE.iter().filter(|row| row.0 == path) {
            let did: Vec<&str> = did.iter().map(|it| word(*it)).collect();
            let before = if *who == Who::Child {
                "between fork and exec: "
            } else {
                ""
            };
            let calls: Vec<String> = calls.iter().map(|call| with_errors(call)).collect();
            page += &format!("| {} | {before}{} |\n", did.join(" or "), calls.join(", "));
        }
    }
    page
}

fn with_errors(call: &str) -> String {
    let errors: Vec<String> = errors::of(call)
        .unwrap_or_default()
        .iter()
        .map(|it| errors::name(*it))
        .collect();
    format!("`{call}` ({})", errors.join(", "))
}
