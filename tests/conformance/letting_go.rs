//! What a program has let go of is gone: segue's copy of a listener keeps no connection that no process accepts, and no port that
//! another process wants. Each is tried without segue as well.

use std::{
    ffi::OsString,
    fs,
    net::TcpListener,
    os::fd::AsFd,
    path::Path,
    time::{Duration, Instant},
};

use nix::poll::{PollFd, PollFlags, poll};

use crate::{
    programs::text,
    support::{
        self, free_port, loopback,
        segue::{As, Recipe, Segue, children, signal_process},
        wait,
    },
    watched::{Clients, all_answered, ask},
};

/// So long it may take to notice, under traffic.
const NOTICED: Duration = Duration::from_millis(300);
/// So long all has to be well afterwards.
const WELL: Duration = Duration::from_secs(2);

const PYTHON: &str = "/usr/bin/python3";

/// A program with segue around it, or without.
pub fn start(with_segue: bool, words: &[OsString], settings: &[(&str, &str)]) -> Segue {
    let recipe = Recipe::plain(As::Subreaper, words)
        .set("SEGUE_PROBATION", "50ms")
        .with(settings);
    if with_segue {
        return recipe.start();
    }
    let files = support::directory();
    let with = recipe.command(files.path());
    let mut command = std::process::Command::new(&words[0]);
    command.args(&words[1..]);
    command.envs(with.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.stdin(std::process::Stdio::null());
    command.stdout(fs::File::create(files.path().join("out")).unwrap());
    command.stderr(fs::File::create(files.path().join("log")).unwrap());
    Segue::spawn(As::Subreaper, command, files)
}

fn python(program: &str, arguments: &[String]) -> Vec<OsString> {
    let mut words = vec![PYTHON.into(), text(program).into()];
    words.extend(arguments.iter().map(OsString::from));
    words
}

/// Waits until a line of the program's has come so often.
fn said(segue: &Segue, line: &str, times: usize) -> Instant {
    wait::until(line, || {
        let many = segue.stdout().lines().filter(|it| *it == line).count();
        (many >= times).then(Instant::now)
    })
}

/// Waits until requests that began after this have been answered for so long.
fn goes_on(clients: &Clients, from: Instant, time: Duration) {
    wait::until("time passes, with requests", || {
        (from.elapsed() > time && clients.since(from) > 20).then_some(())
    });
}

fn serves(port: u16) {
    wait::until("it serves", || ask(loopback(port), "/").ok());
}

/// All workers serve: this many, counted by their process numbers.
fn all_serve(port: u16, workers: usize) {
    let mut seen = std::collections::BTreeSet::new();
    wait::until("all workers serve", || {
        seen.extend(ask(loopback(port), "/").ok());
        (seen.len() >= workers).then_some(())
    });
}

#[test]
fn a_worker_that_retires_gets_no_more_connections() {
    for with_segue in [false, true] {
        let port = free_port();
        let segue = start(with_segue, &python("workers.py", &[port.to_string(), "3".into()]), &[]);
        all_serve(port, 3);
        let clients = Clients::start(loopback(port), 4);
        for retired in 1..=2 {
            ask(loopback(port), "/retire").unwrap();
            let gone = said(&segue, "gone", retired);
            goes_on(&clients, gone, NOTICED + WELL);
            let what = format!("with segue {with_segue}, {retired} of 3 retired");
            all_answered(&clients.so_far(), gone + NOTICED, Instant::now(), &what);
        }
        clients.stop();
    }
}

#[test]
fn a_worker_that_crashes_is_not_waited_for_by_clients() {
    for with_segue in [false, true] {
        let port = free_port();
        let words = python("workers.py", &[port.to_string(), "2".into(), "4".into()]);
        let segue = start(with_segue, &words, &[]);
        all_serve(port, 2);
        let clients = Clients::start(loopback(port), 4);
        ask(loopback(port), "/crash").unwrap_err();
        let gone = said(&segue, "gone", 1);
        let again = said(&segue, "again", 1);
        assert!(again - gone > NOTICED + WELL, "the test needs the time between them");
        goes_on(&clients, again, Duration::from_millis(500));
        let what = format!("with segue: {with_segue}");
        let requests = clients.stop();
        all_answered(&requests, gone + NOTICED, again, &what);
        all_answered(&requests, again, again + WELL, &what);
    }
}

/// The port of a closed listener is anybody's, also for who is not below segue, and the connections are the new one's.
#[test]
fn a_closed_port_is_free_for_a_stranger() {
    for with_segue in [false, true] {
        let (port, other) = (free_port(), free_port());
        let words = python("two_ports.py", &[port.to_string(), other.to_string()]);
        let _segue = start(with_segue, &words, &[]);
        serves(port);
        serves(other);
        let clients = Clients::start(loopback(other), 2);
        goes_on(&clients, Instant::now(), Duration::from_millis(100));
        ask(loopback(port), "/close").unwrap();
        let closed = Instant::now();
        let stranger = wait::until("the port is free", || {
            assert!(
                closed.elapsed() < WELL * wait::slowness(),
                "with segue {with_segue}: the port is never free"
            );
            TcpListener::bind(loopback(other)).ok()
        });
        let took = closed.elapsed();
        assert!(
            took < (NOTICED + Duration::from_millis(200)) * wait::slowness(),
            "with segue {with_segue}: {took:?}"
        );
        stranger.set_nonblocking(true).unwrap();
        let begin = Instant::now();
        let mut served = 0;
        while begin.elapsed() < WELL {
            let Ok((mut stream, _)) = stranger.accept() else {
                let mut files = [PollFd::new(stranger.as_fd(), PollFlags::POLLIN)];
                poll(&mut files, 10_u8).unwrap();
                continue;
            };
            stream.set_nonblocking(false).unwrap();
            std::io::Read::read(&mut stream, &mut [0; 4096]).unwrap();
            let answer = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 8\r\n\r\nstranger";
            std::io::Write::write_all(&mut stream, answer).unwrap();
            served += 1;
        }
        drop(stranger);
        let requests = clients.stop();
        assert!(served > 20, "{served}");
        // (The last ones meet a listener that the test has closed.)
        let to = begin + WELL - Duration::from_millis(200);
        all_answered(
            &requests,
            closed + NOTICED + Duration::from_millis(200),
            to,
            &format!("with segue: {with_segue}"),
        );
        let programs_own = requests.iter().filter(|it| it.0 > closed + NOTICED);
        let wrong = programs_own.filter(|it| it.1.as_ref().is_ok_and(|body| body == "program"));
        assert_eq!(wrong.count(), 0, "nobody else answers");
    }
}

fn nginx_conf(port: u16, workers: usize, files: &Path) -> String {
    let places = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("{name}_temp_path {}/{name};", files.display()))
        .join(" ");
    format!(
        "worker_processes {workers}; daemon off; pid {files}/pid; error_log stderr warn;\n\
         events {{ worker_connections 256; }}\n\
         http {{ access_log off; {places} server {{ listen 127.0.0.1:{port} reuseport; location / {{ return 200 \"$pid\"; }} }} }}\n",
        files = files.display()
    )
}

