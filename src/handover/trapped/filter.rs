//! WRITES the seccomp filter: bind(2) and listen(2) of addresses that may be TCP, and the few socket options that decide
//! about sharing, are notified of; everything else is allowed in the kernel. Pure; `process/trap.rs` installs it.
//!
//! A call that segue makes the program repeat carries a *cookie* in an argument that the call does not use (the fourth of
//! bind, the third of listen), and passes. A program that guesses it gains a call that is not handed over, and nothing else.

use libc::sock_filter;

pub use super::numbers::{AARCH64, Calls, NATIVE, X86_64};

/// What is trapped beside bind and listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Options {
    /// The options that decide who shares an address: SO_REUSEPORT, and programs that steer by themselves.
    Sharing,
    /// Every option of a socket, and Landlock: where segue cannot have a copy of the program's socket, it gives the program a
    /// socket of its own only if it knows all about the one that it takes.
    All,
}

/// Options of `SOL_SOCKET` that decide who shares an address.
pub const SHARING: [i32; 3] = [
    libc::SO_REUSEPORT,
    libc::SO_ATTACH_REUSEPORT_CBPF,
    libc::SO_ATTACH_REUSEPORT_EBPF,
];
/// The levels whose options are recorded where all are.
pub const LEVELS: [i32; 4] = [
    libc::SOL_SOCKET,
    libc::IPPROTO_IP,
    libc::IPPROTO_IPV6,
    libc::IPPROTO_TCP,
];

/// Addresses shorter than `struct sockaddr_in` are no TCP addresses (netlink has 12 bytes), longer than `struct
/// sockaddr_storage` no addresses at all.
const LENGTHS: [u32; 2] = [16, 128];
/// The shortest address with a path.
const SHORTEST_PATH: u32 = 3;

const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
const EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
const AT_LEAST: u16 = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
const MORE: u16 = (libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K) as u16;
const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;

/// Offsets in `struct seccomp_data`; the low half of an argument comes first on both (little-endian) machines.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const fn argument(index: u32) -> u32 {
    16 + 8 * index
}
const HIGH: u32 = 4;

/// Lengths of addresses that connect(2) is given for IPv4 and IPv6, and the longest one of a unix socket.
const CONNECTS: [u32; 3] = [16, 28, 110];

const ALLOW: sock_filter = does(libc::SECCOMP_RET_ALLOW);
const NOTIFY: sock_filter = does(libc::SECCOMP_RET_USER_NOTIF);

const fn load(k: u32) -> sock_filter {
    jump(LOAD, k, 0, 0)
}

const fn does(k: u32) -> sock_filter {
    jump(RETURN, k, 0, 0)
}

const fn jump(code: u16, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code, jt, jf, k }
}

/// Notified of, unless the argument is the cookie.
fn notified_unless(index: u32, cookie: u64) -> [sock_filter; 6] {
    let (low, high) = (cookie as u32, (cookie >> 32) as u32);
    [
        load(argument(index)),
        jump(EQUAL, low, 0, 3),
        load(argument(index) + HIGH),
        jump(EQUAL, high, 0, 1),
        ALLOW,
        NOTIFY,
    ]
}

/// The program for a command that asks whether a generation is ready: it is notified of every connect(2).
#[must_use]
pub fn connects(calls: Calls, cookie: u64) -> Vec<sock_filter> {
    let mut program = vec![
        load(ARCHITECTURE),
        jump(EQUAL, calls.architecture, 1, 0),
        ALLOW,
        load(NUMBER),
        jump(EQUAL, calls.connect, 1, 0),
        ALLOW,
    ];
    program.extend(notified_unless(3, cookie));
    program
}

