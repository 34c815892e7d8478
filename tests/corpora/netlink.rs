//! What holds for every datagram that might come as the kernel's answer about its sockets.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr, SocketAddr},
};

use segue::handover::census::told_by_datagram;

const SEQUENCE: u32 = 3;

/// `struct nlmsghdr`, and `struct inet_diag_msg`.
const HEADER: usize = 16;
const SOCKET: usize = 72;

/// What is told of a connection: its two ends, its inode, and whether bytes wait.
type Told = (SocketAddr, SocketAddr, u64, (bool, bool));

/// An answer is understood to the end, as this file reads it too, or not at all; and one that is well-formed is.
pub fn check(bytes: &[u8]) {
    let told = told_by_datagram(bytes, SEQUENCE);
    let read = read(bytes);
    match (&told, &read) {
        (Ok((census, is_end)), Some(read)) => {
            assert_eq!(*is_end, read.is_end);
            assert_eq!(census.connections.len(), read.connections.len());
            for it in &census.connections {
                let own = (it.local, it.remote, it.inode, (it.unread > 0, it.unsent > 0));
                assert!(read.connections[&it.cookie].contains(&own), "{it:?}");
            }
            assert!(census.half_open.len() <= read.half_open);
        }
        (Ok(_), None) => panic!("what is no answer was taken for one"),
        (Err(error), Some(read)) => assert!(!read.is_plain, "{error}"),
        (Err(_), None) => {}
    }
    // A part of it is never a shorter answer, unless it ends where a message does.
    if told.is_ok_and(|it| !it.1) {
        let cut = bytes
            .iter()
            .fold(7_usize, |sum, byte| sum.wrapping_mul(31) + usize::from(*byte))
            % bytes.len();
        assert_eq!(
            told_by_datagram(&bytes[..cut], SEQUENCE).is_ok(),
            ends(bytes).contains(&cut),
            "{cut}"
        );
    }
}

#[derive(Default)]
struct Read {
    /// By cookie: a socket may be told twice.
    connections: BTreeMap<u64, Vec<Told>>,
    half_open: usize,
    is_end: bool,
    /// Nothing in it is odd: no attributes, families and timers that there are, no refusal.
    is_plain: bool,
}

fn number<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().unwrap()
}

/// Where a message begins after one that is there in full, its padding aside.
fn ends(mut bytes: &[u8]) -> Vec<usize> {
    let (mut ends, mut at) = (Vec::new(), 0);
    while bytes.len() >= HEADER {
        let length = usize::try_from(u32::from_ne_bytes(number(bytes, 0))).unwrap();
        let padded = length.next_multiple_of(4).min(bytes.len()).max(HEADER);
        ends.extend((at + length..=at + padded).collect::<Vec<_>>());
        at += padded;
        bytes = &bytes[padded..];
    }
    ends
}

/// `None`: it is no answer.
fn read(mut rest: &[u8]) -> Option<Read> {
    if rest.is_empty() {
        return None;
    }
    let mut read = Read {
        is_plain: true,
        ..Read::default()
    };
    while !rest.is_empty() {
        let header: [u8; HEADER] = rest.get(..HEADER)?.try_into().unwrap();
        let length = usize::try_from(u32::from_ne_bytes(number(&header, 0))).unwrap();
        let message = rest.get(HEADER..length)?;
        if u32::from_ne_bytes(number(&header, 8)) == SEQUENCE {
            match u16::from_ne_bytes(number(&header, 4)) {
                20 => socket(message, &mut read)?,
                2 | 3 => {
                    let code = i32::from_ne_bytes(*message.first_chunk()?);
                    read.is_end = true;
                    read.is_plain &= code == 0;
                    return (code >= 0).then_some(read);
                }
                _ => {}
            }
        }
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Some(read)
}

fn socket(message: &[u8], read: &mut Read) -> Option<()> {
    let told: [u8; SOCKET] = message.get(..SOCKET)?.try_into().unwrap();
    let [family, state, timer, ..] = told;
    read.is_plain &= message.len() == SOCKET && [2, 10].contains(&family) && timer <= 4;
    let end = |port: usize, address: usize| {
        let ip = match family {
            2 => IpAddr::from(number::<4>(&told, address)),
            _ => Ipv6Addr::from(number::<16>(&told, address)).to_canonical(),
        };
        SocketAddr::new(ip, u16::from_be_bytes(number(&told, port)))
    };
    let counted = |at: usize| u32::from_ne_bytes(number(&told, at));
    let inode = counted(68);
    let (end_in, end_out) = match state {
        3 => {
            read.half_open += 1;
            return Some(());
        }
        1 => (0, 0),
        8 => (1, 0),
        4 if inode > 0 => (0, 1),
        5 if inode > 0 => (0, 0),
        9 | 11 if inode > 0 => (1, 1),
        _ => return Some(()),
    };
    let waits = (counted(56) > end_in, counted(60) > end_out);
    let connection = (end(4, 8), end(6, 24), inode.into(), waits);
    let cookie = u64::from_ne_bytes(number(&told, 44));
    read.connections.entry(cookie).or_default().push(connection);
    Some(())
}
