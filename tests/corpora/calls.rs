//! What holds for every call of a program that segue is told of: whatever its registers, and whatever is in its memory.

use std::{net::SocketAddr, os::fd::RawFd};

use segue::handover::trapped::{
    address::{Family, LONGEST, PORT_KNOWN, parse, port_of},
    arguments::{self, LONGEST_OPTION},
    filter::{AARCH64, LEVELS, Options, SHARING, X86_64, program},
};

/// What lets a call pass.
const COOKIE: u64 = 0x8123_4567_89ab_cdef;

/// Six registers, then memory.
const REGISTERS: usize = 6 * 8;

/// The filter tells of the calls that matter and of no others, the registers are read as the kernel reads them, and of an
/// address nothing is believed that bind(2) would not take from the same bytes.
pub fn check(bytes: &[u8]) {
    let Some((first, rest)) = bytes.split_first() else {
        return;
    };
    let mut words = [0; REGISTERS];
    let (registers, memory) = rest.split_at(rest.len().min(REGISTERS));
    words[..registers.len()].copy_from_slice(registers);
    let arguments: [u64; 6] =
        std::array::from_fn(|at| u64::from_le_bytes(words[at * 8..at * 8 + 8].try_into().unwrap()));
    filtered(*first, arguments);
    read(arguments);
    for family in [Family::Four, Family::Six] {
        address(family, &memory[..memory.len().min(LONGEST)]);
    }
}

/// What the filter says, by an interpreter of the few instructions that it may use.
fn filtered(first: u8, arguments: [u64; 6]) {
    let calls = if first & 1 == 0 { X86_64 } else { AARCH64 };
    let foreign = first & 2 != 0;
    let number = match first >> 2 & 3 {
        0 => calls.bind,
        1 => calls.listen,
        2 => calls.setsockopt,
        _ => u32::from(first),
    };
    let mut data = [0; 64];
    data[..4].copy_from_slice(&number.to_le_bytes());
    data[4..8].copy_from_slice(&(calls.architecture ^ u32::from(foreign)).to_le_bytes());
    for (at, argument) in arguments.iter().enumerate() {
        data[16 + at * 8..24 + at * 8].copy_from_slice(&argument.to_le_bytes());
    }
    let options = if first & 0x80 == 0 {
        Options::Sharing
    } else {
        Options::All
    };
    let paths = first & 0x40 != 0;
    let program = program(calls, COOKIE, options, paths);
    let (mut at, mut value) = (0, 0);
    let verdict = loop {
        let step = program[at];
        at += 1;
        match u32::from(step.code) {
            0x20 => {
                let place = usize::try_from(step.k).unwrap();
                value = u32::from_le_bytes(data[place..place + 4].try_into().unwrap());
            }
            0x15 => at += usize::from(if value == step.k { step.jt } else { step.jf }),
            0x25 => at += usize::from(if value > step.k { step.jt } else { step.jf }),
            0x35 => at += usize::from(if value >= step.k { step.jt } else { step.jf }),
            0x06 => break step.k,
            other => panic!("instruction {other:#x}"),
        }
    };
    let (level, name) = (arguments[1] as u32 as i32, arguments[2] as u32 as i32);
    let of_interest = match options {
        Options::Sharing => level == libc::SOL_SOCKET && SHARING.contains(&name),
        Options::All => LEVELS.contains(&level),
    };
    let is_notified = if number == calls.bind {
        let shortest = if paths { 3 } else { 16 };
        (shortest..=128).contains(&(arguments[2] as u32)) && arguments[3] != COOKIE
    } else if number == calls.listen {
        arguments[2] != COOKIE
    } else if number == calls.setsockopt {
        of_interest
    } else if number == calls.connect {
        let length = arguments[2] as u32;
        paths && length <= 110 && ![16, 28].contains(&length)
    } else if calls.of_paths().any(|it| it == number) {
        paths
    } else {
        options == Options::All && number == calls.landlock_restrict_self
    };
    assert_eq!(
        verdict == libc::SECCOMP_RET_USER_NOTIF,
        is_notified && !foreign,
        "{number} {level} {name}"
    );
    assert!(verdict == libc::SECCOMP_RET_USER_NOTIF || verdict == libc::SECCOMP_RET_ALLOW);
}

