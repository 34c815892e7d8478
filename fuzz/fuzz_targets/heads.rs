//! What a client sends over a connection of HTTP/1.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/corpora/heads.rs"]
mod heads;

fuzz_target!(|bytes: &[u8]| heads::check(bytes));
