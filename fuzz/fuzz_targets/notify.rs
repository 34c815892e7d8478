//! A datagram to a NOTIFY_SOCKET.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/corpora/notify.rs"]
mod notify;

fuzz_target!(|bytes: &[u8]| notify::check(bytes));
