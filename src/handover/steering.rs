//! STEERS new connections to one member of a SO_REUSEPORT group by a classic BPF program, which needs no privilege
//! (`SO_ATTACH_REUSEPORT_CBPF`, socket(7)). Never touches a packet: the program sees the first one and answers a number.
//!
//! A readiness probe of a generation that does not have the connections yet comes from a source port that segue chose,
//! and the program answers that generation's number to it, so that the probe asks whom it means.
#![expect(
    unsafe_code,
    reason = "a socket option that takes a program, which nix has no call for"
)]

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd},
};

use libc::sock_filter;

/// Whom the program chooses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The members that get everybody, each as likely as the others.
    pub everybody: Vec<u32>,
    /// The source port whose connections go to another member, and its number.
    pub probe: Option<(u16, u32)>,
}

const LOAD_BYTE: u16 = (libc::BPF_LD | libc::BPF_B | libc::BPF_ABS) as u16;
const LOAD_PORT: u16 = (libc::BPF_LD | libc::BPF_H | libc::BPF_ABS) as u16;
const LOAD_PORT_AT_X: u16 = (libc::BPF_LD | libc::BPF_H | libc::BPF_IND) as u16;
const X_FROM_A: u16 = (libc::BPF_MISC | libc::BPF_TAX) as u16;
const LOAD_WORD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
const MODULO: u16 = (libc::BPF_ALU | libc::BPF_MOD | libc::BPF_K) as u16;
const AND: u16 = (libc::BPF_ALU | libc::BPF_AND | libc::BPF_K) as u16;
const SHIFT_LEFT: u16 = (libc::BPF_ALU | libc::BPF_LSH | libc::BPF_K) as u16;
const SHIFT_RIGHT: u16 = (libc::BPF_ALU | libc::BPF_RSH | libc::BPF_K) as u16;
const JUMP_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
const JUMP: u16 = (libc::BPF_JMP | libc::BPF_JA) as u16;
const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;

/// Offsets from here on count from the network header (`SKF_NET_OFF` in linux/filter.h).
const NETWORK_HEADER: u32 = 0xfff0_0000;
/// A random number (`SKF_AD_OFF + SKF_AD_RANDOM` in linux/filter.h).
const RANDOM: u32 = 0xffff_f000 + 56;
/// A program has at most 4,096 instructions (`BPF_MAXINSNS`), two for each member.
const MOST_MEMBERS: usize = 2_000;
/// The fixed size of the IPv6 header; TCP handshakes carry no extension headers that end up here.
const IPV6_HEADER: u32 = 40;

/// The program for a choice.
#[must_use]
pub fn program(choice: &Choice) -> Vec<sock_filter> {
    let does = |code: u16, k: u32| sock_filter { code, jt: 0, jf: 0, k };
    let if_equal = |k: u32, jt: u8, jf: u8| sock_filter {
        code: JUMP_EQUAL,
        jt,
        jf,
        k,
    };
    let mut program = Vec::new();
    if let Some((port, probed)) = choice.probe {
        program.extend([
            does(LOAD_BYTE, NETWORK_HEADER),
            does(SHIFT_RIGHT, 4),
            if_equal(6, 0, 2),
            does(LOAD_PORT, NETWORK_HEADER + IPV6_HEADER),
            does(JUMP, 5),
            // IPv4: the header's length is the low half of its first byte, in words of four bytes.
            does(LOAD_BYTE, NETWORK_HEADER),
            does(AND, 0xf),
            does(SHIFT_LEFT, 2),
            does(X_FROM_A, 0),
            does(LOAD_PORT_AT_X, NETWORK_HEADER),
            if_equal(u32::from(port), 0, 1),
            does(RETURN, probed),
        ]);
    }
    let (last, others) = choice
        .everybody
        .split_last()
        .map_or((0, &[][..]), |(last, others)| (*last, others));
    if !others.is_empty() {
        let count = u32::try_from(choice.everybody.len()).unwrap_or(u32::MAX);
        program.extend([does(LOAD_WORD, RANDOM), does(MODULO, count)]);
    }
    for (turn, member) in (0..).zip(others.iter().take(MOST_MEMBERS)) {
        program.extend([if_equal(turn, 0, 1), does(RETURN, *member)]);
    }
    program.push(does(RETURN, last));
    program
}

