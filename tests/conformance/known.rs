//! Programs of the kinds that an exchange of sockets has broken, each written down as small as it gets.

use std::{ffi::OsString, path::Path, process::Command, time::Duration};

use crate::{
    programs::{built, text},
    support::{
        client::Load,
        free_port, loopback,
        segue::{As, BOTH, Recipe, Segue},
        wait,
    },
    watched::ask,
};

fn python(how: As, program: &str, arguments: &[String]) -> Recipe {
    let mut words: Vec<OsString> = vec!["/usr/bin/python3".into(), text(program).into()];
    words.extend(arguments.iter().map(OsString::from));
    Recipe::plain(how, words).set("SEGUE_PROBATION", "50ms")
}

/// Answers within a few seconds.
fn serves(segue: &mut Segue, port: u16) -> String {
    let begin = std::time::Instant::now();
    wait::until("it serves", || {
        let answer = ask(loopback(port), "/");
        let patient = begin.elapsed() < Duration::from_secs(10);
        assert!(answer.is_ok() || patient, "{answer:?}\n{}", segue.stderr());
        answer.ok()
    })
}

/// Restarts under load, each of which replaces the program, and no request fails.
fn restarts(segue: &mut Segue, port: u16, clients: usize, restarts: u64) {
    let load = Load::of(clients, move || Box::new(move || ask(loopback(port), "/")));
    load.more(20);
    for _ in 0..restarts {
        let line = segue.restart();
        assert_eq!(line["outcome"], "replaced", "{line}\n{}", segue.stderr());
        load.more(60);
    }
    let tally = load.stop();
    assert_eq!(tally.failed(), 0, "{tally}\n{}", segue.stderr());
}

#[test]
fn a_socket_in_an_epoll_that_listens_by_a_dup() {
    for how in BOTH {
        let port = free_port();
        let mut segue = python(how, "watched_dup.py", &[port.to_string()]).start();
        assert_eq!(serves(&mut segue, port), "nodelay 1");
        assert_eq!(segue.stdout(), format!("listens on ('127.0.0.1', {port})\n"));
        restarts(&mut segue, port, 4, 3);
    }
}

/// Overlapping restarts: who only has the port reserved gets no connection, in any generation.
#[test]
fn a_reserved_port_over_three_restarts() {
    let port = free_port();
    let mut segue = python(As::Init, "reserved.py", &[port.to_string()]).start();
    serves(&mut segue, port);
    restarts(&mut segue, port, 5, 3);
    segue.signal(libc::SIGTERM);
    segue.wait();
}

/// Old one first: those who wait are the workers' and not the reservation's.
#[test]
fn a_reserved_port_with_the_old_one_first() {
    let port = free_port();
    let recipe = python(As::Init, "reserved.py", &[port.to_string()]);
    let mut segue = recipe.set("SEGUE_RESTART_MODE", "stop-first").start();
    serves(&mut segue, port);
    let load = Load::start(loopback(port), "/", 5);
    load.more(20);
    let line = segue.restart();
    assert_eq!(line["outcome"], "replaced", "{line}\n{}", segue.stderr());
    load.more(100);
    let tally = load.stop();
    assert_eq!(tally.failed(), 0, "{tally}\n{}", segue.stderr());
}

#[test]
fn options_that_are_refused_are_no_fault_of_the_bind() {
    let port = free_port();
    let alone = Command::new("/usr/bin/python3")
        .args([text("refused.py").as_os_str(), port.to_string().as_ref()])
        .output()
        .unwrap();
    let alone = String::from_utf8(alone.stdout).unwrap();
    assert_eq!(alone.matches("bind ok listen ok").count(), 12, "{alone}");
    for how in BOTH {
        let segue = python(how, "refused.py", &[port.to_string()]).run();
        assert_eq!(segue.stdout(), alone, "{how:?}\n{}", segue.stderr());
    }
}

/// The standard library's own server sets an option of IPv6 on every socket.
#[test]
fn the_server_of_python_serves() {
    let port = free_port();
    let words = [
        "/usr/bin/python3",
        "-m",
        "http.server",
        &port.to_string(),
        "--bind",
        "127.0.0.1",
    ];
    let files = crate::support::directory();
    let mut segue = Recipe::plain(As::Subreaper, words).within(files.path()).start();
    serves(&mut segue, port);
}

/// Stop-first, and again before the new one listens on all that the old one did: who waits is not reset.
#[test]
fn the_second_port_is_late_and_the_second_restart_is_soon() {
    for soon in [Duration::from_millis(50), Duration::from_millis(800)] {
        let (port, other) = (free_port(), free_port());
        let arguments = [port.to_string(), other.to_string(), "1.2".into()];
        let recipe = python(As::Init, "late.py", &arguments);
        let mut segue = recipe.set("SEGUE_RESTART_MODE", "stop-first").start();
        serves(&mut segue, port);
        serves(&mut segue, other);
        let loads = [port, other].map(|port| Load::start(loopback(port), "/", 5));
        loads[1].more(50);
        segue.signal(libc::SIGHUP);
        let begin = std::time::Instant::now();
        wait::until("the second one is due", || (begin.elapsed() > soon).then_some(()));
        segue.signal(libc::SIGHUP);
        segue.line("restart succeeded", 2);
        for load in &loads {
            load.more(100);
        }
        for (load, which) in loads.into_iter().zip(["first", "second"]) {
            let tally = load.stop();
            assert_eq!(
                tally.failed(),
                0,
                "{soon:?}, the {which} port: {tally}\n{}",
                segue.stderr()
            );
        }
    }
}

/// What the next generation has not set is not set, although its clients have waited in the old one's socket.
#[test]
fn a_generation_after_a_crash_has_options_of_its_own() {
    let port = free_port();
    let settings = [("SEGUE_RESTART", "always"), ("SEGUE_RESTART_DELAY", "300ms")];
    let mut segue = python(As::Init, "after_crash.py", &[port.to_string()])
        .with(&settings)
        .start();
    assert_eq!(serves(&mut segue, port), "1 16384 1 1");
    ask(loopback(port), "/crash").unwrap_err();
    segue.line("program ended", 1);
    let waiting: Vec<_> = (0..4)
        .map(|_| std::thread::spawn(move || crate::support::client::get(loopback(port), "/")))
        .collect();
    for request in waiting {
        let output = request.join().unwrap().unwrap();
        assert!(output.starts_with("2 ") && output.ends_with(" 0 0"), "{output}");
        assert!(!output.contains(" 16384 "), "{output}");
    }
}

/// Asio registers its acceptor with epoll before it binds it.
#[test]
fn an_acceptor_of_asio() {
    let there = Path::new("/usr/include/asio.hpp").exists();
    assert!(
        there || std::env::var_os("TESTS_REQUIRE_SERVERS").is_none(),
        "libasio-dev is missing"
    );
    if !there {
        eprintln!("skipped: libasio-dev is not here");
        return;
    }
    let acceptor = built("acceptor.cpp");
    for how in BOTH {
        let port = free_port();
        let words: [OsString; 2] = [acceptor.clone().into(), port.to_string().into()];
        let mut segue = Recipe::plain(how, words).set("SEGUE_PROBATION", "50ms").start();
        assert_eq!(serves(&mut segue, port), "asio");
        restarts(&mut segue, port, 4, 3);
    }
}
