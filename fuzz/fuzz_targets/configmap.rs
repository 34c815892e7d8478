//! A watched volume, written as kubelet writes one and in other ways.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/corpora/configmap.rs"]
mod configmap;

fuzz_target!(|bytes: &[u8]| configmap::check(bytes));
