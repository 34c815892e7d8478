//! ASKS the kernel for its TCP sockets by netlink (sock_diag(7)), and reads what it answers. An answer that is not
//! understood to the end is an error, never a shorter list.
//!
//! The crate's own type for an answer is not used, only that for its beginning: it copies each attribute, which made a
//! census of 50,000 take a quarter longer, and its type for tcp_info refuses that of kernels before 5.4, which is shorter.

use std::{collections::BTreeSet, io, net::SocketAddr, os::fd::AsFd};

use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR, NetlinkBuffer, NetlinkHeader, NetlinkMessage, Parseable,
};
use netlink_packet_sock_diag::{
    AF_INET, AF_INET6, IPPROTO_TCP, SOCK_DIAG_BY_FAMILY, SockDiagMessage,
    inet::{ExtensionFlags, InetRequest, InetResponseHeader, SocketId, StateFlags},
};
use netlink_sys::{Socket, protocols::NETLINK_SOCK_DIAG};
use nix::sys::{
    socket::{setsockopt, sockopt},
    time::TimeVal,
};

use super::{TcpState, row::Row, tcp_info::traffic};

/// The kernel looks through its whole table for each dump, which takes as long as telling some thousand sockets: for more
/// ports than these it may as well tell all.
const FEW: usize = 2;
/// It answers while it is being asked; a system that does not shall not keep segue waiting.
const PATIENCE: TimeVal = TimeVal::new(1, 0);
/// No answer of the kernel's is larger than half of this.
const BUFFER: usize = 64 * 1024;
/// What of an answer comes before its attributes (`struct inet_diag_msg`).
const ATTRIBUTES: usize = 72;

pub(super) fn connections(ports: &BTreeSet<u16>) -> io::Result<Vec<Row>> {
    to_ports(ports, &connection_states(), &ExtensionFlags::INFO)
}

fn connection_states() -> StateFlags {
    StateFlags::ESTABLISHED
        | StateFlags::SYN_RECV
        | StateFlags::FIN_WAIT1
        | StateFlags::FIN_WAIT2
        | StateFlags::CLOSE_WAIT
        | StateFlags::CLOSING
        | StateFlags::LAST_ACK
}

pub(super) fn half_open(ports: &BTreeSet<u16>) -> io::Result<Vec<Row>> {
    to_ports(ports, &StateFlags::SYN_RECV, &ExtensionFlags::empty())
}

pub(super) fn listeners() -> io::Result<Vec<Row>> {
    dump(&[0], &StateFlags::LISTEN, &ExtensionFlags::empty())
}

fn each(ports: &BTreeSet<u16>) -> Vec<u16> {
    if ports.len() <= FEW {
        ports.iter().copied().collect()
    } else {
        vec![0]
    }
}

fn to_ports(ports: &BTreeSet<u16>, states: &StateFlags, extensions: &ExtensionFlags) -> io::Result<Vec<Row>> {
    let mut rows = dump(&each(ports), states, extensions)?;
    rows.retain(|row| ports.contains(&row.local.port()));
    Ok(rows)
}

/// One dump per port and family; port 0 is every port.
fn dump(ports: &[u16], states: &StateFlags, extensions: &ExtensionFlags) -> io::Result<Vec<Row>> {
    let mut dump = Dump::new(ports, states, extensions)?;
    while !dump.step()? {}
    Ok(dump.rows)
}

/// An answer that is read a datagram at a time.
#[derive(Debug)]
pub(super) struct Dump {
    socket: Socket,
    questions: std::vec::IntoIter<(u32, Vec<u8>)>,
    /// The question whose answer is being read.
    asked: Option<u32>,
    buffer: Vec<u8>,
    rows: Vec<Row>,
}

impl Dump {
    /// All connections, to ports that are sorted out afterwards.
    pub(super) fn connections(ports: &BTreeSet<u16>) -> io::Result<Dump> {
        Dump::new(&each(ports), &connection_states(), &ExtensionFlags::INFO)
    }

    fn new(ports: &[u16], states: &StateFlags, extensions: &ExtensionFlags) -> io::Result<Dump> {
        let socket = Socket::new(NETLINK_SOCK_DIAG)?;
        setsockopt(&socket.as_fd(), sockopt::ReceiveTimeout, &PATIENCE)?;
        let families = [SocketId::new_v4(), SocketId::new_v6()];
        let ids = ports.iter().flat_map(|port| {
            families.iter().map(|family| SocketId {
                source_port: *port,
                ..family.clone()
            })
        });
        let questions = (1..)
            .zip(ids)
            .map(|(sequence, id)| (sequence, question(sequence, id, states, extensions)));
        Ok(Dump {
            socket,
            questions: questions.collect::<Vec<_>>().into_iter(),
            asked: None,
            buffer: Vec::with_capacity(BUFFER),
            rows: Vec::new(),
        })
    }

