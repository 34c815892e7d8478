//! A call of the program that segue is told of: the filter, its registers, its memory.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/corpora/calls.rs"]
mod calls;

fuzz_target!(|bytes: &[u8]| calls::check(bytes));
