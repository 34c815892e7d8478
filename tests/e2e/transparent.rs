//! P2 for programs that know nothing of segue: they bind their own sockets, and lose no connection in a restart.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use crate::support::{
    client::{self, Load},
    directory, free_port, loopback,
    segue::{As, Recipe, Segue},
    servers::Server,
    wait,
};

fn start(server: Server, how: As, port: u16, files: &std::path::Path) -> Segue {
    let words = server.words(port, files, files.to_str().unwrap());
    let recipe = Recipe::plain(how, &words).set("SEGUE_PROBATION", "100ms");
    let recipe = server
        .settings()
        .into_iter()
        .fold(recipe, |recipe, (name, value)| recipe.set(name, value));
    recipe.start()
}

/// Waits until the newest generation, a server with a thread for each request, works on so many.
pub fn under_way(segue: &Segue, requests: usize) {
    wait::until("the requests are under way", || {
        let newest = *crate::support::segue::children(segue.pid()).iter().max()?;
        let threads = std::fs::read_dir(format!("/proc/{newest}/task")).ok()?.count();
        (threads == requests + 1).then_some(())
    });
}

/// 50 restarts under load of fresh connections, and not one request fails.
fn fifty_restarts(server: Server) {
    let files = directory();
    let port = free_port();
    let mut segue = start(server, As::Init, port, files.path());
    segue.ready(1);
    let load = Load::start(loopback(port), "/", 4);
    let six = (server == Server::Nginx).then(|| {
        // The first generation is ready when it first listens, which is not everywhere yet.
        segue.line("listening", 2);
        let address: SocketAddr = format!("[::1]:{port}").parse().unwrap();
        Load::start(address, "/", 2)
    });
    for restart in 1..=50 {
        let line = segue.restart();
        assert_eq!(line["outcome"], "replaced", "{line}");
        assert_eq!(line["generation"], restart + 1);
        load.more(10);
    }
    for tally in [Some(load), six].into_iter().flatten().map(Load::stop) {
        assert_eq!(tally.failed(), 0, "{tally}");
        assert!(tally.succeeded > 500, "{tally}");
    }
    if server != Server::Nginx {
        assert!(client::get(loopback(port), "/").unwrap().contains("51"));
    }
    segue.signal(libc::SIGTERM);
    assert_eq!(segue.wait(), server.code());
}

#[test]
fn nginx_restarts_50_times() {
    fifty_restarts(Server::Nginx);
}

#[test]
fn node_restarts_50_times() {
    fifty_restarts(Server::Node);
}

#[test]
fn python_that_dies_at_once_restarts_50_times() {
    fifty_restarts(Server::Python);
}

#[test]
fn the_example_restarts_50_times() {
    fifty_restarts(Server::Hello);
}

/// The final stop of a program that knows nothing of SIGTERM: what is under way finishes, whoever comes is refused.
#[test]
fn the_last_requests_of_a_naive_program_finish() {
    let files = directory();
    let port = free_port();
    let words = Server::Python.words(port, files.path(), files.path().to_str().unwrap());
    let mut segue = Recipe::plain(As::Init, &words).set("WORK", "3").start();
    segue.ready(1);
    let slow: Vec<_> = (0..20)
        .map(|_| std::thread::spawn(move || client::get(loopback(port), "/")))
        .collect();
    // All of them are being worked on when no connection waits and 20 threads sleep beside the main one.
    under_way(&segue, 20);
    let begin = Instant::now();
    segue.signal(libc::SIGTERM);
    segue.line("stop requested", 1);
    let mut refused = 0;
    while segue.try_wait().is_none() && begin.elapsed() < Duration::from_secs(12) {
        assert!(client::get(loopback(port), "/").is_err(), "a new connection was served");
        refused += 1;
    }
    assert!(refused > 10, "{refused}");
    // Three seconds, and not the fifteen of the drain timeout.
    assert!(begin.elapsed() < Duration::from_secs(12), "{:?}", begin.elapsed());
    for request in slow {
        assert!(request.join().unwrap().unwrap().contains("hello"));
    }
    assert_eq!(segue.wait(), 143);
    assert!(segue.lines("connections cut at the deadline").is_empty());
}

