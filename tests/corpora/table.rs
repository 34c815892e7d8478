//! What holds for every text that might be /proc/net/tcp or tcp6.

use segue::handover::census::{TcpState, told_by_table};

/// A line is understood or left out, whatever the others are; none tells more than one socket.
pub fn check(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (census, listeners) = told_by_table(&text);
    let told = census.connections.len() + listeners.len() + census.half_open.len();
    assert!(told <= text.lines().count());
    assert!(!census.tells_idle);
    for connection in &census.connections {
        assert_ne!(connection.state, TcpState::Listening);
        assert!(connection.traffic.is_none() && connection.is_busy(std::time::Duration::ZERO));
    }
    for listener in &listeners {
        assert_eq!(listener.backlog, None);
    }
    // Line by line it is the same, except that who is told twice counts once.
    let each: Vec<_> = text.lines().map(told_by_table).collect();
    assert_eq!(each.iter().map(|it| it.1.len()).sum::<usize>(), listeners.len());
    for (one, _) in each {
        for connection in one.connections {
            assert!(census.connections.iter().any(|it| it.cookie == connection.cookie));
        }
    }
    // With an IPv4 address written as IPv6 has it, it is the same address.
    if let [only] = &listeners[..] {
        assert!(!matches!(only.address.ip(), std::net::IpAddr::V6(ip) if ip.to_ipv4_mapped().is_some()));
    }
}