/// The program for a machine's calls. `paths`: calls that name a path are trapped, too, because the generation before listens on one.
#[must_use]
pub fn program(calls: Calls, cookie: u64, options: Options, paths: bool) -> Vec<sock_filter> {
    let unless_cookie = |index| notified_unless(index, cookie);
    let mut on_option = Vec::new();
    match options {
        Options::Sharing => {
            on_option.extend([
                load(argument(1)),
                jump(EQUAL, libc::SOL_SOCKET.unsigned_abs(), 0, 4),
                load(argument(2)),
                jump(EQUAL, SHARING[0].unsigned_abs(), 3, 0),
                jump(EQUAL, SHARING[1].unsigned_abs(), 2, 0),
                jump(EQUAL, SHARING[2].unsigned_abs(), 1, 0),
                ALLOW,
                NOTIFY,
            ]);
        }
        Options::All => {
            on_option.push(load(argument(1)));
            for (level, left) in LEVELS.iter().zip((0..4_u8).rev()) {
                on_option.push(jump(EQUAL, level.unsigned_abs(), left + 1, 0));
            }
            on_option.extend([ALLOW, NOTIFY]);
        }
    }
    let on_bind: Vec<sock_filter> = [
        load(argument(2)),
        jump(AT_LEAST, if paths { SHORTEST_PATH } else { LENGTHS[0] }, 0, 1),
        jump(MORE, LENGTHS[1], 0, 1),
        ALLOW,
    ]
    .into_iter()
    .chain(unless_cookie(3))
    .collect();
    let on_listen = unless_cookie(2);
    let (bind_length, listen_length) = (10_u8, 6_u8);
    debug_assert!(on_bind.len() == usize::from(bind_length) && on_listen.len() == usize::from(listen_length));
    // In between, each ends with a verdict, or goes on to the next with the number still loaded.
    let mut between = Vec::new();
    if options == Options::All {
        between.extend([jump(EQUAL, calls.landlock_restrict_self, 0, 1), NOTIFY]);
    }
    if paths {
        for number in calls.of_paths() {
            between.extend([jump(EQUAL, number, 0, 1), NOTIFY]);
        }
        between.extend([
            jump(EQUAL, calls.connect, 0, 6),
            load(argument(2)),
            jump(EQUAL, CONNECTS[0], 3, 0),
            jump(EQUAL, CONNECTS[1], 2, 0),
            jump(MORE, CONNECTS[2], 1, 0),
            NOTIFY,
            ALLOW,
        ]);
    }
    let between_length = u8::try_from(between.len()).unwrap_or(u8::MAX);
    let mut program = vec![
        load(ARCHITECTURE),
        jump(EQUAL, calls.architecture, 1, 0),
        ALLOW,
        load(NUMBER),
        jump(EQUAL, calls.bind, 3 + between_length, 0),
        jump(EQUAL, calls.listen, 2 + between_length + bind_length, 0),
        jump(
            EQUAL,
            calls.setsockopt,
            1 + between_length + bind_length + listen_length,
            0,
        ),
    ];
    program.extend(between);
    program.push(ALLOW);
    program.extend(on_bind);
    program.extend(on_listen);
    program.extend(on_option);
    program
}

#[cfg(test)]
mod tests {
    use super::*;

    const COOKIE: u64 = 0x0123_4567_89ab_cdef;

    /// What the program says to a call: an interpreter of the few instructions that it uses.
    fn says(program: &[sock_filter], architecture: u32, number: u32, arguments: [u64; 6]) -> u32 {
        let (mut at, mut value) = (0, 0);
        loop {
            let step = program[at];
            at += 1;
            let jump = |taken: bool| usize::from(if taken { step.jt } else { step.jf });
            match step.code {
                LOAD => {
                    value = match step.k {
                        NUMBER => number,
                        ARCHITECTURE => architecture,
                        offset => {
                            let argument = arguments[usize::try_from((offset - 16) / 8).unwrap()];
                            if offset % 8 == 0 {
                                argument as u32
                            } else {
                                (argument >> 32) as u32
                            }
                        }
                    }
                }
                EQUAL => at += jump(value == step.k),
                AT_LEAST => at += jump(value >= step.k),
                MORE => at += jump(value > step.k),
                RETURN => return step.k,
                other => panic!("instruction {other}"),
            }
        }
    }

    /// The same with paths and without, but for the calls that name one.
    fn notified(calls: Calls, options: Options, number: u32, arguments: [u64; 6]) -> bool {
        let [without, with] = [false, true].map(|paths| notified_if(paths, calls, options, number, arguments));
        let names = [calls.connect, calls.bind].contains(&number) || calls.of_paths().any(|it| it == number);
        assert!(without == with || names, "{number}");
        without
    }

    fn notified_if(paths: bool, calls: Calls, options: Options, number: u32, arguments: [u64; 6]) -> bool {
        let program = program(calls, COOKIE, options, paths);
        says(&program, calls.architecture, number, arguments) == libc::SECCOMP_RET_USER_NOTIF
    }

