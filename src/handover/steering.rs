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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choice {
    /// The member that gets everybody.
    pub everybody: u32,
    /// The source port whose connections go to another member, and its number.
    pub probe: Option<(u16, u32)>,
}

const LOAD_BYTE: u16 = (libc::BPF_LD | libc::BPF_B | libc::BPF_ABS) as u16;
const LOAD_PORT: u16 = (libc::BPF_LD | libc::BPF_H | libc::BPF_ABS) as u16;
const LOAD_PORT_AT_X: u16 = (libc::BPF_LD | libc::BPF_H | libc::BPF_IND) as u16;
const X_FROM_A: u16 = (libc::BPF_MISC | libc::BPF_TAX) as u16;
const AND: u16 = (libc::BPF_ALU | libc::BPF_AND | libc::BPF_K) as u16;
const SHIFT_LEFT: u16 = (libc::BPF_ALU | libc::BPF_LSH | libc::BPF_K) as u16;
const SHIFT_RIGHT: u16 = (libc::BPF_ALU | libc::BPF_RSH | libc::BPF_K) as u16;
const JUMP_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
const JUMP: u16 = (libc::BPF_JMP | libc::BPF_JA) as u16;
const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;

/// Offsets from here on count from the network header (`SKF_NET_OFF` in linux/filter.h).
const NETWORK_HEADER: u32 = 0xfff0_0000;
/// The fixed size of the IPv6 header; TCP handshakes carry no extension headers that end up here.
const IPV6_HEADER: u32 = 40;

/// The program for a choice.
#[must_use]
pub fn program(choice: Choice) -> Vec<sock_filter> {
    let does = |code: u16, k: u32| sock_filter { code, jt: 0, jf: 0, k };
    let if_equal = |k: u32, jt: u8, jf: u8| sock_filter {
        code: JUMP_EQUAL,
        jt,
        jf,
        k,
    };
    let Some((port, probed)) = choice.probe else {
        return vec![does(RETURN, choice.everybody)];
    };
    vec![
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
        does(RETURN, choice.everybody),
    ]
}

/// Attaches the program to the group that `member` belongs to, in the place of the one before.
pub fn steer(member: BorrowedFd<'_>, choice: Choice) -> io::Result<()> {
    let mut program = program(choice);
    let length = u16::try_from(program.len()).map_err(io::Error::other)?;
    let argument = libc::sock_fprog {
        len: length,
        filter: program.as_mut_ptr(),
    };
    let size = libc::socklen_t::try_from(size_of::<libc::sock_fprog>()).map_err(io::Error::other)?;
    let option = libc::SO_ATTACH_REUSEPORT_CBPF;
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
}

/// How many connections wait in a listener's accept queue (`tcpi_unacked` of TCP_INFO holds it for listeners).
pub fn waiting(listener: BorrowedFd<'_>) -> io::Result<u32> {
    let mut info = std::mem::MaybeUninit::<libc::tcp_info>::zeroed();
    let mut size = libc::socklen_t::try_from(size_of::<libc::tcp_info>()).map_err(io::Error::other)?;
    // SAFETY: `info` has `size` writable bytes.
    let got = unsafe {
        libc::getsockopt(
            listener.as_raw_fd(),
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
    Ok(unsafe { info.assume_init() }.tcpi_unacked)
}
