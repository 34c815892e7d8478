//! READS the kernel's tables of UDP sockets (/proc/net/udp and udp6, proc(5)): which are there, bound to what. A line that is not
//! understood is left out. Only looks.

use std::{fs, io, net::SocketAddr};

use crate::handover::{census::table::address, listener::Place};

/// A UDP socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// What it is bound to.
    pub local: SocketAddr,
    /// Does it take datagrams of one sender only?
    pub connected: bool,
    /// What tells it from others; 0 if no file is left of it.
    pub inode: u64,
}

impl Row {
    /// Is it bound to this very address? (The tables do not tell interfaces.)
    #[must_use]
    pub fn is_at(&self, place: &Place) -> bool {
        (self.local.ip(), self.local.port()) == (place.address.ip(), place.address.port())
    }
}

/// All of them, of segue's network namespace.
pub fn read() -> io::Result<Vec<Row>> {
    let mut rows: Vec<Row> = parse(&fs::read_to_string("/proc/self/net/udp")?).collect();
    match fs::read_to_string("/proc/self/net/udp6") {
        Ok(table) => rows.extend(parse(&table)),
        // A kernel without IPv6 has none.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    Ok(rows)
}

/// What the lines of a table tell.
pub fn parse(text: &str) -> impl Iterator<Item = Row> {
    text.lines().filter_map(row)
}

/// `None` for the headings.
fn row(line: &str) -> Option<Row> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let (local, remote) = (address(fields.next()?)?, address(fields.next()?)?);
    // In between: st, tx_queue:rx_queue, tr:tm->when, retrnsmt, uid, timeout.
    let inode = fields.nth(6)?.parse().ok()?;
    let connected = remote.port() != 0;
    Some(Row {
        local,
        connected,
        inode,
    })
}

#[cfg(test)]
mod tests {
    use std::{net::UdpSocket, os::fd::OwnedFd};

    use proptest::prelude::*;

    use super::*;

    const HEADING: &str = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops";

    #[test]
    #[cfg(target_endian = "little")]
    fn lines_of_the_kernel_s() {
        let four = " 3340: 0100007F:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000   101        0 5511 2 0000000000000000 0";
        let six = " 3340: 00000000000000000000000001000000:0035 00000000000000000000000001000000:A000 01 00000000:00000000 00:00000000 00000000     0        0 5512 2 0000000000000000 0";
        let told = |line: &str| row(line).map(|it| (it.local.to_string(), it.connected, it.inode));
        assert_eq!(told(four), Some(("127.0.0.1:53".into(), false, 5511)));
        assert_eq!(told(six), Some(("[::1]:53".into(), true, 5512)));
        assert_eq!(row(HEADING), None);
    }

    #[test]
    fn a_socket_of_this_process() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let local = socket.local_addr().unwrap();
        let inode = nix::sys::stat::fstat(OwnedFd::from(socket.try_clone().unwrap()))
            .unwrap()
            .st_ino;
        let seen = |connected| {
            read().unwrap().contains(&Row {
                local,
                connected,
                inode,
            })
        };
        assert!(seen(false));
        socket.connect(local).unwrap();
        assert!(seen(true) && !seen(false));
    }

    proptest! {
        #[test]
        fn no_line_is_too_odd(line in ".*") {
            let _ = row(&line);
            let line = format!("1: 0100007F:0035 00000000:0000 07 0:0 0:0 0 0 0 4712 {line}");
            prop_assert!(row(&line).is_some_and(|row| row.inode == 4712));
        }
    }
}
