//! Every option that a listener can have, set before the bind; also those that the kernel refuses on that socket.

use crate::{script::Case, table::Kind};

/// What is set, as the probe understands it.
pub const SETTINGS: [&str; 55] = [
    "set a SO_REUSEADDR 1",
    "set a SO_REUSEPORT 1",
    "set a SO_REUSEPORT short:1",
    "set a SO_KEEPALIVE 1",
    "set a SO_OOBINLINE 1",
    "set a SO_LINGER 5",
    "set a SO_RCVBUF 20000",
    "set a SO_RCVBUF short:1",
    "set a SO_SNDBUF 20000",
    "set a SO_RCVBUFFORCE 100000",
    "set a SO_SNDBUFFORCE 100000",
    "set a SO_RCVLOWAT 5",
    "set a SO_RCVTIMEO 7",
    "set a SO_SNDTIMEO 7",
    "set a SO_PRIORITY 3",
    "set a SO_PRIORITY 9",
    "set a SO_MARK 7",
    "set a SO_BUSY_POLL 50",
    "set a SO_INCOMING_CPU 0",
    "set a SO_MAX_PACING_RATE 100000000",
    "set a SO_ZEROCOPY 1",
    "set a SO_BINDTODEVICE lo",
    "set a SO_BINDTODEVICE nosuch0",
    "set a SO_DONTROUTE 1",
    "set a IP_TOS 16",
    "set a IP_TTL 33",
    "set a IP_TTL 0",
    "set a IP_MINTTL 1",
    "set a IP_FREEBIND 1",
    "set a IP_TRANSPARENT 1",
    "set a IP_MTU_DISCOVER 2",
    "set a IP_BIND_ADDRESS_NO_PORT 1",
    "set a IPV6_V6ONLY 1",
    "set a IPV6_TCLASS 16",
    "set a IPV6_UNICAST_HOPS 33",
    "set a IPV6_FREEBIND 1",
    "set a IPV6_TRANSPARENT 1",
    "set a TCP_NODELAY 1",
    "set a TCP_NODELAY short:1",
    "set a TCP_MAXSEG 1000",
    "set a TCP_MAXSEG 1",
    "set a TCP_KEEPIDLE 77",
    "set a TCP_KEEPINTVL 7",
    "set a TCP_KEEPCNT 3",
    "set a TCP_SYNCNT 3",
    "set a TCP_LINGER2 9",
    "set a TCP_DEFER_ACCEPT 2",
    "set a TCP_WINDOW_CLAMP 40000",
    "set a TCP_CONGESTION reno",
    "set a TCP_CONGESTION nosuch",
    "set a TCP_USER_TIMEOUT 4321",
    "set a TCP_FASTOPEN 5",
    "set a TCP_FASTOPEN -1",
    "set a TCP_NOTSENT_LOWAT 16384",
    "set a TCP_SAVE_SYN 1",
];

/// Flags of the file rather than of the socket.
const FLAGS: [&str; 3] = ["nonblock a", "cloexec a", "async a"];

/// What an accepted connection has from its listener is the point of most options.
const LIFE: &str = "
    bind a HERE P0
    about a
    options a
    files
    listen a 9
    about a
    options a
    meet a THERE P0 c d
    about d
    options d
    files";

pub fn cases(kinds: &[Kind]) -> Vec<Case> {
    let mut cases = Vec::new();
    for kind in kinds {
        for setting in SETTINGS.iter().chain(&FLAGS) {
            cases.push(kind.case(setting, &format!("MAKE a\n{setting}\n{LIFE}")));
            // Between bind and listen as well, where a few of them still count.
            if kind.name == "inet" {
                let late = LIFE.replacen("listen a 9", &format!("{setting}\nlisten a 9"), 1);
                cases.push(kind.case(&format!("{setting} after bind"), &format!("MAKE a\n{late}")));
            }
        }
        let several = "MAKE a\nset a TCP_NODELAY 1\nset a SO_KEEPALIVE 1\nset a SO_REUSEADDR 1\nset a TCP_FASTOPEN 7\n\
                       set a SO_RCVBUF 30000\nset a SO_BINDTODEVICE nosuch0\nset a TCP_MAXSEG 1\nnonblock a";
        cases.push(kind.case("several options", &format!("{several}\n{LIFE}")));
    }
    cases
}
