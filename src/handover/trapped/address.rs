//! PARSES the address of a bind(2), as the program's memory has it. Pure: bytes in, an address out, whatever the bytes.

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6},
    ops::Range,
};

/// The longest address that bind(2) takes (`struct sockaddr_storage`).
pub const LONGEST: usize = 128;

/// So many bytes tell the port of an address of either family.
pub const PORT_KNOWN: usize = 4;

/// The family of the socket that is bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// `AF_INET`.
    Four,
    /// `AF_INET6`.
    Six,
}

/// Parses `bytes` (as many as the call says the address has): an address with a port. `None` is none of segue's business, or
/// what the kernel will call an error.
#[must_use]
pub fn parse(family: Family, bytes: &[u8]) -> Option<SocketAddr> {
    match family {
        Family::Four => four(bytes),
        Family::Six => six(bytes),
    }
}

/// The port that the first bytes name, if they can be those of an internet address with a port.
#[must_use]
pub fn port_of(bytes: &[u8]) -> Option<u16> {
    let internet = [libc::AF_INET, libc::AF_INET6, libc::AF_UNSPEC];
    family_of(bytes).filter(|family| internet.contains(family))?;
    port(bytes)
}

fn field<const N: usize>(bytes: &[u8], range: Range<usize>) -> Option<[u8; N]> {
    bytes.get(range)?.try_into().ok()
}

fn family_of(bytes: &[u8]) -> Option<i32> {
    Some(u16::from_ne_bytes(field(bytes, 0..2)?).into())
}

/// Port 0 means any port, which is nobody's to hand over.
fn port(bytes: &[u8]) -> Option<u16> {
    Some(u16::from_be_bytes(field(bytes, 2..4)?)).filter(|port| *port != 0)
}

fn four(bytes: &[u8]) -> Option<SocketAddr> {
    let address = Ipv4Addr::from(field::<4>(bytes, 4..8)?);
    let any = address.is_unspecified();
    // Programs that say AF_UNSPEC and mean "any" are older than sockets that are.
    let family = family_of(bytes)?;
    let right = family == libc::AF_INET || (family == libc::AF_UNSPEC && any);
    (right && bytes.len() >= 16).then_some(())?;
    Some(SocketAddrV4::new(address, port(bytes)?).into())
}

fn six(bytes: &[u8]) -> Option<SocketAddr> {
    (family_of(bytes)? == libc::AF_INET6).then_some(())?;
    let address = Ipv6Addr::from(field::<16>(bytes, 8..24)?);
    // RFC 2133 had an address without the scope; only of a link's address does the kernel read it, and of any other a program
    // may leave there what was in its memory.
    let scope = field(bytes, 24..28).filter(|_| address.is_unicast_link_local());
    let scope = scope.map_or(0, u32::from_ne_bytes);
    Some(SocketAddrV6::new(address, port(bytes)?, 0, scope).into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sockaddr(family: i32, rest: &[u8]) -> Vec<u8> {
        let family = u16::try_from(family).unwrap().to_ne_bytes();
        family.iter().chain(rest).copied().collect()
    }

    fn four(family: i32, address: [u8; 4]) -> Option<SocketAddr> {
        let rest: Vec<u8> = [0x1f, 0x90].into_iter().chain(address).chain([0; 8]).collect();
        let bytes = sockaddr(family, &rest);
        assert!(port_of(&bytes).is_none_or(|port| port == 8080));
        parse(Family::Four, &bytes)
    }

    #[test]
    fn version_four() {
        let address = |text: &str| Some(text.parse().unwrap());
        assert_eq!(four(libc::AF_INET, [127, 0, 0, 1]), address("127.0.0.1:8080"));
        assert_eq!(four(libc::AF_UNSPEC, [0; 4]), address("0.0.0.0:8080"));
        assert_eq!(four(libc::AF_UNSPEC, [127, 0, 0, 1]), None);
        assert_eq!(four(libc::AF_INET6, [0; 4]), None);
        let short = sockaddr(libc::AF_INET, &[0x1f, 0x90, 0, 0, 0, 0]);
        assert_eq!(parse(Family::Four, &short), None, "the kernel wants 16 bytes");
    }

    #[test]
    fn version_six_with_and_without_a_scope() {
        let mut rest = vec![0, 80, 0, 0, 0, 0];
        rest.extend([0; 15]);
        rest.push(1);
        let old = sockaddr(libc::AF_INET6, &rest);
        assert_eq!(parse(Family::Six, &old), Some("[::1]:80".parse().unwrap()));
        rest.extend(7_u32.to_ne_bytes());
        let rubbish = sockaddr(libc::AF_INET6, &rest);
        assert_eq!(
            parse(Family::Six, &rubbish),
            parse(Family::Six, &old),
            "it has no scope"
        );
        rest[6..8].copy_from_slice(&[0xfe, 0x80]);
        let Some(SocketAddr::V6(address)) = parse(Family::Six, &sockaddr(libc::AF_INET6, &rest)) else {
            panic!("no address")
        };
        assert_eq!(address.scope_id(), 7);
    }

    #[test]
    fn any_port_no_address_and_other_families_have_no_port() {
        let any_port = sockaddr(libc::AF_INET, &[0; 14]);
        assert_eq!((parse(Family::Four, &any_port), port_of(&any_port)), (None, None));
        assert_eq!((parse(Family::Four, &[]), port_of(&[])), (None, None));
        for family in [libc::AF_NETLINK, libc::AF_UNIX, libc::AF_PACKET] {
            assert_eq!(port_of(&sockaddr(family, &[0x1f, 0x90])), None);
        }
    }

    proptest! {
        #[test]
        fn nothing_panics_and_an_address_has_the_port_of_its_first_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..LONGEST)) {
            for family in [Family::Four, Family::Six] {
                if let Some(address) = parse(family, &bytes) {
                    prop_assert!(address.port() != 0);
                    prop_assert_eq!(port_of(&bytes[..PORT_KNOWN]), Some(address.port()));
                }
            }
        }
    }
}
