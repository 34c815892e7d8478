//! A message of a program that was made to pass its socket.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/corpora/answers.rs"]
mod answers;

fuzz_target!(|bytes: &[u8]| answers::check(bytes));
