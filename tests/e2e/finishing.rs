//! How the replaced generation of a program that binds for itself finishes what its clients have begun over connections that they keep.

use std::{io, time::Duration};

use crate::{
    support::{
        client::{self, Kept, Kind},
        directory, free_port, loopback,
        segue::{As, Recipe, Segue},
        servers::Server,
        wait,
    },
    transparent::under_way,
};

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
