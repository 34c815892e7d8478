//! `segue stop` and `segue drain`: what they wait for, what they show, and what was cut.

use std::{
    io::{Read, Write},
    net::TcpStream,
    process::Stdio,
    time::Duration,
};

use crate::{
    operate::example,
    support::{
        command::Desk,
        free_port, loopback,
        segue::{As, Recipe, Segue},
        wait,
    },
};

/// A request that Python's server takes `milliseconds` for, under way.
fn slow_request(port: u16, milliseconds: u32) -> TcpStream {
    let mut stream = TcpStream::connect(loopback(port)).unwrap();
    write!(stream, "GET /?{milliseconds} HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
    stream
}

fn answered(mut stream: TcpStream) -> bool {
    let mut answer = String::new();
    stream.set_read_timeout(Some(wait::PATIENCE)).unwrap();
    stream.read_to_string(&mut answer).is_ok() && answer.starts_with("HTTP/1.1 200")
}

/// A server that takes as long for a request as it says, and knows nothing of signals.
const SLOW: &str = "import http.server, sys, time, urllib.parse\n\
    class Slow(http.server.BaseHTTPRequestHandler):\n\
    \x20   protocol_version = 'HTTP/1.1'\n\
    \x20   def do_GET(self):\n\
    \x20       time.sleep(int(urllib.parse.urlparse(self.path).query or 0) / 1000)\n\
    \x20       self.send_response(200); self.send_header('Content-Length', '0'); self.send_header('Connection', 'close')\n\
    \x20       self.end_headers(); self.close_connection = True\n\
    http.server.ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1])), Slow).serve_forever()\n";

fn slow(desk: &Desk, settings: &[(&str, &str)]) -> (Segue, u16) {
    let port = free_port();
    let mut segue = Recipe::plain(As::Init, ["/usr/bin/python3", "-c", SLOW, &port.to_string()])
        .set("SEGUE_CONTROL", desk.path())
        .set("SEGUE_DRAIN_IDLE", "100ms")
        .with(settings)
        .start();
    segue.ready(1);
    (segue, port)
}

#[test]
fn stop_shows_the_connections_going_down() {
    let desk = Desk::new();
    let (mut segue, port) = slow(&desk, &[]);
    let requests: Vec<TcpStream> = (0..3).map(|_| slow_request(port, 1500)).collect();
    wait::until("they are busy", || {
        let busy = desk.status()["generations"][0]["connections"]["busy"].clone();
        (busy == 3).then_some(())
    });
    let said = desk.tell(&["stop"]);
    assert!(said.code == 0 && said.err.is_empty(), "{said:?}");
    assert!(said.out.contains("connections finish: 3 connections busy"), "{said:?}");
    assert!(
        said.out.lines().last().unwrap().starts_with("stopped, after ") && said.out.ends_with(", with code 143\n"),
        "{said:?}"
    );
    assert!(requests.into_iter().all(answered));
    assert_eq!(segue.wait(), 143);
    let again = desk.tell(&["stop"]);
    assert!(
        again.code == 1 && again.err.contains("no segue is running"),
        "{again:?}"
    );
}

/// A program that closes its listeners at the stop signal, and finishes what it has, is shown to have it.
#[test]
fn stop_shows_what_a_program_that_drains_itself_still_has() {
    let desk = Desk::new();
    let (mut segue, port) = example(&desk, &[]);
    let mut stream = TcpStream::connect(loopback(port)).unwrap();
    write!(
        stream,
        "GET /slow?ms=1500 HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    wait::until("it is busy", || {
        let busy = desk.status()["generations"][0]["connections"]["busy"].clone();
        (busy == 1).then_some(())
    });
    let said = desk.tell(&["stop"]);
    assert!(said.code == 0 && said.out.contains("1 connection busy"), "{said:?}");
    assert!(answered(stream));
    assert_eq!(segue.wait(), 0);
}

