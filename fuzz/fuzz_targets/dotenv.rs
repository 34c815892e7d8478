//! A dotenv file.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/corpora/dotenv.rs"]
mod dotenv;

fuzz_target!(|bytes: &[u8]| dotenv::check(bytes));
