//! READS /proc/net/tcp and tcp6 (proc(5)) where the kernel cannot be asked by netlink. A line that is not understood is
//! left out.

use std::{
    collections::BTreeSet,
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use super::{TcpState, row::Row};

pub(super) fn connections(ports: &BTreeSet<u16>) -> io::Result<Vec<Row>> {
    rows(|row| row.state != TcpState::Listening && ports.contains(&row.local.port()))
}

pub(super) fn half_open(ports: &BTreeSet<u16>) -> io::Result<Vec<Row>> {
    rows(|row| row.state == TcpState::HalfOpen && ports.contains(&row.local.port()))
}

pub(super) fn listeners() -> io::Result<Vec<Row>> {
    rows(|row| row.state == TcpState::Listening)
}

fn rows(wanted: impl Fn(&Row) -> bool) -> io::Result<Vec<Row>> {
    let mut tables = fs::read_to_string("/proc/net/tcp")?;
    match fs::read_to_string("/proc/net/tcp6") {
        Ok(table) => tables.push_str(&table),
        // A kernel without IPv6 has none.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    Ok(parse(&tables).filter(wanted).collect())
}

pub(super) fn parse(text: &str) -> impl Iterator<Item = Row> {
    text.lines().filter_map(row)
}

/// `None` for the headings, and for what is in a state that does not matter.
fn row(line: &str) -> Option<Row> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let (local, remote) = (fields.next()?, fields.next()?);
    let state = TcpState::from_number(u8::from_str_radix(fields.next()?, 16).ok()?)?;
    let (outgoing, incoming) = fields.next()?.split_once(':')?;
    // In between: tr:tm->when, retrnsmt, uid, timeout.
    let inode = fields.nth(4)?.parse().ok()?;
    // IPv4 as such, also where it came to a dual-stack socket.
    let canonical = |it: SocketAddr| SocketAddr::new(it.ip().to_canonical(), it.port());
    let (local, remote) = (canonical(address(local)?), canonical(address(remote)?));
    let outgoing = u32::from_str_radix(outgoing, 16).ok()?;
    Some(Row {
        cookie: name(local, remote),
        local,
        remote,
        inode,
        state,
        incoming: u32::from_str_radix(incoming, 16).ok()?,
        // The backlog of a listener is always told as 0.
        outgoing: (state != TcpState::Listening).then_some(outgoing),
        traffic: None,
    })
}

/// Eight hexadecimal digits are four bytes of an address, as a number of this machine's.
pub(in crate::handover) fn address(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let word = |at: usize| {
        let digits = address.get(at * 8..at * 8 + 8)?;
        u32::from_str_radix(digits, 16).ok().map(u32::to_ne_bytes)
    };
    let ip: IpAddr = match address.len() {
        8 => Ipv4Addr::from(word(0)?).into(),
        32 => {
            let words = [word(0)?, word(1)?, word(2)?, word(3)?];
            let bytes: [u8; 16] = words.as_flattened().try_into().ok()?;
            Ipv6Addr::from(bytes).into()
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
}

fn name(local: SocketAddr, remote: SocketAddr) -> u64 {
    let mut hasher = DefaultHasher::new();
    (local, remote).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{TcpState, row};

    const HEADING: &str =
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode";

    #[test]
    #[cfg(target_endian = "little")]
    fn lines_of_the_kernel_s() {
        let told = |line: &str| {
            let row = row(line).unwrap();
            let addresses = (row.local.to_string(), row.remote.to_string());
            (addresses, row.state, row.inode, row.incoming, row.outgoing)
        };
        let (four, mapped, listens) = (
            "   1: 0100007F:1F90 0200007F:9C40 01 00000010:00000005 01:00000019 00000000     0        0 4712 2 0 20 4 30 10 -1",
            "   2: 0000000000000000FFFF00000100007F:1F90 0000000000000000FFFF00000200007F:9C40 08 00000000:00000001 00:00000000 00000000  1000        0 4713 1 0 20 4 30 10 -1",
            "   3: 00000000000000000000000001000000:1F90 00000000000000000000000000000000:0000 0A 00000000:00000003 00:00000000 00000000     0        0 4714 1 0 100 0 0 10 0",
        );
        let pair = |local: &str, remote: &str| (local.to_owned(), remote.to_owned());
        let both = pair("127.0.0.1:8080", "127.0.0.2:40000");
        assert_eq!(told(four), (both.clone(), TcpState::Established, 4712, 5, Some(16)));
        assert_eq!(told(mapped), (both, TcpState::CloseWait, 4713, 1, Some(0)));
        let bound = pair("[::1]:8080", "[::]:0");
        assert_eq!(told(listens), (bound, TcpState::Listening, 4714, 3, None));
        assert_eq!(row(HEADING), None);
        let over = four.replace(" 01 ", " 06 ");
        assert_eq!(row(&over), None, "TIME_WAIT");
        assert_ne!(
            row(four).unwrap().cookie,
            row(mapped.replace("9C40", "9C41").as_str()).unwrap().cookie
        );
    }

    proptest! {
        #[test]
        fn no_line_is_too_odd(line in ".*", end in 0_usize..=48) {
            prop_assert!(row(&line).is_none_or(|row| row.traffic.is_none()));
            let line = format!("1: 0100007F:1F90 0200007F:9C40 01 0:0 0:0 0 0 0 4712 {line}");
            prop_assert!(row(&line).is_some());
            prop_assert!(row(&line[..end]).is_none());
        }
    }
}