/// One that does not finish in time has its connections cut, and they are counted although nobody listens any more.
#[test]
fn what_the_last_deadline_cuts_of_a_program_that_drains_itself_is_counted() {
    let desk = Desk::new();
    let (mut segue, port) = example(&desk, &[("SEGUE_STOP_TIMEOUT", "1s")]);
    let mut stream = TcpStream::connect(loopback(port)).unwrap();
    write!(stream, "GET /slow?ms=60000 HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
    wait::until("it is busy", || {
        let busy = desk.status()["generations"][0]["connections"]["busy"].clone();
        (busy == 1).then_some(())
    });
    segue.signal(libc::SIGTERM);
    assert_eq!(segue.line("connections cut at the deadline", 1)["cut"], 1);
    assert_eq!(segue.wait(), 137);
}

#[test]
fn drain_is_not_ready_and_waits_and_leaves_the_program_alone() {
    let desk = Desk::new();
    let (mut segue, port) = slow(&desk, &[]);
    let request = slow_request(port, 1200);
    wait::until("it is busy", || {
        let busy = desk.status()["generations"][0]["connections"]["busy"].clone();
        (busy == 1).then_some(())
    });
    let early = desk.tell(&["drain", "--wait", "200ms"]);
    assert!(
        early.code == 75 && early.err.contains("still 1 connection busy"),
        "{early:?}"
    );
    // Two more at once: asking again only waits.
    let other = desk.command(&["drain"]).stdout(Stdio::piped()).spawn().unwrap();
    let said = desk.tell(&["drain"]);
    assert!(
        said.code == 0 && said.out.contains("not ready; 0 connections busy"),
        "{said:?}"
    );
    assert!(other.wait_with_output().unwrap().status.success());
    assert!(answered(request));
    let health = desk.tell(&["health"]);
    assert!(
        health.code == 1 && health.out.contains("segue drain was asked for"),
        "{health:?}"
    );
    assert_eq!(desk.tell(&["health", "live"]).code, 0);
    assert_eq!(desk.tell(&["status"]).code, 3);
    assert!(answered(slow_request(port, 0)), "it goes on");
    // A restart while it drains replaces the program, and makes nobody ready.
    assert_eq!(desk.tell(&["restart"]).code, 0);
    assert_eq!(desk.tell(&["status"]).code, 3);
    segue.signal(libc::SIGTERM);
    assert_eq!(segue.wait(), 143);
}

#[test]
fn a_drain_lasts_the_delay_and_the_stop_is_spared_it() {
    let desk = Desk::new();
    let (mut segue, _) = example(&desk, &[("SEGUE_DRAIN_DELAY", "600ms"), ("SEGUE_LOG", "debug")]);
    let mut drain = desk.command(&["drain"]);
    drain.env("SEGUE_DRAIN_DELAY", "600ms");
    let begin = std::time::Instant::now();
    let said = crate::support::command::said(&mut drain);
    assert!(
        said.code == 0 && begin.elapsed() >= Duration::from_millis(600),
        "{said:?}"
    );
    segue.signal(libc::SIGTERM);
    let stop = segue.line("stop requested", 1);
    assert!(stop["actions"].as_str().unwrap().contains("drain 1"), "{stop}");
    assert_eq!(segue.wait(), 0);
}

#[test]
fn what_was_cut_is_shown_and_counted() {
    let desk = Desk::new();
    let (_segue, port) = slow(&desk, &[("SEGUE_DRAIN_TIMEOUT", "200ms"), ("SEGUE_PROBATION", "50ms")]);
    let requests: Vec<TcpStream> = (0..2).map(|_| slow_request(port, 60_000)).collect();
    wait::until("they are busy", || {
        let busy = desk.status()["generations"][0]["connections"]["busy"].clone();
        (busy == 2).then_some(())
    });
    assert_eq!(desk.tell(&["restart"]).code, 0);
    wait::until("they are cut", || (desk.status()["cut"] == 2).then_some(()));
    assert!(!requests.into_iter().any(answered));
}