fn read(arguments: [u64; 6]) {
    // Of a register that holds an int the kernel sees the low half.
    let dirty = arguments.map(|it| it | 0xa5a5_a5a5_0000_0000);
    let clean = arguments.map(|it| it & 0xffff_ffff);
    assert_eq!(arguments::file(dirty), arguments::file(clean));
    assert_eq!(arguments::file(arguments).is_none(), (arguments[0] as RawFd) < 0);
    assert_eq!(arguments::backlog(dirty), arguments::backlog(clean));
    assert!((0..=65_535).contains(&arguments::backlog(arguments)));
    assert_eq!(
        arguments::unlinkat(dirty).is_some(),
        arguments::unlinkat(clean).is_some()
    );
    assert_eq!(arguments::renameat2(dirty).is_some(), arguments[4] as u32 == 0);
    let (address, value) = (arguments::bind(arguments), arguments::option(arguments));
    assert!(address.is_none_or(|it| it.length <= LONGEST && it.address == arguments[1]));
    assert!(value.is_none_or(|it| it.value.length <= LONGEST_OPTION && it.value.address == arguments[3]));
    assert_eq!(
        address.is_none(),
        arguments[2] as i32 > 128 || (arguments[2] as i32) < 0
    );
}

fn address(family: Family, memory: &[u8]) {
    let wanted = parse(family, memory);
    if let Some(address) = wanted {
        assert_ne!(address.port(), 0);
        assert_eq!(port_of(&memory[..PORT_KNOWN]), Some(address.port()));
        assert_eq!(address.is_ipv6(), family == Family::Six);
        let again = raw(address);
        assert_eq!(parse(family, &again), wanted, "written down and read again");
        // What lies behind an address is none of it.
        let longer = [memory, &[0xff; 9]].concat();
        if memory.len() >= again.len() {
            assert_eq!(parse(family, &longer), wanted);
        }
    }
    kernel::agrees(family, memory, wanted);
}

/// As C programs have it in their memory.
fn raw(address: SocketAddr) -> Vec<u8> {
    let family = if address.is_ipv4() {
        libc::AF_INET
    } else {
        libc::AF_INET6
    };
    let mut bytes = u16::try_from(family).unwrap().to_ne_bytes().to_vec();
    bytes.extend(address.port().to_be_bytes());
    match address {
        SocketAddr::V4(it) => bytes.extend([&it.ip().octets()[..], &[0; 8]].concat()),
        SocketAddr::V6(it) => {
            let scope = it.scope_id().to_ne_bytes();
            bytes.extend([&[0; 4][..], &it.ip().octets(), &scope].concat());
        }
    }
    bytes
}

/// bind(2) itself, in a network of its own so that no port is taken from anybody. Who may not make one goes without.
#[expect(unsafe_code, reason = "bytes that are no address of nix's")]
mod kernel {
    use std::{
        net::SocketAddr,
        os::fd::{AsRawFd, OwnedFd},
    };

    use nix::{
        sched::{CloneFlags, unshare},
        sys::socket::{
            AddressFamily, SockFlag, SockType, SockaddrIn, SockaddrIn6, getsockname, setsockopt, socket, sockopt,
        },
    };

    use super::Family;

    thread_local! {
        static ALONE: bool = unshare(CloneFlags::CLONE_NEWNET).is_ok();
    }

    pub(super) fn agrees(family: Family, memory: &[u8], wanted: Option<SocketAddr>) {
        if !ALONE.with(|it| *it) {
            return;
        }
        let four = family == Family::Four;
        let domain = if four {
            AddressFamily::Inet
        } else {
            AddressFamily::Inet6
        };
        let made: OwnedFd = socket(domain, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
        // Addresses that no interface here has are the kernel's to refuse, not the parser's.
        setsockopt(&made, sockopt::IpFreebind, &true).unwrap();
        let length = libc::socklen_t::try_from(memory.len()).unwrap();
        // SAFETY: the memory has as many bytes as are said.
        if unsafe { libc::bind(made.as_raw_fd(), memory.as_ptr().cast(), length) } != 0 {
            return;
        }
        let bound: SocketAddr = if four {
            std::net::SocketAddrV4::from(getsockname::<SockaddrIn>(made.as_raw_fd()).unwrap()).into()
        } else {
            std::net::SocketAddrV6::from(getsockname::<SockaddrIn6>(made.as_raw_fd()).unwrap()).into()
        };
        let any_port = memory[2..4] == [0, 0];
        let expected = (!any_port).then_some(bound);
        assert_eq!(wanted, expected, "what the kernel makes of {memory:?}");
    }
}
