//! What becomes of requests and tunnels when the program crashes, is replaced, or is stopped for good.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use super::Program;
use crate::support::{
    client::{self, Load},
    command::Desk,
    directory, free_port, loopback,
    segue::{As, Recipe, children},
    traffic, wait,
};

#[test]
fn requests_wait_through_a_crash() {
    let port = free_port();
    let recipe = Program::Hello.recipe(As::Init, &format!(":{port}"));
    let mut segue = recipe
        .set("SEGUE_RESTART", "always")
        .set("SEGUE_RESTART_DELAY", "200ms")
        .set("SEGUE_STABLE_DELAY", "0s")
        .start();
    segue.ready(1);
    for generation in 2..5 {
        // The one that makes it crash is lost, and no other. (A GET might be sent once more, and end the next generation, too.)
        let error = client::post(loopback(port), "/crash").unwrap_err();
        assert!(error.to_string().contains("502"), "{error}");
        let load = Load::start(loopback(port), "/", 4);
        segue.ready(generation);
        load.more(10);
        let tally = load.stop();
        assert_eq!(tally.failed(), 0, "{tally}");
    }
}

#[test]
fn who_waits_too_long_is_told_so() {
    let port = free_port();
    let mut segue = Recipe::plain(As::Subreaper, ["sleep", "1000"])
        .set("SEGUE_PROXY", format!("127.0.0.1:{port}"))
        .set("SEGUE_READY_TIMEOUT", "300ms")
        .start();
    segue.line("generation started", 1);
    let error = client::get(loopback(port), "/").unwrap_err().to_string();
    assert!(
        error.starts_with("HTTP/1.1 503 ") && error.contains("retry-after: 1"),
        "{error}"
    );
}

/// An open WebSocket stays with the generation that it was opened with, until it is closed.
#[test]
fn a_tunnel_lives_over_a_restart() {
    let (port, desk) = (free_port(), Desk::new());
    let recipe = Program::Node.recipe(As::Subreaper, &format!("127.0.0.1:{port}"));
    let mut segue = recipe
        .set("SEGUE_CONTROL", desk.path())
        .set("SEGUE_DRAIN_IDLE", "20s")
        .start();
    segue.ready(1);
    let mut socket = traffic::open_websocket(loopback(port)).unwrap();
    assert_eq!(traffic::echo(&mut socket, "a").unwrap(), "1:a");
    assert_eq!(segue.restart()["outcome"], "replaced");
    assert!(client::get(loopback(port), "/").unwrap().contains("generation 2"));
    assert_eq!(traffic::echo(&mut socket, "b").unwrap(), "1:b");
    let status = desk.status();
    assert_eq!(status["handover"]["mode"], "proxy");
    assert_eq!(status["generations"][0]["role"], "draining", "{status}");
    assert_eq!(status["generations"][0]["connections"]["busy"], 1, "{status}");
    assert!(
        status["generations"][1]["listens"][0]
            .as_str()
            .unwrap()
            .starts_with("localhost:"),
        "{status}"
    );
    socket.close(None).unwrap();
    while socket.read().is_ok() {}
    drop(socket);
    segue.line("generation is gone", 1);
}

/// Or until nothing is said in it for SEGUE_DRAIN_IDLE, or the drain takes too long: then it is cut, and that is told.
#[test]
fn a_tunnel_does_not_keep_a_generation_for_ever() {
    let port = free_port();
    for (idle, cut) in [("100ms", 0), ("20s", 1)] {
        let recipe = Program::Node.recipe(As::Subreaper, &format!("127.0.0.1:{port}"));
        let mut segue = recipe
            .set("SEGUE_DRAIN_IDLE", idle)
            .set("SEGUE_DRAIN", "connections")
            .set("SEGUE_DRAIN_TIMEOUT", "1s")
            .start();
        segue.ready(1);
        let mut socket = traffic::open_websocket(loopback(port)).unwrap();
        assert_eq!(traffic::echo(&mut socket, "a").unwrap(), "1:a");
        assert_eq!(segue.restart()["outcome"], "replaced");
        segue.line("generation is gone", 1);
        assert!(traffic::echo(&mut socket, "b").is_err());
        assert_eq!(
            segue.lines("connections cut at the deadline").len(),
            cut,
            "{}",
            segue.stderr()
        );
    }
}