/// nginx's own reload to fewer workers and to more, beside segue's back.
#[test]
fn nginx_may_change_the_number_of_its_workers() {
    let there = std::process::Command::new("nginx").arg("-v").output().is_ok();
    assert!(
        there || std::env::var_os("TESTS_REQUIRE_SERVERS").is_none(),
        "nginx is missing"
    );
    if !there {
        eprintln!("skipped: nginx is not here");
        return;
    }
    for with_segue in [false, true] {
        let (port, files) = (free_port(), support::directory());
        let conf = files.path().join("nginx.conf");
        fs::write(&conf, nginx_conf(port, 3, files.path())).unwrap();
        let words = ["nginx".into(), "-c".into(), conf.clone().into()];
        let segue = start(with_segue, &words, &[("SEGUE_STOP_SIGNAL", "QUIT")]);
        all_serve(port, 3);
        let master = if with_segue {
            children(segue.pid())[0]
        } else {
            segue.pid()
        };
        let clients = Clients::start(loopback(port), 4);
        for workers in [1, 3, 1, 2] {
            let before = children(master);
            fs::write(&conf, nginx_conf(port, workers, files.path())).unwrap();
            signal_process(master, libc::SIGHUP);
            let reloaded = wait::until("the old workers are gone", || {
                let now = children(master);
                let over = now.len() == workers && now.iter().all(|it| !before.contains(it));
                over.then(Instant::now)
            });
            goes_on(&clients, reloaded, NOTICED + WELL);
            let what = format!("with segue {with_segue}, {workers} workers");
            all_answered(&clients.so_far(), reloaded + NOTICED, Instant::now(), &what);
        }
        clients.stop();
    }
}

/// How often the threads of a process have gone to sleep, or were put aside.
fn switches(pid: i32) -> u64 {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let statuses = threads.map(|thread| fs::read_to_string(thread.unwrap().path().join("status")).unwrap());
    let count = |status: String| -> u64 {
        let lines = status.lines().filter_map(|line| line.split_once("ctxt_switches:"));
        lines.map(|(_, number)| number.trim().parse::<u64>().unwrap()).sum()
    };
    statuses.map(count).sum()
}

/// However segue looks for listeners that no process accepts from: while nothing comes, it sleeps.
#[test]
fn who_watches_listeners_sleeps_while_nobody_comes() {
    let port = free_port();
    let segue = start(true, &python("workers.py", &[port.to_string(), "3".into()]), &[]);
    all_serve(port, 3);
    let clients = Clients::start(loopback(port), 2);
    goes_on(&clients, Instant::now(), Duration::from_millis(300));
    clients.stop();
    ask(loopback(port), "/retire").unwrap();
    said(&segue, "gone", 1);
    let pid = segue.pid();
    let mut last = (switches(pid), Instant::now());
    // Where a worker was slow to accept, a last look at its queue may be up to 5 s away. Then there is none.
    wait::until("it sleeps for longer than between any two looks", || {
        let now = switches(pid);
        if now != last.0 {
            last = (now, Instant::now());
        }
        (last.1.elapsed() > Duration::from_secs(6)).then_some(())
    });
}
