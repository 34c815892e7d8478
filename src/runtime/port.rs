//! FINDS a port of the loopback for a generation's program to listen on. It is free when it is looked at, and nobody gets it by
//! chance afterwards.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    ops::RangeInclusive,
    os::fd::{AsRawFd, OwnedFd},
};

use nix::{
    errno::Errno,
    sys::socket::{AddressFamily, SockFlag, SockType, SockaddrStorage, UnixAddr, bind, setsockopt, socket, sockopt},
};

/// What Linux does if nobody has said otherwise.
const USUAL: RangeInclusive<u16> = 32_768..=60_999;
/// Fewer ports than this are not enough to be alone.
const ENOUGH: u16 = 256;
/// The first port that needs no privilege, wherever that begins: those below 1024 are known names.
const FIRST: u16 = 1_024;

/// A port that was free when it was looked at, and that no other segue on this network gives to its program: the claim is an
/// abstract name, of which there is one per network, and which leaves with whoever holds it.
#[derive(Debug)]
pub(super) struct Port {
    pub(super) number: u16,
    _claim: OwnedFd,
}

/// One, if any is left.
pub(super) fn free() -> Option<Port> {
    let setting = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range");
    let clients = setting.ok().and_then(|it| parse(&it)).unwrap_or(USUAL);
    let range = candidates(&clients);
    let count = u32::from(range.end() - range.start()) + 1;
    let first = fastrand::u32(..count);
    let nth = |index: u32| u16::try_from(u32::from(*range.start()) + (first + index) % count).ok();
    (0..count).filter_map(nth).find_map(|number| {
        let claim = claim(number).ok()?;
        is_free(number).then_some(Port { number, _claim: claim })
    })
}

/// Ports that the kernel gives to nobody who does not ask for them. From those that it gives to clients, any process could
/// have been given ours between this look and the program's bind. Those above are known by fewer names than those below.
fn candidates(clients: &RangeInclusive<u16>) -> RangeInclusive<u16> {
    let above = clients.end().saturating_add(1)..=u16::MAX;
    let below = FIRST..=clients.start().saturating_sub(1);
    let enough = |it: &RangeInclusive<u16>| it.end().saturating_sub(*it.start()) >= ENOUGH;
    match (*clients.end() < u16::MAX && enough(&above), enough(&below)) {
        (true, _) => above,
        (false, true) => below,
        // Clients may have any: then this is no worse.
        (false, false) => FIRST..=u16::MAX,
    }
}

fn claim(number: u16) -> nix::Result<OwnedFd> {
    let socket = socket(AddressFamily::Unix, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    let name = UnixAddr::new_abstract(format!("segue-port-{number}").as_bytes())?;
    bind(socket.as_raw_fd(), &name)?;
    Ok(socket)
}

fn parse(text: &str) -> Option<RangeInclusive<u16>> {
    let mut numbers = text.split_whitespace().map(str::parse);
    Some(numbers.next()?.ok()?..=numbers.next()?.ok()?)
}

/// Can it be bound wherever the program may bind it? Without the options that would let us share it.
fn is_free(port: u16) -> bool {
    let everywhere: [IpAddr; 4] = [
        Ipv4Addr::LOCALHOST.into(),
        Ipv6Addr::LOCALHOST.into(),
        Ipv4Addr::UNSPECIFIED.into(),
        Ipv6Addr::UNSPECIFIED.into(),
    ];
    everywhere.into_iter().all(|ip| match try_bind((ip, port).into()) {
        Ok(()) => true,
        // A host without IPv6.
        Err(Errno::EAFNOSUPPORT | Errno::EADDRNOTAVAIL) => ip.is_ipv6(),
        Err(_) => false,
    })
}

/// Binds it for a moment; nobody can connect to what does not listen.
fn try_bind(address: SocketAddr) -> nix::Result<()> {
    let family = if address.is_ipv4() {
        AddressFamily::Inet
    } else {
        AddressFamily::Inet6
    };
    let socket = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    if address.is_ipv6() {
        setsockopt(&socket, sockopt::Ipv6V6Only, &true)?;
    }
    bind(socket.as_raw_fd(), &SockaddrStorage::from(address))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::{USUAL, candidates, free, is_free, parse};

    #[test]
    fn the_port_is_nobodys_by_chance() {
        assert_eq!(candidates(&USUAL), 61_000..=65_535);
        assert_eq!(candidates(&(32_768..=65_535)), 1_024..=32_767);
        assert_eq!(candidates(&(32_768..=65_500)), 1_024..=32_767);
        assert_eq!(candidates(&(1_024..=65_535)), 1_024..=65_535);
        assert_eq!(parse("32768\t60999\n"), Some(USUAL));
        assert_eq!(parse("1"), None);
    }

    #[test]
    fn the_port_is_free() {
        let port = free().unwrap();
        let first = port.number;
        assert!(super::claim(first).is_err(), "it is claimed");
        for address in ["127.0.0.1", "0.0.0.0", "::1", "::"] {
            let Ok(listener) = TcpListener::bind((address, first)) else {
                continue;
            };
            assert!(!is_free(first), "{address}");
            drop(listener);
        }
        drop(port);
        super::claim(first).unwrap();
    }
}
