//! WRITES the seccomp filter: bind, listen and the options that matter to a listener before its bind are notified of,
//! everything else is allowed in the kernel. Pure; `process/trap.rs` installs it.
//!
//! The kernel remembers per call number where a filter looks at nothing but the number (Linux 5.11), so that calls
//! which are none of these cost what they cost without a filter.

use libc::sock_filter;

/// Calls of one machine: the audit architecture and the numbers (from the kernel's syscall tables).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Calls {
    /// `AUDIT_ARCH_…` of linux/audit.h.
    pub architecture: u32,
    /// bind(2).
    pub bind: u32,
    /// listen(2).
    pub listen: u32,
    /// setsockopt(2).
    pub setsockopt: u32,
}

/// x86-64. The x32 calls have a bit set in their numbers and match none of these.
pub const X86_64: Calls = Calls {
    architecture: 0xc000_003e,
    bind: 49,
    listen: 50,
    setsockopt: 54,
};
/// aarch64.
pub const AARCH64: Calls = Calls {
    architecture: 0xc000_00b7,
    bind: 200,
    listen: 201,
    setsockopt: 208,
};

/// The machine that this was built for; `None` = hand-over by trapping was never made for it.
pub const NATIVE: Option<Calls> = if cfg!(target_arch = "x86_64") {
    Some(X86_64)
} else if cfg!(target_arch = "aarch64") {
    Some(AARCH64)
} else {
    None
};

/// Options that a socket has to have before it is bound or begins to listen, by level and name. (Levels and names are
/// the same on both machines. What accepted connections inherit, such as TCP_NODELAY, is set on every connection too,
/// which must not cost a notification each time.)
pub const OPTIONS: [(i32, &[i32]); 4] = [
    (
        libc::SOL_SOCKET,
        &[
            libc::SO_REUSEPORT,
            libc::SO_BINDTODEVICE,
            libc::SO_RCVBUF,
            libc::SO_SNDBUF,
            libc::SO_RCVBUFFORCE,
            libc::SO_SNDBUFFORCE,
        ],
    ),
    (
        libc::IPPROTO_IPV6,
        &[libc::IPV6_V6ONLY, libc::IPV6_FREEBIND, libc::IPV6_TRANSPARENT],
    ),
    (libc::IPPROTO_IP, &[libc::IP_FREEBIND, libc::IP_TRANSPARENT]),
    (
        libc::IPPROTO_TCP,
        &[libc::TCP_DEFER_ACCEPT, libc::TCP_FASTOPEN, libc::TCP_MAXSEG],
    ),
];

const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
const EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;

/// Offsets in `struct seccomp_data`; the low half of an argument comes first on both (little-endian) machines.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const LEVEL: u32 = 16 + 8;
const NAME: u32 = 16 + 2 * 8;

/// The program for a machine's calls.
#[must_use]
pub fn program(calls: Calls) -> Vec<sock_filter> {
    let does = |code: u16, k: u32| sock_filter { code, jt: 0, jf: 0, k };
    let equal = |k: u32, jt: u8, jf: u8| sock_filter { code: EQUAL, jt, jf, k };
    let (allow, notify) = (
        does(RETURN, libc::SECCOMP_RET_ALLOW),
        does(RETURN, libc::SECCOMP_RET_USER_NOTIF),
    );
    let mut program = vec![
        does(LOAD, ARCHITECTURE),
        equal(calls.architecture, 1, 0),
        allow,
        does(LOAD, NUMBER),
        equal(calls.bind, 3, 0),
        equal(calls.listen, 2, 0),
        equal(calls.setsockopt, 2, 0),
        allow,
        notify,
        does(LOAD, LEVEL),
    ];
    for (level, names) in OPTIONS {
        let count = u8::try_from(names.len()).unwrap_or(0);
        program.extend([equal(level.unsigned_abs(), 0, count + 3), does(LOAD, NAME)]);
        for (name, left) in names.iter().zip((0..count).rev()) {
            program.push(equal(name.unsigned_abs(), left + 1, 0));
        }
        program.extend([allow, notify]);
    }
    program.push(allow);
    program
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the program says to a call: an interpreter of the few instructions that it uses.
    fn says(program: &[sock_filter], architecture: u32, number: u32, level: i32, name: i32) -> u32 {
        let (mut at, mut value) = (0, 0);
        loop {
            let step = program[at];
            at += 1;
            match step.code {
                LOAD => {
                    value = match step.k {
                        NUMBER => number,
                        ARCHITECTURE => architecture,
                        LEVEL => level.unsigned_abs(),
                        NAME => name.unsigned_abs(),
                        other => panic!("loads from {other}"),
                    }
                }
                EQUAL => at += usize::from(if value == step.k { step.jt } else { step.jf }),
                RETURN => return step.k,
                other => panic!("instruction {other}"),
            }
        }
    }

    #[test]
    fn the_calls_of_both_machines_and_no_others() {
        for calls in [X86_64, AARCH64] {
            let program = program(calls);
            let notified = |number, level, name| {
                says(&program, calls.architecture, number, level, name) == libc::SECCOMP_RET_USER_NOTIF
            };
            assert!(notified(calls.bind, 0, 0) && notified(calls.listen, 0, 0));
            for number in (0..500).filter(|it| ![calls.bind, calls.listen, calls.setsockopt].contains(it)) {
                assert!(!notified(number, libc::SOL_SOCKET, libc::SO_REUSEPORT), "{number}");
            }
            let known = OPTIONS
                .iter()
                .flat_map(|(level, names)| names.iter().map(move |name| (*level, *name)));
            let known: Vec<(i32, i32)> = known.collect();
            assert_eq!(known.len(), 14);
            for (level, name) in (0..60).flat_map(|level| (0..100).map(move |name| (level, name))) {
                let expected = known.contains(&(level, name));
                assert_eq!(notified(calls.setsockopt, level, name), expected, "{level} {name}");
            }
            assert!(!notified(calls.setsockopt, libc::IPPROTO_TCP, libc::TCP_NODELAY));
            assert!(!notified(calls.setsockopt, libc::SOL_SOCKET, libc::SO_KEEPALIVE));
            assert!(!notified(
                calls.setsockopt,
                libc::IPPROTO_TCP,
                libc::SO_REUSEPORT + 1000
            ));
            let foreign = says(&program, 0x4000_0003, calls.bind, 0, 0);
            assert_eq!(foreign, libc::SECCOMP_RET_ALLOW, "a 32-bit program is left alone");
        }
    }

    #[test]
    fn numbers_are_those_of_the_machine_that_this_was_built_for() {
        let native = NATIVE.unwrap();
        let number = |call: libc::c_long| u32::try_from(call).unwrap();
        assert_eq!(native.bind, number(libc::SYS_bind));
        assert_eq!(native.listen, number(libc::SYS_listen));
        assert_eq!(native.setsockopt, number(libc::SYS_setsockopt));
    }
}