    /// Asks, or reads a datagram; `true` when all is told.
    pub(super) fn step(&mut self) -> io::Result<bool> {
        let Some(sequence) = self.asked else {
            let Some((sequence, question)) = self.questions.next() else {
                return Ok(true);
            };
            uninterrupted(|| self.socket.send(&question, 0))?;
            self.asked = Some(sequence);
            return Ok(false);
        };
        self.buffer.clear();
        uninterrupted(|| self.socket.recv(&mut self.buffer, 0))?;
        if read(&self.buffer, sequence, &mut self.rows)? {
            self.asked = None;
        }
        Ok(false)
    }

    /// What was told of these ports.
    pub(super) fn into_rows(mut self, ports: &BTreeSet<u16>) -> Vec<Row> {
        self.rows.retain(|row| ports.contains(&row.local.port()));
        self.rows
    }
}

fn question(sequence: u32, socket_id: SocketId, states: &StateFlags, extensions: &ExtensionFlags) -> Vec<u8> {
    let request = InetRequest {
        family: if socket_id.source_address.is_ipv4() {
            AF_INET
        } else {
            AF_INET6
        },
        protocol: IPPROTO_TCP,
        extensions: extensions.clone(),
        states: states.clone(),
        socket_id,
    };
    as_sent(SockDiagMessage::InetRequest(request), sequence)
}

