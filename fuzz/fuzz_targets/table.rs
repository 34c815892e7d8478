//! The text of /proc/net/tcp.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/corpora/table.rs"]
mod table;

fuzz_target!(|bytes: &[u8]| table::check(bytes));
