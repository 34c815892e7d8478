//! P2 and P3: a restart replaces the program without losing a connection, or is rolled back.

use std::net::SocketAddr;

use crate::support::{
    client::{self, Load},
    free_port, hello,
    segue::{BOTH, Recipe},
};

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// The issue's own bar: 50 restarts under load of fresh connections, of a program that drains on SIGTERM.
#[test]
fn listen_fds_loses_nothing_in_50_restarts() {
    for how in BOTH {
        let port = free_port();
        let mut segue = Recipe::new(how, [hello()])
            .set("SEGUE_LISTEN", format!(":{port}"))
            .set("SEGUE_READY", "notify")
            .set("SEGUE_PROBATION", "50ms")
            .start();
        segue.ready(1);
        let load = Load::start(loopback(port), "/", 4);
        for restart in 1..=50 {
            let line = segue.restart();
            assert_eq!(line["outcome"], "replaced", "{line}");
            assert_eq!(line["generation"], restart + 1);
            load.more(20);
        }
        let served_by = client::get(loopback(port), "/generation").unwrap();
        let tally = load.stop();
        assert_eq!(tally.failed(), 0, "{tally}");
        assert_eq!(served_by.trim(), "51");
        segue.signal(libc::SIGTERM);
        assert_eq!(segue.wait(), 0);
    }
}
