//! Requests that are large, slow or given up, with a real program behind.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
};

use super::Program;
use crate::support::{
    client, free_port, loopback,
    segue::{As, Segue},
    wait,
};

fn node() -> (Segue, u16) {
    let port = free_port();
    let mut segue = Program::Node
        .recipe(As::Subreaper, &format!("127.0.0.1:{port}"))
        .start();
    segue.ready(1);
    (segue, port)
}

/// The most memory that it ever had, in KiB.
fn peak(segue: &Segue) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", segue.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// A body is never kept: 1 GB in pieces goes through a few pages.
#[test]
fn an_upload_takes_no_memory() {
    const PIECE: usize = 64 * 1024;
    const PIECES: usize = 16 * 1024;
    let (segue, port) = node();
    client::get(loopback(port), "/").unwrap();
    let before = peak(&segue);
    let mut stream = TcpStream::connect(loopback(port)).unwrap();
    let head = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let piece = [format!("{PIECE:x}\r\n").as_bytes(), &vec![b'x'; PIECE], b"\r\n"].concat();
    for _ in 0..PIECES {
        stream.write_all(&piece).unwrap();
    }
    stream.write_all(b"0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.contains(&format!("{}\n", PIECE * PIECES)), "{answer}");
    let after = peak(&segue);
    assert!(after < before + 4 * 1024, "{before} KiB became {after} KiB");
}

#[test]
fn the_program_hears_that_a_client_has_gone() {
    let (_segue, port) = node();
    for count in 1..=3 {
        let mut stream = TcpStream::connect(loopback(port)).unwrap();
        stream.write_all(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        // Another request shows that it has arrived.
        client::get(loopback(port), "/").unwrap();
        drop(stream);
        wait::until("the program hears it", || {
            let told = client::get(loopback(port), "/gone").unwrap();
            (told.trim() == count.to_string()).then_some(())
        });
    }
}

#[test]
fn head_and_expectations() {
    let (_segue, port) = node();
    let mut stream = TcpStream::connect(loopback(port)).unwrap();
    stream.write_all(b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut read = |until: &str| {
        let mut come = Vec::new();
        while !String::from_utf8_lossy(&come).ends_with(until) {
            let mut byte = [0];
            assert_eq!(stream.read(&mut byte).unwrap(), 1, "{}", String::from_utf8_lossy(&come));
            come.push(byte[0]);
        }
        String::from_utf8(come).unwrap()
    };
    let head = read("\r\n\r\n");
    assert!(
        head.starts_with("HTTP/1.1 200 OK\r\n") && head.contains("content-length: 24\r\n"),
        "{head}"
    );
    // Nothing of a body was in between.
    stream
        .write_all(b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
        .unwrap();
    let mut byte = [0; 25];
    stream.read_exact(&mut byte).unwrap();
    assert_eq!(&byte, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"body").unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
}
