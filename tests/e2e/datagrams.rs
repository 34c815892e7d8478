//! UDP sockets that are bound to a port of the program's choice are handed over: no datagram is lost in a restart.

use std::{
    fs,
    net::{SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

use crate::support::{
    client,
    datagrams::{Answers, Stream, ask, socket},
    directory, free_port, loopback, program, script,
    segue::{As, BOTH, Recipe, Segue},
    wait,
};

/// Answers datagrams at these addresses, by so many processes.
fn server(how: As, workers: usize, addresses: &[String]) -> Recipe {
    let mut words = vec![
        "/usr/bin/python3".to_owned(),
        program("datagrams.py").display().to_string(),
        workers.to_string(),
    ];
    words.extend_from_slice(addresses);
    Recipe::plain(how, words).with(&[("SEGUE_PROBATION", "50ms"), ("SEGUE_DRAIN_IDLE", "100ms")])
}

/// Restarts by HUP under a load, each of which replaces the program; none of the datagrams is lost.
fn switches(segue: &mut Segue, to: SocketAddr, count: u64) -> Answers {
    segue.ready(1);
    let load = Stream::to(to, 4);
    load.more(50);
    for number in 0..count {
        let line = segue.restart();
        assert_eq!(line["outcome"], "replaced", "{line}\n{}", segue.stderr());
        load.more(50);
        // The old ones are gone, so that no more than two are there at once.
        segue.line("generation is gone", usize::try_from(number + 1).unwrap());
    }
    let answers = load.stop();
    answers.assert_whole();
    let last = *answers.answered.keys().max().unwrap();
    assert_eq!(last, count + 1, "{answers:?}");
    answers
}

#[test]
fn twenty_switches_lose_no_datagram() {
    for how in BOTH {
        let port = free_port();
        let mut segue = server(how, 0, &[format!("127.0.0.1:{port}")]).start();
        switches(&mut segue, loopback(port), 10);
        assert!(segue.lines("the restart stops the program first").is_empty());
    }
}

/// By hand: `cargo nextest run --test e2e --run-ignored only two_hundred_switches`.
#[test]
#[ignore = "it takes minutes"]
fn two_hundred_switches_lose_none_of_a_million_datagrams() {
    for host in ["127.0.0.1", "[::1]"] {
        let to: SocketAddr = format!("{host}:{}", free_port()).parse().unwrap();
        let address = format!("{}:{}", to.ip(), to.port());
        let mut segue = server(As::Init, 0, &[address]).start();
        let answers = switches(&mut segue, to, 200);
        eprintln!("{host}: {} datagrams, {} lost", answers.sent, answers.lost.len());
        assert!(answers.sent > 1_000_000);
    }
}

#[test]
fn in_each_family() {
    let six: std::net::Ipv6Addr = "::1".parse().unwrap();
    for (host, to) in [
        ("::1", SocketAddr::from((six, 0))),
        ("6", loopback(0)),
        ("6", (six, 0).into()),
    ] {
        let port = free_port();
        let mut segue = server(As::Subreaper, 0, &[format!("{host}:{port}")]).start();
        switches(&mut segue, SocketAddr::new(to.ip(), port), 3);
    }
}

/// Each has a socket of its own (SO_REUSEPORT), and the kernel's numbers of them are many.
#[test]
fn by_several_processes() {
    let port = free_port();
    let mut segue = server(As::Init, 3, &[format!("shared=127.0.0.1:{port}")]).start();
    switches(&mut segue, loopback(port), 6);
}

/// With SO_REUSEADDR two generations can have a port without segue, and the last to bind has everything at once.
#[test]
fn with_the_option_that_lets_the_last_have_everything() {
    let port = free_port();
    let mut segue = server(As::Subreaper, 0, &[format!("reused=0.0.0.0:{port}")]).start();
    switches(&mut segue, loopback(port), 3);
}

/// The one that serves goes on, behind a shell and over a roll-back.
#[test]
fn a_generation_that_cannot_start_costs_no_datagram() {
    let (files, port) = (directory(), free_port());
    let echo = program("datagrams.py");
    let recipe = |then: &str| {
        format!(
            "#!/bin/sh\n/usr/bin/python3 {} 0 127.0.0.1:{port} &\n\
             while ! grep -q $(printf ':%04X' {port}) /proc/net/udp; do sleep 0.02; done\n{then}\n",
            echo.display()
        )
    };
    let path = script(&files.path().join("program"), &recipe("wait"));
    let mut segue = Recipe::plain(As::Init, [&path])
        .with(&[("SEGUE_PROBATION", "50ms"), ("SEGUE_READY_TIMEOUT", "1s")])
        .start();
    segue.ready(1);
    let load = Stream::to(loopback(port), 4);
    load.more(50);
    fs::remove_file(&path).unwrap();
    script(&path, "#!/bin/sh\nexit 3\n");
    assert_eq!(segue.restart()["outcome"], "rolled_back");
    load.more(50);
    let answers = load.stop();
    answers.assert_whole();
    assert_eq!(answers.answered.keys().collect::<Vec<_>>(), [&1], "{answers:?}");
}

#[test]
fn who_has_bound_and_is_not_ready_gets_nothing() {
    let port = free_port();
    let text = format!(
        "import os, socket, time\n\
         s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n\
         s.bind(('127.0.0.1', {port}))\n\
         generation = os.environ['SEGUE_GENERATION']\n\
         def notify():\n\
        \x20   n = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n\
        \x20   n.sendto(b'READY=1', os.environ['NOTIFY_SOCKET'].replace('@', '\\0'))\n\
         if generation == '2':\n\
        \x20   s.settimeout(1)\n\
        \x20   try: print('got', s.recv(100), flush=True)\n\
        \x20   except TimeoutError: print('nothing came', flush=True)\n\
        \x20   os._exit(1)\n\
         s.settimeout(None)\n\
         notify()\n\
         while True:\n\
        \x20   what, who = s.recvfrom(2048)\n\
        \x20   s.sendto(what + b' ' + generation.encode(), who)\n"
    );
    let mut segue = Recipe::plain(As::Subreaper, ["/usr/bin/python3", "-c", &text])
        .with(&[("SEGUE_PROBATION", "50ms"), ("SEGUE_READY", "notify")])
        .start();
    segue.ready(1);
    let load = Stream::to(loopback(port), 4);
    load.more(50);
    assert_eq!(segue.restart()["outcome"], "rolled_back", "{}", segue.stderr());
    assert_eq!(segue.stdout(), "nothing came\n");
    assert_eq!(segue.restart()["outcome"], "replaced", "{}", segue.stderr());
    load.more(50);
    let answers = load.stop();
    answers.assert_whole();
    assert_eq!(answers.answered.keys().collect::<Vec<_>>(), [&1, &3], "{answers:?}");
}

/// A client that chooses where it asks from is no server: nobody waits for its port, and both generations can have it.
#[test]
fn a_client_s_port_is_nobody_s_to_wait_for() {
    let (port, own) = (free_port(), free_port());
    let upstream = UdpSocket::bind("127.0.0.1:0").unwrap();
    let text = format!(
        "import http.server, os, socket\n\
         if os.environ['SEGUE_GENERATION'] != '3':\n\
        \x20   s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n\
        \x20   s.bind(('127.0.0.1', {own})); s.connect(('127.0.0.1', {}))\n\
        \x20   s.send(os.environ['SEGUE_GENERATION'].encode())\n\
         http.server.HTTPServer(('127.0.0.1', {port}), http.server.SimpleHTTPRequestHandler).serve_forever()\n",
        upstream.local_addr().unwrap().port()
    );
    let mut segue = Recipe::plain(As::Subreaper, ["/usr/bin/python3", "-c", &text])
        .set("SEGUE_PROBATION", "50ms")
        .start();
    segue.ready(1);
    let gone = Instant::now() + Duration::from_millis(1_500);
    wait::until("its socket was looked at", || (Instant::now() > gone).then_some(()));
    for generation in 2..=3 {
        assert_eq!(
            segue.restart()["outcome"],
            "replaced",
            "{generation}: {}",
            segue.stderr()
        );
    }
    let mut said = [0; 16];
    for generation in ["1", "2"] {
        let length = upstream.recv(&mut said).unwrap();
        assert_eq!(&said[..length], generation.as_bytes());
    }
    assert!(
        segue.lines("the restart stops the program first").is_empty(),
        "{}",
        segue.stderr()
    );
}

/// What a program has closed is closed: the kernel says so to clients, and others can have the port.
#[test]
fn a_socket_that_is_closed_is_soon_nobody_s() {
    let (port, other) = (free_port(), free_port());
    let text = format!(
        "import os, socket, signal, time\n\
         s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('127.0.0.1', {port}))\n\
         t = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); t.bind(('127.0.0.1', {other}))\n\
         t.settimeout(30); t.recv(100); s.close(); print('closed', flush=True); signal.pause()\n"
    );
    let mut segue = Recipe::plain(As::Subreaper, ["/usr/bin/python3", "-c", &text]).start();
    segue.ready(1);
    ask(loopback(other), "x");
    wait::until("it is closed", || segue.stdout().contains("closed").then_some(()));
    let client = socket(loopback(port));
    client.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let begin = Instant::now();
    wait::until("the kernel says that nobody is there", || {
        client.send(b"x").ok();
        let refused = client.recv(&mut [0; 10]).unwrap_err().kind();
        (refused == std::io::ErrorKind::ConnectionRefused).then_some(())
    });
    assert!(
        begin.elapsed() < Duration::from_secs(2) * wait::slowness(),
        "{:?}",
        begin.elapsed()
    );
    UdpSocket::bind(loopback(port)).unwrap();
    segue.line(
        "the program has closed a UDP socket, which gets no datagrams any more",
        1,
    );
}

/// After a crash nobody is there for a moment, which the kernel says to clients, and then the next generation is.
#[test]
fn the_next_one_after_a_crash_has_the_port() {
    let port = free_port();
    let recipe = server(As::Init, 0, &[format!("127.0.0.1:{port}")]);
    let mut segue = recipe
        .set("SEGUE_RESTART", "always")
        // Long enough to ask meanwhile.
        .set("SEGUE_RESTART_DELAY", format!("{}s", 2 * wait::slowness()))
        .start();
    segue.ready(1);
    assert_eq!(ask(loopback(port), "7").unwrap(), "7 1");
    for child in crate::support::segue::children(segue.pid()) {
        crate::support::segue::signal_process(child, libc::SIGKILL);
    }
    // Until segue has let its copy go, what comes is lost, as it is while a process dies.
    segue.line("generation is gone", 1);
    let client = socket(loopback(port));
    client.send(b"x").unwrap();
    let refused = client.recv(&mut [0; 10]).unwrap_err().kind();
    assert_eq!(refused, std::io::ErrorKind::ConnectionRefused, "{}", segue.stderr());
    wait::until("the next one answers", || {
        ask(loopback(port), "7").filter(|answer| answer == "7 2")
    });
    segue.ready(2);
}

/// UDP alone makes a program ready; a server that listens is ready when it does, however early its UDP port is bound.
#[test]
fn ready_is_who_listens_and_udp_alone_counts_after_a_while() {
    let (port, other) = (free_port(), free_port());
    let text = format!(
        "import socket, time\n\
         s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('127.0.0.1', {other}))\n\
         time.sleep(1)\n\
         t = socket.create_server(('127.0.0.1', {port}))\n\
         time.sleep(100)\n"
    );
    let mut segue = Recipe::plain(As::Subreaper, ["/usr/bin/python3", "-c", &text]).start();
    segue.ready(1);
    let listens = segue.lines("listening");
    let tcp = format!("127.0.0.1:{port}");
    assert!(
        listens.iter().any(|line| line["address"] == tcp.as_str()),
        "{listens:?}"
    );
    assert!(client::begin(loopback(port), "/").is_ok());
}
