//! `docker stop` with its ten seconds: a program with a handler of its own has the time that it needs, whoever is connected.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use super::machine;
use crate::support::{
    client,
    docker::{Container, docker, is_there},
    wait,
};

/// Answers /stream for ever, a line each MS milliseconds, /slow after four seconds, and everything else at once. Asked to end, it works for
/// half a second, says so, and ends with 0.
const NODE: &str = "const http = require('http');\n\
    process.on('SIGTERM', () => setTimeout(() => { console.log('cleaned up'); process.exit(0); }, 500));\n\
    http.createServer((q, r) => {\n\
      if (q.url.startsWith('/stream')) {\n\
        r.writeHead(200, {'Content-Type': 'text/event-stream'});\n\
        setInterval(() => r.write('data: x\\n\\n'), Number(q.url.slice(8)));\n\
      } else if (q.url === '/slow') { setTimeout(() => r.end('slow'), 4000); } else { r.end('ok'); }\n\
    }).listen(8080);\n";

fn ask(address: SocketAddr, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    stream
}

fn server(options: &[&str]) -> (Container, SocketAddr) {
    let options: Vec<&str> = ["--publish=127.0.0.1::8080"].iter().chain(options).copied().collect();
    let container = machine(&options, &["--", "node", "-e", NODE]);
    container.line("generation became ready", 1);
    let address = container.address(8080);
    wait::until("it answers", || client::get(address, "/").ok());
    (container, address)
}

/// As under `docker run --init`, where it gets the signal at once.
#[test]
fn an_event_stream_does_not_cost_the_program_its_cleanup() {
    if !is_there() {
        return;
    }
    for pause in [20, 400] {
        let (container, address) = server(&[]);
        let mut stream = ask(address, &format!("/stream/{pause}"));
        let mut some = [0; 64];
        assert!(stream.read(&mut some).unwrap() > 0);
        let begin = Instant::now();
        assert_eq!(container.stop(), 0);
        assert!(
            begin.elapsed() < Duration::from_secs(9) * wait::slowness(),
            "{:?}",
            begin.elapsed()
        );
        assert_eq!(container.stdout(), "cleaned up\n");
        let told = container.line("waiting for busy connections before sending the stop signal", 1);
        assert_eq!(
            (&told["busy"], &told["at_most_seconds"]),
            (&1.into(), &15.0.into()),
            "{told}"
        );
    }
}

/// What is being worked on is worth the wait, and what was only kept is not.
#[test]
fn a_slow_request_is_answered_and_an_idle_connection_is_not_waited_for() {
    if !is_there() {
        return;
    }
    let (container, address) = server(&[]);
    let kept = TcpStream::connect(address).unwrap();
    let mut slow = ask(address, "/slow");
    let answer = std::thread::spawn(move || {
        let mut text = String::new();
        slow.read_to_string(&mut text).map(|_| text)
    });
    wait::until("the request is there", || {
        let status = docker(["exec", &container.name, "/segue", "status", "--json"]);
        let status: serde_json::Value = serde_json::from_str(&status).unwrap();
        (status["generations"][0]["connections"]["busy"] == 1).then_some(())
    });
    let begin = Instant::now();
    assert_eq!(container.stop(), 0);
    assert!(begin.elapsed() < Duration::from_secs(9) * wait::slowness());
    assert!(answer.join().unwrap().unwrap().ends_with("slow"));
    assert_eq!(container.stdout(), "cleaned up\n");
    drop(kept);
}

/// Whoever gives segue more time by name gets it.
#[test]
fn a_drain_timeout_that_is_set_is_obeyed() {
    if !is_there() {
        return;
    }
    let (container, address) = server(&["--env=SEGUE_DRAIN_TIMEOUT=15s", "--stop-timeout=40"]);
    let mut stream = ask(address, "/stream/20");
    let mut some = [0; 64];
    assert!(stream.read(&mut some).unwrap() > 0);
    let begin = Instant::now();
    assert_eq!(container.stop(), 0);
    assert!(begin.elapsed() > Duration::from_secs(9), "{:?}", begin.elapsed());
    assert_eq!(container.stdout(), "cleaned up\n");
}
