//! Drains the library's server again and again under load, and counts what fails; and the servers beside it, to know that
//! failures would be seen.
#![cfg(feature = "serve")]
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
    reason = "tests wait for threads, end by panicking, and share with an example more than each needs"
)]

mod drains;
mod example;
mod harness;