/// Whoever is connected when the stop comes is served to the end, and then let go.
#[test]
fn a_stop_under_load_fails_nothing_that_was_accepted() {
    for program in [Program::Node, Program::Hello] {
        let port = free_port();
        let recipe = program.recipe(As::Init, &format!("127.0.0.1:{port}"));
        let mut segue = recipe.set("SEGUE_DRAIN_IDLE", "200ms").start();
        segue.ready(1);
        let mut kept: Vec<client::Kept> = (0..4).map(|_| client::Kept::connect(loopback(port)).unwrap()).collect();
        for it in &mut kept {
            assert_eq!(it.get().unwrap(), client::Kind::Answered { last: false });
        }
        let path = if program == Program::Node {
            "/slow"
        } else {
            "/slow?ms=1500"
        };
        let slow = client::begin(loopback(port), path).unwrap();
        // Another request shows that the slow one has arrived.
        client::get(loopback(port), "/").unwrap();
        let begin = Instant::now();
        segue.signal(libc::SIGTERM);
        // Each asks on until it is told that it was the last one.
        for mut it in kept {
            wait::until("the last answer", || match it.get().unwrap() {
                client::Kind::Answered { last: false } => None,
                client::Kind::Answered { last: true } => Some(()),
                client::Kind::Closed => panic!("closed without a word, after {:?}", begin.elapsed()),
            });
        }
        wait::until("connections are refused", || TcpStream::connect(loopback(port)).err());
        let answer = client::answer(slow).unwrap();
        assert!(answer.contains("generation 1"), "{answer}");
        let code = if program == Program::Hello { 0 } else { 143 };
        assert_eq!(segue.wait(), code, "{}", segue.stderr());
        assert!(
            begin.elapsed() < Duration::from_secs(12),
            "{:?}\n{}",
            begin.elapsed(),
            segue.stderr()
        );
    }
}

/// Requests that wait when the stop comes are told at once that nobody will serve them.
#[test]
fn a_stop_before_anybody_serves() {
    let port = free_port();
    let mut segue = Recipe::plain(As::Subreaper, ["sleep", "1000"])
        .set("SEGUE_PROXY", format!("127.0.0.1:{port}"))
        .set("SEGUE_DRAIN_IDLE", "100ms")
        .start();
    segue.line("generation started", 1);
    let mut stream = TcpStream::connect(loopback(port)).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    segue.signal(libc::SIGTERM);
    let mut come = String::new();
    stream.read_to_string(&mut come).unwrap();
    assert!(come.starts_with("HTTP/1.1 503 "), "{come}");
    assert_eq!(segue.wait(), 143);
}

#[test]
fn every_kind_of_address() {
    let (files, dual, four) = (directory(), free_port(), free_port());
    let path = files.path().join("public.sock");
    let public = format!(":{dual},127.0.0.1:{four},unix:{}", path.display());
    let mut segue = Program::Node.recipe(As::Init, &public).set("PORT", "80").start();
    segue.ready(1);
    for address in [
        format!("127.0.0.1:{dual}"),
        format!("[::1]:{dual}"),
        format!("127.0.0.1:{four}"),
    ] {
        let told = client::get(address.parse().unwrap(), "/headers").unwrap();
        let told: serde_json::Value = serde_json::from_str(&told).unwrap();
        let ip = if address.starts_with('[') { "::1" } else { "127.0.0.1" };
        assert_eq!((&told["x-forwarded-for"], &told["host"]), (&ip.into(), &"test".into()));
    }
    let stream = std::os::unix::net::UnixStream::connect(&path).unwrap();
    let told = client::exchange(stream, "/headers").unwrap();
    assert!(
        told.contains("for=unknown;host=test;proto=http") && !told.contains("x-forwarded-for"),
        "{told}"
    );
    segue.signal(libc::SIGTERM);
    assert_eq!(segue.wait(), 143);
    assert!(!path.exists(), "the path goes with segue");
}

#[test]
fn an_address_that_is_taken_is_told_before_anything_starts() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut segue = Program::Hello.recipe(As::Subreaper, &address).start();
    assert_eq!(segue.wait(), 71);
    let text = segue.stderr();
    assert!(
        text.contains(&format!("SEGUE_PROXY: cannot listen on {address}: somebody else")),
        "{text}"
    );
    assert!(children(std::process::id().cast_signed()).is_empty() || segue.stdout().is_empty());
}

#[test]
fn it_can_be_proved() {
    let port = free_port();
    let line = format!("exec {} 127.0.0.1:$PORT", crate::support::hello().display());
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_segue"));
    command.args([
        "verify",
        "--restarts",
        "3",
        "--rate",
        "100",
        "--json",
        "--",
        "sh",
        "-c",
        &line,
    ]);
    let said = crate::support::command::said(
        command
            .env("SEGUE_PROXY", format!("127.0.0.1:{port}"))
            .env("SEGUE_PROBATION", "50ms")
            .env("SEGUE_DRAIN_IDLE", "100ms"),
    );
    assert_eq!(said.code, 0, "{said:?}");
    let report: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(
        (&report["failed"], &report["generations"]),
        (&0.into(), &4.into()),
        "{report}"
    );
}