/// Attaches the program to the group that `member` belongs to, in the place of the one before.
pub fn steer(member: BorrowedFd<'_>, choice: Choice) -> io::Result<()> {
    let mut program = program(&choice);
    let length = u16::try_from(program.len()).map_err(io::Error::other)?;
    let argument = libc::sock_fprog {
        len: length,
        filter: program.as_mut_ptr(),
    };
    let size = libc::socklen_t::try_from(size_of::<libc::sock_fprog>()).map_err(io::Error::other)?;
    let option = libc::SO_ATTACH_REUSEPORT_CBPF;
    let attach = || {
        // SAFETY: `argument` names `length` instructions that live until the call returns.
        let set = unsafe {
            libc::setsockopt(
                member.as_raw_fd(),
                libc::SOL_SOCKET,
                option,
                (&raw const argument).cast(),
                size,
            )
        };
        if set == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    };
    match attach() {
        // Memory that is short for a moment must not leave connections with a generation that is about to go.
        Err(error) if error.raw_os_error() == Some(libc::ENOMEM) => attach(),
        attached => attached,
    }
}

/// `SO_DETACH_REUSEPORT_BPF` of asm-generic/socket.h.
const DETACH: i32 = 68;

/// Takes the program from the group that `member` belongs to: the kernel spreads connections over all members.
pub fn detach(member: BorrowedFd<'_>) -> io::Result<()> {
    let unused = 0_i32;
    let size = libc::socklen_t::try_from(size_of::<i32>()).map_err(io::Error::other)?;
    // SAFETY: the value is an int, which is not read.
    let set = unsafe {
        libc::setsockopt(
            member.as_raw_fd(),
            libc::SOL_SOCKET,
            DETACH,
            (&raw const unused).cast(),
            size,
        )
    };
    match set {
        0 => Ok(()),
        _ => match io::Error::last_os_error() {
            // There is none.
            error if error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
            error => Err(error),
        },
    }
}

/// A UDP socket that nobody uses any more takes no datagram from now on. Closing it takes it out of its group first and out of the
/// kernel's table then, and a datagram for which the kernel finds it in between is lost (`udp_lib_unhash` in Linux; tried under load: up
/// to 4 in 100 closes). So it is tied to an interface that does not exist, which the kernel looks at before the group; then 0 in 3,000.
pub fn turn_away(socket: BorrowedFd<'_>) -> io::Result<()> {
    /// `SO_BINDTOIFINDEX` of asm-generic/socket.h, since Linux 5.1.
    const INTERFACE: i32 = 62;
    let nowhere = i32::MAX;
    let size = libc::socklen_t::try_from(size_of::<i32>()).map_err(io::Error::other)?;
    // SAFETY: the value is an int.
    let set = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            INTERFACE,
            (&raw const nowhere).cast(),
            size,
        )
    };
    if set == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Do connections that wait in a socket that is closed go to others of its group (`net.ipv4.tcp_migrate_req`, Linux 5.14)?
#[must_use]
pub fn migrates() -> bool {
    std::fs::read_to_string("/proc/sys/net/ipv4/tcp_migrate_req").is_ok_and(|it| it.trim() == "1")
}

/// How many connections wait in a listener's accept queue (`tcpi_unacked` of TCP_INFO holds it for listeners).
pub fn waiting(listener: BorrowedFd<'_>) -> io::Result<u32> {
    info(listener).map(|info| info.tcpi_unacked)
}

/// Is, or was, the socket one end of a connection?
#[must_use]
pub fn connects(socket: BorrowedFd<'_>) -> bool {
    /// `TCP_CLOSE` and `TCP_LISTEN` of linux/tcp_states.h.
    const UNCONNECTED: [u8; 2] = [7, 10];
    info(socket).is_ok_and(|info| !UNCONNECTED.contains(&info.tcpi_state))
}

fn info(socket: BorrowedFd<'_>) -> io::Result<libc::tcp_info> {
    let mut info = std::mem::MaybeUninit::<libc::tcp_info>::zeroed();
    let mut size = libc::socklen_t::try_from(size_of::<libc::tcp_info>()).map_err(io::Error::other)?;
    // SAFETY: `info` has `size` writable bytes.
    let got = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &raw mut size,
        )
    };
    if got != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: zeroed bytes are a valid tcp_info, and the kernel has written the part that it knows.
    Ok(unsafe { info.assume_init() })
}