/// A program that may be changed between generations, behind a script.
fn changeable(files: &std::path::Path, text: &str) -> std::path::PathBuf {
    crate::support::script(&files.join("program"), text)
}

fn example(port: u16) -> String {
    format!(
        "#!/bin/sh\nexec {} 127.0.0.1:{port}\n",
        crate::support::hello().display()
    )
}

/// A new generation that is no good, under load: the old one goes on, and no client notices.
fn rolls_back(spoiled: &str, why: &str) {
    let (files, port) = (directory(), free_port());
    let program = changeable(files.path(), &example(port));
    let mut segue = Recipe::plain(As::Init, [&program])
        .set("SEGUE_READY_TIMEOUT", "600ms")
        .set("SEGUE_PROBATION", "300ms")
        .start();
    segue.ready(1);
    let load = Load::start(loopback(port), "/", 3);
    load.more(10);
    crate::support::script(&program, spoiled);
    let line = segue.restart();
    assert_eq!(line["outcome"], "rolled_back", "{line}");
    assert_eq!(line["why"], why.replace("{port}", &port.to_string()));
    load.more(30);
    let tally = load.stop();
    assert_eq!(tally.failed(), 0, "{tally}");
    assert_eq!(client::get(loopback(port), "/generation").unwrap().trim(), "1");
    crate::support::script(&program, &example(port));
    assert_eq!(segue.restart()["outcome"], "replaced");
    assert_eq!(client::get(loopback(port), "/generation").unwrap().trim(), "3");
}

#[test]
fn a_new_generation_that_exits_at_once_is_rolled_back() {
    rolls_back("#!/bin/sh\nexit 3\n", "it exited with code 3 before it was ready");
}

#[test]
fn a_new_generation_that_never_listens_is_rolled_back() {
    rolls_back(
        "#!/bin/sh\nexec sleep 1000\n",
        "it was not ready within SEGUE_READY_TIMEOUT; missing: 127.0.0.1:{port}",
    );
}

/// It listens, and dies on probation with nobody in its queue: new connections go back to the old one.
#[test]
fn a_new_generation_that_crashes_on_probation_is_rolled_back() {
    let (files, port) = (directory(), free_port());
    let program = changeable(files.path(), &example(port));
    let mut segue = Recipe::plain(As::Init, [&program]).start();
    segue.ready(1);
    let crash = format!(
        "#!/usr/bin/python3\nimport socket, time, os\ns = socket.create_server(('127.0.0.1', {port}))\ntime.sleep(0.2)\nos.abort()\n"
    );
    crate::support::script(&program, &crash);
    let line = segue.restart();
    assert_eq!(line["outcome"], "rolled_back", "{line}");
    assert_eq!(line["why"], "it was ended by signal 6 on probation");
    for _ in 0..20 {
        assert_eq!(client::get(loopback(port), "/generation").unwrap().trim(), "1");
    }
}

/// It listens on fewer ports than the old one: that is not ready.
#[test]
fn a_new_generation_that_listens_on_fewer_ports_is_rolled_back() {
    let (files, first, second) = (directory(), free_port(), free_port());
    let listens = |ports: &[u16]| {
        format!(
            "#!/usr/bin/python3\nimport socket, time\nall = [socket.create_server(('127.0.0.1', p)) for p in {ports:?}]\n\
             while True:\n\x20   time.sleep(0.001)\n\x20   for s in all:\n\x20       s.setblocking(False)\n\
             \x20       try: c, _ = s.accept()\n\x20       except BlockingIOError: continue\n\
             \x20       c.setblocking(True); c.recv(999); c.sendall(b'HTTP/1.0 200 OK\\r\\nContent-Length: 0\\r\\n\\r\\n'); c.close()\n"
        )
    };
    let program = changeable(files.path(), &listens(&[first, second]));
    let mut segue = Recipe::plain(As::Init, [&program])
        .set("SEGUE_READY_TIMEOUT", "700ms")
        .set("SEGUE_PROBATION", "50ms")
        .start();
    segue.line("listening", 2);
    crate::support::script(&program, &listens(&[first]));
    let line = segue.restart();
    assert_eq!(line["outcome"], "rolled_back", "{line}");
    for port in [first, second] {
        client::get(loopback(port), "/").unwrap();
    }
    crate::support::script(&program, &listens(&[first, second]));
    assert_eq!(segue.restart()["outcome"], "replaced");
}

