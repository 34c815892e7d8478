//! Sockets of paths, and of datagrams.

use crate::script::Case;

const CASES: [(&str, &str); 9] = [
    (
        "a path",
        "socket a unix stream; bind a unix:s0 0; about a; path s0; listen a 5; about a; path s0; meet a unix:s0 0 c d; names d; files; \
         close a; path s0; unlink s0; path s0",
    ),
    (
        "a path that is taken",
        "socket a unix stream; bind a unix:s1 0; listen a 5; socket b unix stream; bind b unix:s1 0; about b; close a; bind b unix:s1 0; \
         unlink s1; bind b unix:s1 0; listen b 5; meet b unix:s1 0 c d; unlink s1",
    ),
    (
        "listen on no path",
        "socket a unix stream; listen a 5; about a; bind a unix:nowhere/s 0; bind a unix:s2 0; bind a unix:s3 0; about a; path s2; path s3; unlink s2",
    ),
    (
        "a path in an epoll",
        "socket a unix stream; epoll e; add e a 1; events e; bind a unix:s4 0; events e; listen a 5; events e; client c unix:s4 0; events e wait; \
         take a f; about f; unlink s4",
    ),
    (
        "a path by a child",
        "socket a unix stream; dup b a; fork; bind b unix:s5 0; listen a 5; end; about a; about b; meet b unix:s5 0 c d; unlink s5",
    ),
    (
        "a path that is unlinked while it is listened on",
        "socket a unix stream; bind a unix:s6 0; listen a 5; unlink s6; path s6; socket b unix stream; bind b unix:s6 0; listen b 5; \
         meet b unix:s6 0 c d; about a; unlink s6",
    ),
    (
        "packets in order",
        "socket a unix seqpacket; bind a unix:s7 0; listen a 5; about a; unlink s7",
    ),
    (
        "datagrams",
        "socket a inet dgram; bind a 127.0.0.1 P0; about a; options a; socket b inet dgram; bind b 127.0.0.1 P0; set b SO_REUSEPORT 1; \
         bind b 127.0.0.1 P0; about b; listen b 5; files",
    ),
    (
        "datagrams on a shared port",
        "socket a inet6 dgram; set a SO_REUSEPORT 1; set a IPV6_V6ONLY 1; bind a :: P0; socket b inet6 dgram; set b SO_REUSEPORT 1; bind b :: P0; \
         socket c inet dgram; bind c 0.0.0.0 P0; about a; about b; about c; options a; close a; socket a inet6 dgram; bind a ::1 P0",
    ),
];

pub fn cases() -> Vec<Case> {
    CASES
        .map(|(what, text)| Case::new(what, &text.replace(';', "\n")))
        .to_vec()
}
