//! The head of a request or an answer that the proxy passes on.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/corpora/fields.rs"]
mod fields;

fuzz_target!(|bytes: &[u8]| fields::check(bytes));
