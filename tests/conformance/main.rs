//! Conformance: a program sees of its sockets what it would see without segue, whichever way segue comes by them. The same
//! program runs with segue and without it, and says of every call what came of it.
#![cfg(feature = "entrypoint")]
#![allow(
    dead_code,
    unreachable_pub,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::wildcard_enum_match_arm,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::tests_outside_test_module,
    reason = "tests start processes from outside, wait for them, end by panicking, and share more than each needs"
)]

mod accepted;
mod alike;
mod compare;
mod datagrams;
mod hammer;
mod kernels;
mod known;
mod letting_go;
mod programs;
mod random;
mod rungs;
mod script;
#[path = "../e2e/support/mod.rs"]
mod support;
mod table;
mod watched;
mod ways;
