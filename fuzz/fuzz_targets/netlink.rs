//! A datagram of the kernel's about its sockets.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/corpora/netlink.rs"]
mod netlink;

fuzz_target!(|bytes: &[u8]| netlink::check(bytes));
