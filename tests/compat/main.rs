//! The compatibility matrix: real servers, unmodified, each as the program of segue as PID 1 under the default settings, loaded
//! while it is restarted three times and stopped. One test for each server: `quick` ones run in `make test`, `more` in
//! `make compat`, which writes docs/compatibility.md from what was measured.
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
    clippy::tests_outside_test_module,
    reason = "tests start processes from outside, wait for them, end by panicking, and share more than each needs"
)]

#[path = "../e2e/support/mod.rs"]
mod support;
#[macro_use]
mod table;

mod ask;
mod connection;
mod dns;
mod http;
mod installed;
mod journal;
mod load;
mod measured;
mod more;
mod place;
mod quick;
mod run;
mod talk;
mod tally;
mod upstream;
