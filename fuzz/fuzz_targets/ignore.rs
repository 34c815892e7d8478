//! Patterns of files that do not count, and paths.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/corpora/ignore.rs"]
mod ignore;

fuzz_target!(|bytes: &[u8]| ignore::check(bytes));