    #[test]
    fn a_readiness_command_s_connects() {
        for calls in [X86_64, AARCH64] {
            let program = connects(calls, COOKIE);
            for (number, cookie) in (0..600).flat_map(|number| [(number, 0), (number, COOKIE), (number, COOKIE ^ 1)]) {
                let notified = number == calls.connect && cookie != COOKIE;
                let said = says(&program, calls.architecture, number, [3, 9, 16, cookie, 0, 0]);
                assert_eq!(said == libc::SECCOMP_RET_USER_NOTIF, notified, "{number}");
            }
            let foreign = says(&program, 0x4000_0003, calls.connect, [3, 9, 16, 0, 0, 0]);
            assert_eq!(foreign, libc::SECCOMP_RET_ALLOW);
        }
    }

    #[test]
    fn calls_that_name_paths() {
        for (calls, options) in [X86_64, AARCH64].into_iter().zip([Options::Sharing, Options::All]) {
            for number in calls.of_paths() {
                assert!(notified_if(true, calls, options, number, [9, 9, 0, 0, 0, 0]));
                assert!(!notified_if(false, calls, options, number, [9, 9, 0, 0, 0, 0]));
            }
            for length in 0..200_u32 {
                let bind = |paths| notified_if(paths, calls, options, calls.bind, [3, 9, length.into(), 0, 0, 0]);
                assert_eq!(
                    (bind(false), bind(true)),
                    ((16..=128).contains(&length), (3..=128).contains(&length))
                );
                let connect = |paths| notified_if(paths, calls, options, calls.connect, [3, 9, length.into(), 0, 0, 0]);
                assert_eq!(connect(true), length <= 110 && length != 16 && length != 28, "{length}");
                assert!(!connect(false));
            }
        }
    }

    #[test]
    fn binds_of_lengths_that_a_tcp_address_may_have() {
        for calls in [X86_64, AARCH64] {
            for options in [Options::Sharing, Options::All] {
                let bind = |length: u64, cookie| notified(calls, options, calls.bind, [3, 9, length, cookie, 0, 0]);
                for length in [16, 28, 110, 128] {
                    assert!(bind(length, 0) && bind(length, COOKIE + 1) && bind(length, COOKIE ^ (1 << 40)));
                    assert!(!bind(length, COOKIE), "{length}");
                }
                for length in [0, 2, 12, 15, 129, u64::from(u32::MAX)] {
                    assert!(!bind(length, 0), "{length}");
                }
                let listen = |cookie| notified(calls, options, calls.listen, [3, 9, cookie, 0, 0, 0]);
                assert!(listen(0) && listen(COOKIE << 1) && !listen(COOKIE));
            }
        }
    }

    #[test]
    fn options_that_decide_about_sharing_or_all() {
        for calls in [X86_64, AARCH64] {
            for (level, name) in (0..60_i32).flat_map(|level| (0..100_i32).map(move |name| (level, name))) {
                let arguments = [
                    3,
                    u64::from(level.unsigned_abs()),
                    u64::from(name.unsigned_abs()),
                    0,
                    4,
                    0,
                ];
                let few = notified(calls, Options::Sharing, calls.setsockopt, arguments);
                assert_eq!(
                    few,
                    level == libc::SOL_SOCKET && SHARING.contains(&name),
                    "{level} {name}"
                );
                let all = notified(calls, Options::All, calls.setsockopt, arguments);
                assert_eq!(all, LEVELS.contains(&level), "{level} {name}");
            }
        }
    }

    #[test]
    fn no_other_call_and_no_other_machine() {
        for calls in [X86_64, AARCH64] {
            for options in [Options::Sharing, Options::All] {
                let ours = [calls.bind, calls.listen, calls.setsockopt];
                for number in (0..600).filter(|number| !ours.contains(number)) {
                    let landlock = options == Options::All && number == calls.landlock_restrict_self;
                    assert_eq!(
                        notified(calls, options, number, [1, 15, 16, 0, 0, 0]),
                        landlock,
                        "{number}"
                    );
                }
                let foreign = says(
                    &program(calls, COOKIE, options, true),
                    0x4000_0003,
                    calls.bind,
                    [0, 0, 16, 0, 0, 0],
                );
                assert_eq!(foreign, libc::SECCOMP_RET_ALLOW, "a 32-bit program is left alone");
            }
        }
    }
}
