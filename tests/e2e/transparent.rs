//! P2 for programs that know nothing of segue: they bind their own sockets, and lose no connection in a restart.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use crate::support::{
    client::{self, Kept, Kind, Load},
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
fn under_way(segue: &Segue, requests: usize) {
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
    assert_eq!(line["why"], why);
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
        "it was not ready within SEGUE_READY_TIMEOUT",
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

/// Clients that keep their connections lose nothing with a program that drains itself: it says when a connection ends.
#[test]
fn kept_connections_of_a_program_that_drains_itself_lose_nothing() {
    let port = free_port();
    let mut segue = Recipe::plain(As::Init, [crate::support::hello()])
        .set("ADDRESS", format!("127.0.0.1:{port}"))
        .set("SEGUE_PROBATION", "50ms")
        .start();
    segue.ready(1);
    let ended = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let ended = std::sync::Arc::clone(&ended);
            std::thread::spawn(move || {
                let (mut answers, mut closed) = (0, 0);
                let mut kept = Kept::connect(loopback(port)).unwrap();
                while !ended.load(std::sync::atomic::Ordering::Relaxed) {
                    match kept.get().unwrap() {
                        Kind::Answered { last: false } => answers += 1,
                        Kind::Answered { last: true } => {
                            answers += 1;
                            kept = Kept::connect(loopback(port)).unwrap();
                        }
                        Kind::Closed => {
                            closed += 1;
                            kept = Kept::connect(loopback(port)).unwrap();
                        }
                    }
                }
                (answers, closed)
            })
        })
        .collect();
    for gone in 1..=20 {
        assert_eq!(segue.restart()["outcome"], "replaced");
        segue.line("generation is gone", gone);
    }
    ended.store(true, std::sync::atomic::Ordering::Relaxed);
    let all: Vec<(u64, u64)> = clients.into_iter().map(|client| client.join().unwrap()).collect();
    assert!(all.iter().all(|it| it.0 > 100 && it.1 == 0), "{all:?}");
}

/// With one that knows nothing of it, every request that is under way at the switch finishes, and so does each that
/// follows over the same connection, until the connection is quiet.
#[test]
fn kept_connections_of_a_naive_program_finish_what_they_began() {
    let (files, port) = (directory(), free_port());
    let words = Server::Python.words(port, files.path(), files.path().to_str().unwrap());
    let mut segue = Recipe::plain(As::Init, &words)
        .set("WORK", "0.4")
        .set("KEEP", "1")
        .set("SEGUE_PROBATION", "50ms")
        .start();
    segue.ready(1);
    let clients: Vec<_> = (0..8)
        .map(|_| {
            std::thread::spawn(move || {
                let mut kept = Kept::connect(loopback(port)).unwrap();
                let answered = |it: io::Result<Kind>| it.unwrap() == Kind::Answered { last: false };
                (0..6).filter(|_| answered(kept.get())).count()
            })
        })
        .collect();
    under_way(&segue, 8);
    assert_eq!(segue.restart()["outcome"], "replaced");
    for client in clients {
        assert_eq!(client.join().unwrap(), 6);
    }
    segue.line("generation is gone", 1);
    assert!(segue.lines("connections cut at the deadline").is_empty());
}

/// A client that asks again and again is never quiet for as long as segue waits for; its connection is closed all the same, and not
/// under a request. (The last third of the wait begins in the third request, and its end would come in the fourth.)
#[test]
fn a_connection_that_is_never_quiet_is_closed_between_two_requests() {
    let (files, port) = (directory(), free_port());
    let words = Server::Python.words(port, files.path(), files.path().to_str().unwrap());
    let mut segue = Recipe::plain(As::Init, &words)
        .set("WORK", "1.5")
        .set("KEEP", "1")
        .set("SEGUE_PROBATION", "50ms")
        .set("SEGUE_DRAIN_IDLE", "8s")
        .set("SEGUE_DRAIN_TIMEOUT", "10s")
        .start();
    segue.ready(1);
    let client = std::thread::spawn(move || {
        let mut kept = Kept::connect(loopback(port)).unwrap();
        for request in 1..10 {
            assert_eq!(kept.get().unwrap(), Kind::Answered { last: false }, "{request}");
            if kept.closes_within(Duration::from_millis(1500)) {
                return;
            }
        }
        panic!("it is never closed");
    });
    under_way(&segue, 1);
    assert_eq!(segue.restart()["outcome"], "replaced");
    segue.line("generation is gone", 1);
    client.join().unwrap();
    assert!(segue.lines("connections cut at the deadline").is_empty());
}

/// A handler says that a program drains itself, but not where it is a runtime's: here Node's own, and one that catches all that it
/// can, as those of Go and Java do. Both end at once on SIGTERM.
#[test]
fn a_runtime_that_handles_the_stop_signal_is_waited_for() {
    let port = free_port();
    let slow = "const body = `hello from generation ${process.env.SEGUE_GENERATION}\\n`;\n\
                const answer = (request, response) => {\n\
                \x20   console.log('asked');\n\
                \x20   setTimeout(() => response.end(body), 1000);\n\
                };\n\
                require('http').createServer(answer).listen(process.argv[1]);";
    is_waited_for(port, &["node", "-e", slow, &port.to_string()], |segue, requests| {
        wait::until("it is asked", || {
            (segue.stdout().matches("asked").count() == requests).then_some(())
        });
    });
    let (files, port) = (directory(), free_port());
    Server::Python.words(port, files.path(), "");
    let naive = files.path().join("naive.py");
    let text = std::fs::read_to_string(&naive).unwrap();
    let all = "import signal\nfor number in set(range(1, 32)) - {9, 17, 18, 19}:\n\
               \x20   signal.signal(number, lambda number, _: os._exit(128 + number))\n";
    std::fs::write(&naive, text.replace("\nhost = ", &format!("\n{all}host = "))).unwrap();
    let words = ["/usr/bin/python3", naive.to_str().unwrap(), &port.to_string()];
    is_waited_for(port, &words, |segue, _| under_way(segue, 1));
}

/// `asked` waits until the newest generation has so many requests, all of them together, of which the last takes a second.
fn is_waited_for(port: u16, words: &[&str], asked: impl Fn(&Segue, usize)) {
    let mut segue = Recipe::plain(As::Init, words)
        .set("WORK", "1")
        .set("SEGUE_PROBATION", "50ms")
        .start();
    segue.ready(1);
    for generation in 1..=2 {
        let request = std::thread::spawn(move || client::get(loopback(port), "/"));
        asked(&segue, generation);
        if generation == 1 {
            assert_eq!(segue.restart()["outcome"], "replaced");
        } else {
            segue.signal(libc::SIGTERM);
        }
        assert_eq!(
            request.join().unwrap().unwrap(),
            format!("hello from generation {generation}\n")
        );
    }
    assert_eq!(segue.wait(), 143);
}
