//! The text of a setting, of each in turn.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/corpora/settings.rs"]
mod settings;

fuzz_target!(|bytes: &[u8]| settings::check(bytes));
