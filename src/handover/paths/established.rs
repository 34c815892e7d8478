//! ASKS the kernel for the connections that were accepted on unix sockets (sock_diag(7), no privilege), and what waits in them. Only looks.

use std::{collections::HashMap, io, os::fd::AsFd};

use netlink_packet_core::{NLMSG_DONE, NLMSG_ERROR, NetlinkBuffer};
use netlink_packet_sock_diag::{
    SOCK_DIAG_BY_FAMILY, SockDiagMessage,
    unix::{ShowFlags, StateFlags, UnixRequest},
};
use netlink_sys::{Socket, protocols::NETLINK_SOCK_DIAG};
use nix::sys::{
    socket::{setsockopt, sockopt},
    time::TimeVal,
};

use crate::handover::census::diag::{as_sent, uninterrupted};

/// A connection that a program has accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Established {
    /// What tells it from any other.
    pub inode: u64,
    /// Bytes that have come and that the program has not read.
    pub unread: u32,
    /// Bytes that the program has written and that the client has not read.
    pub unsent: u32,
}

/// It answers while it is being asked; a system that does not shall not keep segue waiting.
const PATIENCE: TimeVal = TimeVal::new(1, 0);
/// No answer of the kernel's is larger than half of this.
const BUFFER: usize = 64 * 1024;
const SEQUENCE: u32 = 1;
/// `struct unix_diag_msg` of linux/unix_diag.h: the state is its third byte, the inode is at 4; attributes follow.
const STATE: usize = 2;
const INODE: usize = 4;
const ATTRIBUTES: usize = 16;
/// The file that it is bound to, and what waits in it.
const FILE: u16 = 1;
const QUEUES: u16 = 4;
const IS_ESTABLISHED: u8 = 1;
const LISTENS: u8 = 10;

/// What the kernel tells of one socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Row {
    state: u8,
    inode: u32,
    file: Option<(u32, u32)>,
    queues: (u32, u32),
}

/// The connections that were accepted on these listening sockets, by their inodes.
pub fn on(listeners: &[u64]) -> io::Result<Vec<Established>> {
    Ok(sorted(&dump()?, listeners))
}

/// The number of the file that a listening socket, or one that is about to listen, is bound to: the low half of it.
pub fn file_of(inode: u64) -> io::Result<Option<u32>> {
    let row = dump()?.into_iter().find(|it| u64::from(it.inode) == inode);
    Ok(row.and_then(|it| it.file).map(|it| it.0))
}

/// An accepted socket has the file of the one that it was accepted on.
fn sorted(rows: &[Row], listeners: &[u64]) -> Vec<Established> {
    let listening = rows
        .iter()
        .filter(|it| it.state == LISTENS && listeners.contains(&it.inode.into()));
    let files: HashMap<(u32, u32), ()> = listening.filter_map(|it| Some((it.file?, ()))).collect();
    let accepted = rows.iter().filter(|it| it.state == IS_ESTABLISHED && it.inode != 0);
    let own = accepted.filter(|it| it.file.is_some_and(|file| files.contains_key(&file)));
    own.map(|it| Established {
        inode: it.inode.into(),
        unread: it.queues.0,
        unsent: it.queues.1,
    })
    .collect()
}

fn dump() -> io::Result<Vec<Row>> {
    let socket = Socket::new(NETLINK_SOCK_DIAG)?;
    setsockopt(&socket.as_fd(), sockopt::ReceiveTimeout, &PATIENCE)?;
    uninterrupted(|| socket.send(&question(), 0))?;
    let (mut rows, mut buffer) = (Vec::new(), Vec::with_capacity(BUFFER));
    loop {
        buffer.clear();
        uninterrupted(|| socket.recv(&mut buffer, 0))?;
        if read(&buffer, &mut rows)? {
            return Ok(rows);
        }
    }
}

fn question() -> Vec<u8> {
    let request = UnixRequest {
        // All of them: a socket that is bound, and does not listen yet, is in the state that TCP calls closed.
        state_flags: StateFlags::from_bits_retain(u32::MAX),
        inode: 0,
        show_flags: ShowFlags::VFS | ShowFlags::RQLEN,
        cookie: [u8::MAX; 8],
    };
    as_sent(SockDiagMessage::UnixRequest(request), SEQUENCE)
}

/// Adds the sockets of one datagram; `true` if it ends the answer.
fn read(datagram: &[u8], rows: &mut Vec<Row>) -> io::Result<bool> {
    let not_understood = |error| io::Error::new(io::ErrorKind::InvalidData, error);
    if datagram.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let mut rest = datagram;
    while !rest.is_empty() {
        let message = NetlinkBuffer::new_checked(rest).map_err(not_understood)?;
        if message.sequence_number() == SEQUENCE {
            match message.message_type() {
                SOCK_DIAG_BY_FAMILY => rows.push(row(message.payload()).ok_or(io::ErrorKind::InvalidData)?),
                NLMSG_DONE | NLMSG_ERROR => {
                    let number = message.payload().first_chunk().ok_or(io::ErrorKind::UnexpectedEof)?;
                    return match i32::from_ne_bytes(*number) {
                        number if number < 0 => Err(io::Error::from_raw_os_error(number.saturating_neg())),
                        _ => Ok(true),
                    };
                }
                _ => {}
            }
        }
        let length = usize::try_from(message.length()).unwrap_or(usize::MAX);
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(false)
}

fn row(payload: &[u8]) -> Option<Row> {
    let number = |bytes: &[u8], at: usize| Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let mut row = Row {
        state: *payload.get(STATE)?,
        inode: number(payload, INODE)?,
        file: None,
        queues: (0, 0),
    };
    let mut rest = payload.get(ATTRIBUTES..)?;
    // Length (with these four bytes) and kind of each.
    while let Some((head, _)) = rest.split_first_chunk::<4>() {
        let [a, b, c, d] = *head;
        let (length, kind) = (usize::from(u16::from_ne_bytes([a, b])), u16::from_ne_bytes([c, d]));
        let value = rest.get(4..length)?;
        let pair = || Some((number(value, 0)?, number(value, 4)?));
        match kind {
            FILE => row.file = pair(),
            QUEUES => row.queues = pair()?,
            _ => {}
        }
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Some(row)
}

#[cfg(test)]
mod tests {
    use std::{
        io::Write,
        os::{
            fd::AsFd,
            unix::net::{UnixListener, UnixStream},
        },
    };

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn connections_of_one_listener_and_what_waits_in_them() {
        let files = tempfile::tempdir().unwrap();
        let (one, other) = (files.path().join("one"), files.path().join("other"));
        let listeners = [&one, &other].map(|path| UnixListener::bind(path).unwrap());
        let inode = |it: &dyn AsFd| nix::sys::stat::fstat(it.as_fd()).unwrap().st_ino;
        let mut clients = [&one, &one, &other].map(|path| UnixStream::connect(path).unwrap());
        assert_eq!(on(&[inode(&listeners[0])]).unwrap(), [], "nothing is accepted yet");
        let accepted = listeners[0].accept().unwrap().0;
        clients[0].write_all(b"asked").unwrap();
        let told = on(&[inode(&listeners[0])]).unwrap();
        assert_eq!(
            (told.len(), told[0].inode, told[0].unread > 0),
            (1, inode(&accepted), true)
        );
        assert_eq!(on(&[inode(&accepted)]).unwrap(), []);
    }

    proptest! {
        #[test]
        fn any_answer_is_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut rows = Vec::new();
            drop(read(&bytes, &mut rows));
            prop_assert!(bytes.len() >= ATTRIBUTES || row(&bytes).is_none());
        }
    }
}