/// A question for all sockets of a kind, as it is sent.
pub(in crate::handover) fn as_sent(question: SockDiagMessage, sequence: u32) -> Vec<u8> {
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    header.sequence_number = sequence;
    let mut message = NetlinkMessage::new(header, question.into());
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

/// Calls once more where a signal has ended the call.
pub(in crate::handover) fn uninterrupted(mut call: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

/// Adds the sockets of one datagram; `true` if it ends the answer. A dump during which the kernel's table has changed
/// (NLM_F_DUMP_INTR) is as good as any: connections come and go all the time.
pub(super) fn read(datagram: &[u8], sequence: u32, rows: &mut Vec<Row>) -> io::Result<bool> {
    if datagram.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let mut rest = datagram;
    while !rest.is_empty() {
        let message = NetlinkBuffer::new_checked(rest).map_err(not_understood)?;
        if message.sequence_number() == sequence {
            match message.message_type() {
                SOCK_DIAG_BY_FAMILY => rows.extend(row(message.payload())?),
                NLMSG_DONE | NLMSG_ERROR => return end(message.payload()),
                _ => {}
            }
        }
        let length = usize::try_from(message.length()).map_err(not_understood)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(false)
}

/// Both begin with a number, 0 or an error's, negative.
fn end(payload: &[u8]) -> io::Result<bool> {
    let number = payload.first_chunk().ok_or(io::ErrorKind::UnexpectedEof)?;
    match i32::from_ne_bytes(*number) {
        number if number < 0 => Err(io::Error::from_raw_os_error(number.saturating_neg())),
        _ => Ok(true),
    }
}

/// `None` if it is in a state that does not matter.
fn row(payload: &[u8]) -> io::Result<Option<Row>> {
    let header = InetResponseHeader::parse(payload).map_err(not_understood)?;
    let Some(state) = TcpState::from_number(header.state) else {
        return Ok(None);
    };
    let id = header.socket_id;
    Ok(Some(Row {
        cookie: u64::from_ne_bytes(id.cookie),
        local: SocketAddr::new(id.source_address.to_canonical(), id.source_port),
        remote: SocketAddr::new(id.destination_address.to_canonical(), id.destination_port),
        inode: header.inode.into(),
        state,
        incoming: header.recv_queue,
        outgoing: Some(header.send_queue),
        traffic: traffic(payload.get(ATTRIBUTES..).unwrap_or_default())?,
    }))
}

pub(super) fn not_understood(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests {
    use std::{io, time::Duration};

    use netlink_packet_core::{NLMSG_DONE, NLMSG_ERROR, NetlinkHeader, NetlinkMessage};
    use netlink_packet_sock_diag::{
        AF_INET6, SockDiagMessage,
        inet::{InetResponse, InetResponseHeader, SocketId, nlas::Nla},
    };
    use proptest::prelude::*;

    use super::{super::Traffic, Row, TcpState, read};

    const SEQUENCE: u32 = 3;

    /// An answer about one socket, with a tcp_info of that many bytes.
    fn told(state: u8, info: usize) -> Vec<u8> {
        let mut info = vec![0; info];
        for (at, value) in [(44, 7_u32), (52, 5), (56, 6), (152, 3), (156, 4)] {
            if let Some(place) = info.get_mut(at..at + 4) {
                place.copy_from_slice(&value.to_ne_bytes());
            }
        }
        let header = InetResponseHeader {
            family: AF_INET6,
            state,
            timer: None,
            socket_id: SocketId {
                source_port: 80,
                destination_port: 40_000,
                source_address: "::ffff:127.0.0.1".parse().unwrap(),
                destination_address: "::1".parse().unwrap(),
                interface_id: 0,
                cookie: 77_u64.to_ne_bytes(),
            },
            recv_queue: 1,
            send_queue: 2,
            uid: 0,
            inode: 4711,
        };
        let nlas = [Nla::Shutdown(0), Nla::TcpInfo(info), Nla::SkV6Only(false)];
        let response = InetResponse {
            header,
            nlas: nlas.into_iter().collect(),
        };
        let mut header = NetlinkHeader::default();
        header.sequence_number = SEQUENCE;
        let message = SockDiagMessage::InetResponse(Box::new(response));
        let mut message = NetlinkMessage::new(header, message.into());
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        bytes
    }

    fn last(kind: u16, number: i32) -> Vec<u8> {
        let parts: [&[u8]; 6] = [
            &20_u32.to_ne_bytes(),
            &kind.to_ne_bytes(),
            &[0, 0],
            &SEQUENCE.to_ne_bytes(),
            &[0; 4],
            &number.to_ne_bytes(),
        ];
        parts.concat()
    }

    fn rows(datagram: &[u8]) -> io::Result<(Vec<Row>, bool)> {
        let mut rows = Vec::new();
        read(datagram, SEQUENCE, &mut rows).map(|is_done| (rows, is_done))
    }

    #[test]
    fn an_answer() {
        let answer = [told(1, 232), told(6, 232), told(8, 104), last(NLMSG_DONE, 0)].concat();
        let (told, is_done) = rows(&answer).unwrap();
        assert!(is_done);
        let established = Row {
            cookie: 77,
            local: "127.0.0.1:80".parse().unwrap(),
            remote: "[::1]:40000".parse().unwrap(),
            inode: 4711,
            state: TcpState::Established,
            incoming: 1,
            outgoing: Some(2),
            traffic: Some(Traffic {
                quiet_in: Duration::from_millis(5),
                quiet_out: Duration::from_millis(7),
                confirmed: Duration::from_millis(6),
                segments: Some((3, 4)),
            }),
        };
        let closing = Row {
            state: TcpState::CloseWait,
            traffic: established.traffic.map(|it| Traffic { segments: None, ..it }),
            ..established.clone()
        };
        assert_eq!(
            told,
            [established, closing],
            "TIME_WAIT is over, and an older kernel's tcp_info is shorter"
        );
    }

    #[test]
    fn an_answer_goes_on_and_may_be_somebody_else_s() {
        assert_eq!(
            rows(&told(1, 50)).unwrap().0[0].traffic,
            None,
            "too short to tell times"
        );
        assert!(!rows(&told(1, 232)).unwrap().1, "no end yet");
        let mut rows = Vec::new();
        let other = [told(1, 232), last(NLMSG_DONE, 0)].concat();
        assert!(!read(&other, SEQUENCE + 1, &mut rows).unwrap());
        assert_eq!(rows, []);
    }

    #[test]
    fn a_refusal() {
        for kind in [NLMSG_ERROR, NLMSG_DONE] {
            let error = rows(&last(kind, -libc::ENOENT)).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::ENOENT));
        }
        assert!(rows(&last(NLMSG_ERROR, i32::MIN)).is_err());
        let mut short = last(NLMSG_DONE, 0)[..18].to_vec();
        short[..4].copy_from_slice(&18_u32.to_ne_bytes());
        assert!(rows(&short).is_err(), "an end that does not say whether it went well");
        assert!(rows(&[]).is_err());
    }

    #[test]
    fn a_part_of_an_answer_is_an_error() {
        let answer = told(1, 232);
        for length in 0..answer.len() {
            assert!(rows(&answer[..length]).is_err(), "{length} of {}", answer.len());
        }
        let mut short = answer[..60].to_vec();
        short[..4].copy_from_slice(&60_u32.to_ne_bytes());
        assert!(rows(&short).is_err(), "whole by its own account, but no socket");
    }

    proptest! {
        #[test]
        fn nothing_is_too_odd(datagram in prop::collection::vec(any::<u8>(), 0..600)) {
            let told = rows(&datagram);
            prop_assert!(told.is_err() || !datagram.is_empty());
        }

        /// Right in all but some bytes, which reaches further in.
        #[test]
        fn nothing_nearly_right_is_too_odd(changes in prop::collection::vec((0_usize..700, any::<u8>()), 1..8)) {
            let mut answer = [told(1, 232), told(8, 104), last(NLMSG_DONE, 0)].concat();
            for (at, value) in changes {
                if let Some(byte) = answer.get_mut(at) {
                    *byte = value;
                }
            }
            prop_assert!(rows(&answer).is_err() || rows(&answer).is_ok_and(|told| told.0.len() <= 2));
        }
    }
}
