//! HOLDS the numbers that a server works within, and their defaults. Decides nothing.

use std::time::Duration;

/// All of them; each is explained where it is set, at [`Server`](super::Server).
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) max_connections: usize,
    pub(super) first_byte_timeout: Duration,
    pub(super) header_timeout: Duration,
    pub(super) idle_timeout: Duration,
    pub(super) response_timeout: Duration,
    pub(super) max_header_bytes: usize,
    pub(super) max_headers: usize,
    pub(super) http2: bool,
    pub(super) lame_duck: Duration,
    pub(super) idle_min: Duration,
    pub(super) idle_spread: Duration,
    pub(super) drain_deadline: Duration,
}

impl Limits {
    pub(super) const DEFAULT: Limits = Limits {
        max_connections: 10_000,
        first_byte_timeout: Duration::from_secs(30),
        header_timeout: Duration::from_secs(10),
        idle_timeout: Duration::from_secs(75),
        response_timeout: Duration::from_secs(60),
        max_header_bytes: 64 * 1024,
        max_headers: 100,
        http2: true,
        lame_duck: Duration::ZERO,
        idle_min: Duration::from_secs(1),
        idle_spread: Duration::from_secs(1),
        drain_deadline: Duration::from_secs(25),
    };
}
