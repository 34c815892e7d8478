//! Programs that do more with UDP than to answer at one port: sockets connected to clients, ports by chance, TCP beside it.

use std::net::UdpSocket;

use crate::support::{
    datagrams::{ask, socket},
    free_port, loopback,
    segue::{As, Recipe},
    wait,
};

/// As servers of DTLS do: each client gets a socket of its own on the same port. Nobody can tell the kernel's numbers then.
#[test]
fn sockets_that_are_connected_to_clients_are_left_to_the_kernel() {
    let port = free_port();
    let text = format!(
        "import os, selectors, socket\n\
         def bound():\n\
        \x20   s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n\
        \x20   s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)\n\
        \x20   s.bind(('127.0.0.1', {port})); return s\n\
         selector = selectors.DefaultSelector(); main = bound(); selector.register(main, 1)\n\
         while True:\n\
        \x20   for key, _ in selector.select():\n\
        \x20       what, who = key.fileobj.recvfrom(100)\n\
        \x20       if key.fileobj is main:\n\
        \x20           own = bound(); own.connect(who); selector.register(own, 1)\n\
        \x20           own.send(b'first ' + os.environ['SEGUE_GENERATION'].encode())\n\
        \x20       else:\n\
        \x20           key.fileobj.send(b'again ' + os.environ['SEGUE_GENERATION'].encode())\n"
    );
    let mut segue = Recipe::plain(As::Subreaper, ["/usr/bin/python3", "-c", &text])
        .set("SEGUE_PROBATION", "50ms")
        .start();
    segue.ready(1);
    let clients: Vec<UdpSocket> = (0..10).map(|_| socket(loopback(port))).collect();
    let says = |client: &UdpSocket| {
        let mut answer = [0; 100];
        client.send(b"x").unwrap();
        let length = client.recv(&mut answer).unwrap();
        String::from_utf8_lossy(&answer[..length]).into_owned()
    };
    for expected in ["first 1", "again 1", "again 1"] {
        for client in &clients {
            assert_eq!(says(client), expected, "{}", segue.stderr());
        }
    }
    let line = segue.restart();
    assert_eq!(line["outcome"], "replaced", "{line}");
    let first = segue.line(
        "restarting stop-first: two generations at once would get in each other's way",
        1,
    );
    let why = first["evidence"].as_str().unwrap();
    assert!(
        why.contains(&format!("udp:127.0.0.1:{port}")) && why.contains("connected to one client"),
        "{why}"
    );
    wait::until("the next generation answers", || {
        ask(loopback(port), "x").filter(|answer| answer == "first 2")
    });
}

/// A resolver asks from a port of its own choice each time: it is not kept waiting, and none of them is waited for.
#[test]
fn ports_that_are_chosen_by_chance_are_not_waited_for() {
    let port = free_port();
    let text = format!(
        "import errno, os, random, socket, time\n\
         main = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); main.bind(('127.0.0.1', {port}))\n\
         begin, chosen = time.monotonic(), []\n\
         while len(chosen) < 300:\n\
        \x20   s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n\
        \x20   try: s.bind(('127.0.0.1', random.randrange(20000, 60000))); chosen.append(s)\n\
        \x20   except OSError as error: assert error.errno == errno.EADDRINUSE\n\
        \x20   if len(chosen) > 100: chosen[len(chosen) - 90].close()\n\
         shared = sum(not s._closed and s.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT) for s in chosen)\n\
         print('shared', shared, flush=True)\n\
         while True: main.recvfrom(100)\n"
    );
    let mut segue = Recipe::plain(As::Init, ["/usr/bin/python3", "-c", &text])
        .with(&[("SEGUE_PROBATION", "50ms"), ("SEGUE_DRAIN_IDLE", "50ms")])
        .start();
    segue.ready(1);
    let shared: u32 = segue.stdout().split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!(shared <= 32, "{shared}");
}

/// A real server, which binds UDP and TCP of one port.
#[test]
fn dnsmasq_answers_every_question() {
    if !std::path::Path::new("/usr/sbin/dnsmasq").exists() {
        assert!(
            std::env::var_os("TESTS_REQUIRE_SERVERS").is_none(),
            "dnsmasq is missing"
        );
        eprintln!("skipped: dnsmasq is not here");
        return;
    }
    let port = free_port();
    let words = [
        "/usr/sbin/dnsmasq".to_owned(),
        "--keep-in-foreground".into(),
        "--conf-file=/dev/null".into(),
        format!("--port={port}"),
        "--listen-address=127.0.0.1".into(),
        "--bind-interfaces".into(),
        "--no-resolv".into(),
        "--no-hosts".into(),
        "--user=root".into(),
        "--pid-file=".into(),
        "--address=/test/192.0.2.7".into(),
    ];
    let mut segue = Recipe::plain(As::Subreaper, words)
        .set("SEGUE_PROBATION", "50ms")
        .start();
    segue.ready(1);
    wait::until("its UDP port is seen", || {
        let udp = format!("udp:127.0.0.1:{port}");
        let lines = segue.lines("listening");
        lines.iter().any(|line| line["address"] == udp.as_str()).then_some(())
    });
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let stopped = std::sync::Arc::clone(&stop);
    let questions = std::thread::spawn(move || {
        let (client, mut id, mut answer) = (socket(loopback(port)), 0_u16, [0; 512]);
        while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
            id = id.wrapping_add(1);
            client.send(&question(id)).unwrap();
            let length = client.recv(&mut answer).unwrap();
            assert!(answer[..2] == id.to_be_bytes() && answer[..length].ends_with(&[192, 0, 2, 7]));
        }
        id
    });
    for _ in 0..5 {
        let line = segue.restart();
        assert_eq!(line["outcome"], "replaced", "{line}\n{}", segue.stderr());
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    assert!(questions.join().unwrap() > 100);
    assert!(
        segue.lines("the restart stops the program first").is_empty(),
        "{}",
        segue.stderr()
    );
}

fn question(id: u16) -> Vec<u8> {
    let mut bytes = id.to_be_bytes().to_vec();
    // Recursion desired, one question: a.test, type A, class IN.
    bytes.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    bytes.extend(b"\x01a\x04test\x00\x00\x01\x00\x01");
    bytes
}
