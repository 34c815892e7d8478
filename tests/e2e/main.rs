//! End to end: the real binary with real programs, as a subreaper and as true PID 1. Modules are named after promises.
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

mod admin;
mod binds;
mod census;
mod confirmed;
mod control;
mod control_found;
mod crash;
mod datagram_programs;
mod datagrams;
mod docker;
mod ending;
mod evidence;
mod far;
mod faults;
mod finishing;
mod given_up;
mod hostile;
mod hung_files;
mod identity;
mod image;
mod init;
mod leftovers;
mod logs;
mod odd_files;
mod operate;
mod own_sockets;
mod ownership;
mod proxy;
mod reached;
mod readiness;
mod restart;
mod rollback;
mod secrets;
mod sessions;
mod signals;
mod start;
mod steering;
mod stop;
mod support;
mod terminal;
mod transparent;
mod unavailable;
mod unix_sockets;
mod verify;
mod waiting;
mod watch;
mod workers;
