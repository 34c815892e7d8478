//! Whose a connection is, when it comes in the very moment of a restart.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use crate::support::{
    client::Kept,
    free_port, hello, loopback,
    segue::{As, Recipe},
};

/// A generation is not kept alive by connections of its successor, however many come while segue still looks which are whose: with
/// many of them the look takes long.
#[test]
fn the_successor_s_connections_keep_no_old_generation() {
    let port = free_port();
    let mut segue = Recipe::plain(As::Init, [hello().to_str().unwrap(), &format!("127.0.0.1:{port}")])
        .set("HELLO_NAIVE", "1")
        .set("SEGUE_DRAIN", "connections")
        .set("SEGUE_DRAIN_TIMEOUT", "50s")
        .set("SEGUE_STOP_TIMEOUT", "60s")
        .set("SEGUE_DRAIN_IDLE", "100ms")
        .set("SEGUE_PROBATION", "50ms")
        .start();
    segue.ready(1);
    for old in 1..=2 {
        let mut idle: Vec<Kept> = (0..1_500).map(|_| Kept::connect(loopback(port)).unwrap()).collect();
        for kept in &mut idle {
            kept.get().unwrap();
        }
        segue.signal(libc::SIGHUP);
        segue.ready(old + 1);
        let begin = Instant::now();
        let busy: Vec<TcpStream> = (0..60).map(|_| slow(port)).collect();
        let gone = segue.line("generation is gone", usize::try_from(old).unwrap());
        assert!(
            gone["generation"] == old && begin.elapsed() < Duration::from_secs(11),
            "{:?}",
            begin.elapsed()
        );
        assert!(segue.lines("connections cut at the deadline").is_empty());
        drop(idle);
        for stream in busy {
            assert!(answered(stream), "a connection of the successor's was cut");
        }
    }
}

/// A request that takes longer than the old generation may live.
fn slow(port: u16) -> TcpStream {
    let mut stream = TcpStream::connect(loopback(port)).unwrap();
    stream
        .write_all(b"GET /slow?ms=12000 HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
        .unwrap();
    stream
}

fn answered(mut stream: TcpStream) -> bool {
    let mut answer = String::new();
    stream.set_read_timeout(Some(crate::support::wait::PATIENCE)).unwrap();
    stream.read_to_string(&mut answer).is_ok() && answer.starts_with("HTTP/1.1 200")
}
