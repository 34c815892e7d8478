//! A line of the control protocol, both ways.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/corpora/control.rs"]
mod control;

fuzz_target!(|bytes: &[u8]| control::check(bytes));