/// The socket of a crashed generation waits, with everybody in it, for the next one that binds the address.
#[test]
fn clients_wait_through_a_crash() {
    let port = free_port();
    let mut segue = Recipe::plain(As::Init, [crate::support::hello()])
        .set("ADDRESS", format!("127.0.0.1:{port}"))
        .set("SEGUE_RESTART", "always")
        .set("SEGUE_RESTART_DELAY", "300ms")
        .start();
    segue.ready(1);
    client::get(loopback(port), "/crash").unwrap_err();
    segue.line("program ended", 1);
    let waiting: Vec<_> = (0..10)
        .map(|_| std::thread::spawn(move || client::get(loopback(port), "/generation")))
        .collect();
    for request in waiting {
        assert_eq!(request.join().unwrap().unwrap().trim(), "2");
    }
}

/// It crashes while its successor has not bound its address yet: connections wait for that as well.
#[test]
fn clients_wait_through_a_crash_during_a_restart() {
    let (files, port) = (directory(), free_port());
    let program = changeable(files.path(), &example(port));
    let mut segue = Recipe::plain(As::Init, [&program]).start();
    segue.ready(1);
    let go = files.path().join("go");
    let later = format!("while ! [ -e {} ]; do sleep 0.01; done\nexec", go.display());
    crate::support::script(&program, &example(port).replace("exec", &later));
    segue.signal(libc::SIGHUP);
    segue.line("generation started", 2);
    client::get(loopback(port), "/crash").unwrap_err();
    segue.line("generation is gone", 1);
    let waiting: Vec<_> = (0..10)
        .map(|_| TcpStream::connect(loopback(port)).expect("nobody is refused"))
        .collect();
    std::fs::write(go, "").unwrap();
    for mut stream in waiting {
        stream.write_all(b"GET /generation HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.ends_with("\r\n\r\n2"), "{answer}");
    }
}

/// Old one first, and yet nobody is refused: connections wait in a socket that the next one's bind gets.
#[test]
fn stop_first_makes_clients_of_a_naive_program_wait() {
    let (files, port) = (directory(), free_port());
    let words = Server::Python.words(port, files.path(), files.path().to_str().unwrap());
    let mut segue = Recipe::plain(As::Init, &words)
        .set("SEGUE_RESTART_MODE", "stop-first")
        .start();
    segue.ready(1);
    let load = Load::start(loopback(port), "/", 16);
    for generation in 2..8 {
        let line = segue.restart();
        assert_eq!(line["outcome"], "replaced");
        // Those who wait for the next generation must not be waited for before it starts: that would take the 15 s of
        // the drain timeout.
        assert!(line["took_ms"].as_u64().unwrap() < 10_000, "{line}");
        assert_eq!(segue.lines("generation is gone").len(), generation - 1);
        load.more(10);
    }
    let tally = load.stop();
    assert_eq!(tally.failed(), 0, "{tally}");
}

/// Two generations drain at once, each with a request of its own that takes longer than both restarts.
#[test]
fn two_generations_finish_what_is_theirs() {
    let (files, port) = (directory(), free_port());
    let words = Server::Python.words(port, files.path(), files.path().to_str().unwrap());
    let mut segue = Recipe::plain(As::Init, &words)
        .set("WORK", "2")
        .set("SEGUE_PROBATION", "50ms")
        .start();
    let mut requests = Vec::new();
    for generation in 1..=3 {
        segue.ready(generation);
        requests.push(std::thread::spawn(move || client::get(loopback(port), "/")));
        under_way(&segue, 1);
        if generation < 3 {
            assert_eq!(segue.restart()["outcome"], "replaced");
        }
    }
    assert!(segue.lines("generation is gone").is_empty(), "all three live");
    for (request, generation) in requests.into_iter().zip(1..) {
        assert_eq!(
            request.join().unwrap().unwrap(),
            format!("hello from generation {generation}\n")
        );
    }
}

/// What does not finish is cut, counted and told.
#[test]
fn what_is_cut_is_counted() {
    let (files, port) = (directory(), free_port());
    let words = Server::Python.words(port, files.path(), files.path().to_str().unwrap());
    let mut segue = Recipe::plain(As::Init, &words)
        .set("WORK", "60")
        .set("SEGUE_STOP_TIMEOUT", "2s")
        .start();
    segue.ready(1);
    let requests: Vec<_> = (0..3)
        .map(|_| std::thread::spawn(move || client::get(loopback(port), "/")))
        .collect();
    under_way(&segue, 3);
    let begin = Instant::now();
    segue.signal(libc::SIGTERM);
    let line = segue.line("connections cut at the deadline", 1);
    assert_eq!(
        (&line["cut"], &line["at"]),
        (&3.into(), &"SEGUE_DRAIN_TIMEOUT".into()),
        "{line}"
    );
    assert_eq!(segue.wait(), 143);
    let took = begin.elapsed();
    assert!(took > Duration::from_millis(900), "{took:?}");
    for request in requests {
        request.join().unwrap().unwrap_err();
    }
}

/// `SEGUE_DRAIN` decides who sees to the connections, whatever the program catches.
#[test]
fn the_drain_may_be_chosen() {
    for (drain, served) in [("connections", true), ("signal", false)] {
        let (files, port) = (directory(), free_port());
        let words = Server::Python.words(port, files.path(), files.path().to_str().unwrap());
        let mut segue = Recipe::plain(As::Init, &words)
            .set("WORK", "0.7")
            .set("SEGUE_DRAIN", drain)
            .start();
        segue.ready(1);
        let request = std::thread::spawn(move || client::get(loopback(port), "/"));
        under_way(&segue, 1);
        segue.signal(libc::SIGTERM);
        assert_eq!(segue.wait(), 143);
        assert_eq!(request.join().unwrap().is_ok(), served, "{drain}");
    }
}

/// A thousand restarts would take too long here: after 60 there is no more of anything than after 10.
#[test]
fn many_restarts_leave_nothing_behind() {
    let port = free_port();
    let mut segue = Recipe::plain(As::Init, [crate::support::hello()])
        .set("ADDRESS", format!("127.0.0.1:{port}"))
        .set("SEGUE_PROBATION", "0")
        .set("SEGUE_LOG", "info")
        .start();
    segue.ready(1);
    let pid = segue.pid();
    let weigh = || {
        let count = |what: &str| std::fs::read_dir(format!("/proc/{pid}/{what}")).unwrap().count();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        let resident: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
        (resident, count("fd"), count("task"))
    };
    let mut first = None;
    for gone in 1..=60 {
        assert_eq!(segue.restart()["outcome"], "replaced");
        segue.line("generation is gone", gone);
        if gone == 10 {
            first = Some(weigh());
        }
    }
    let (first, last) = (first.unwrap(), weigh());
    assert!(last.0 <= first.0 + 200, "kB: {} then {}", first.0, last.0);
    // One socket more or less: a member leaves its group only when that moves nobody.
    assert!(last.1 <= first.1 + 2 && last.2 == first.2, "{first:?} then {last:?}");
}
