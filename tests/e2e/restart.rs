//! P2: a restart replaces the program without losing a connection.

use std::{fs, time::Duration};

use crate::support::{
    client::{self, Load},
    command::Desk,
    directory, free_port, hello, loopback, script,
    segue::{As, BOTH, Recipe},
    wait,
};

/// The issue's own bar: 50 restarts under load of fresh connections, of a program that drains on SIGTERM.
#[test]
fn listen_fds_loses_nothing_in_50_restarts() {
    for how in BOTH {
        let port = free_port();
        let mut segue = Recipe::new(how, [hello()])
            .set("SEGUE_LISTEN", format!(":{port}"))
            .set("SEGUE_READY", "notify")
            .set("SEGUE_PROBATION", "50ms")
            .start();
        segue.ready(1);
        let load = Load::start(loopback(port), "/", 4);
        for restart in 1..=50 {
            let line = segue.restart();
            assert_eq!(line["outcome"], "replaced", "{line}");
            assert_eq!(line["generation"], restart + 1);
            load.more(20);
        }
        let served_by = client::get(loopback(port), "/generation").unwrap();
        let tally = load.stop();
        assert_eq!(tally.failed(), 0, "{tally}");
        assert_eq!(served_by.trim(), "51");
        segue.signal(libc::SIGTERM);
        assert_eq!(segue.wait(), 0);
    }
}

/// Even with the least possible pause between ready and the stop signal.
#[test]
fn without_probation_nothing_is_lost_either() {
    let port = free_port();
    let mut segue = Recipe::new(As::Subreaper, [hello()])
        .set("SEGUE_LISTEN", format!("127.0.0.1:{port}"))
        .set("SEGUE_READY", "notify")
        .set("SEGUE_PROBATION", "0")
        .set("HELLO_WORK", "20")
        .start();
    segue.ready(1);
    let load = Load::start(loopback(port), "/", 8);
    for _ in 0..10 {
        assert_eq!(segue.restart()["outcome"], "replaced");
        load.more(20);
    }
    let tally = load.stop();
    assert_eq!(tally.failed(), 0, "{tally}");
}

/// Old one first: connections wait in the kernel's queue until the new one takes them.
#[test]
fn stop_first_makes_clients_wait_and_refuses_none() {
    let port = free_port();
    let mut segue = Recipe::new(As::Init, [hello()])
        .set("SEGUE_LISTEN", format!(":{port}"))
        .set("SEGUE_READY", "notify")
        .set("SEGUE_RESTART_MODE", "stop-first")
        .set("HELLO_START_DELAY", "200")
        .start();
    segue.ready(1);
    let load = Load::start(loopback(port), "/", 4);
    for generation in 2..6 {
        assert_eq!(segue.restart()["outcome"], "replaced");
        let gone = segue.lines("generation is gone").len();
        let started = segue.lines("generation started").len();
        assert_eq!(
            (gone, started),
            (generation - 1, generation),
            "the old one was gone first"
        );
        load.more(10);
    }
    let tally = load.stop();
    assert_eq!(tally.failed(), 0, "{tally}");
}

#[test]
fn requests_in_flight_finish_on_the_old_generation() {
    let port = free_port();
    let mut segue = Recipe::new(As::Subreaper, [hello()])
        .set("SEGUE_LISTEN", format!("127.0.0.1:{port}"))
        .set("SEGUE_READY", "notify")
        .set("SEGUE_PROBATION", "50ms")
        .start();
    segue.ready(1);
    let slow = client::begin(loopback(port), "/slow?ms=1500").unwrap();
    // Another request shows that the slow one has arrived.
    client::get(loopback(port), "/").unwrap();
    assert_eq!(segue.restart()["outcome"], "replaced");
    assert_eq!(client::get(loopback(port), "/generation").unwrap().trim(), "2");
    let answer = client::answer(slow).unwrap();
    assert!(answer.contains("generation 1"), "{answer}");
}

#[test]
fn every_kind_of_address_and_its_name() {
    let files = directory();
    let path = files.path().join("hello.sock");
    let (dual, four, six) = (free_port(), free_port(), free_port());
    let listen = format!(
        "both=:{dual},127.0.0.1:{four},six=[::1]:{six},file=unix:{}",
        path.display()
    );
    let program = script(
        &files.path().join("program"),
        "#!/usr/bin/python3\n\
         import os, socket\n\
         assert os.environ['LISTEN_PID'] == str(os.getpid()), os.environ['LISTEN_PID']\n\
         print(os.environ['LISTEN_FDNAMES'], flush=True)\n\
         for fd in range(3, 3 + int(os.environ['LISTEN_FDS'])):\n\
        \x20   s = socket.socket(fileno=fd)\n\
        \x20   c, _ = s.accept()\n\
        \x20   print(fd, c.recv(9).decode(), flush=True)\n",
    );
    let mut segue = Recipe::new(As::Subreaper, [program])
        .set("SEGUE_LISTEN", listen)
        .start();
    use std::io::Write;
    let say = |address: (&str, u16), text: &str| {
        let mut stream = wait::until("a connection", || std::net::TcpStream::connect(address).ok());
        stream.write_all(text.as_bytes()).unwrap();
    };
    say(("127.0.0.1", dual), "over v4");
    say(("127.0.0.1", four), "v4 only");
    say(("::1", six), "v6 only");
    let by_path = || std::os::unix::net::UnixStream::connect(&path).ok();
    let mut stream = wait::until("a connection", by_path);
    stream.write_all(b"by path").unwrap();
    assert_eq!(segue.wait(), 0, "{}", segue.stderr());
    let expected = "both:unknown:six:file\n3 over v4\n4 v4 only\n5 v6 only\n6 by path\n";
    assert_eq!(segue.stdout(), expected);
    assert!(!path.exists(), "the path goes with segue");
}

#[test]
fn a_dual_stack_port_is_reached_over_ipv6_too() {
    let port = free_port();
    let mut segue = Recipe::new(As::Init, [hello()])
        .set("SEGUE_LISTEN", format!(":{port}"))
        .set("SEGUE_READY", "notify")
        .start();
    segue.ready(1);
    for address in [format!("127.0.0.1:{port}"), format!("[::1]:{port}")] {
        assert_eq!(
            client::get(address.parse().unwrap(), "/generation").unwrap().trim(),
            "1"
        );
    }
}

/// Sockets that segue was given itself go to every generation.
#[test]
fn inherited_sockets_are_passed_on() {
    use std::os::unix::process::CommandExt;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let files = directory();
    let desk = Desk::new();
    let recipe = Recipe::new(As::Subreaper, [hello()])
        .set("SEGUE_READY", "notify")
        .set("SEGUE_CONTROL", desk.path())
        .set("SEGUE_PROBATION", "50ms");
    let mut command = recipe.command(files.path());
    // A shell stamps the number that it will be segue's, as systemd does.
    let mut shell = std::process::Command::new("sh");
    shell.args([
        "-c",
        "export LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=web; exec \"$0\" \"$@\"",
    ]);
    shell.arg(command.get_program()).args(command.get_args()).env_clear();
    for (name, value) in command.get_envs() {
        shell.env(name, value.unwrap());
    }
    shell.stderr(fs::File::create(files.path().join("log")).unwrap());
    // A copy far away, so that putting it to number 3 is a copy again, which clears close-on-exec.
    let far = nix::fcntl::fcntl(&listener, nix::fcntl::FcntlArg::F_DUPFD_CLOEXEC(100)).unwrap();
    #[expect(unsafe_code, reason = "passing a socket at a number")]
    // SAFETY: dup2 is async-signal-safe.
    unsafe {
        shell.pre_exec(move || {
            if libc::dup2(far, 3) == 3 {
                Ok(())
            } else {
                Err(std::io::Error::last_os_error())
            }
        });
    }
    command = shell;
    let mut segue = crate::support::segue::Segue::spawn(As::Subreaper, command, files);
    nix::unistd::close(far).unwrap();
    drop(listener);
    segue.ready(1);
    let listens = &desk.status()["generations"][0]["listens"];
    assert_eq!(listens, &serde_json::json!([address.to_string()]));
    let load = Load::start(address, "/", 2);
    for _ in 0..5 {
        assert_eq!(segue.restart()["outcome"], "replaced");
        load.more(10);
    }
    let tally = load.stop();
    assert_eq!(tally.failed(), 0, "{tally}");
}

#[test]
fn restarts_asked_for_during_a_restart_are_remembered_once() {
    let mut segue = Recipe::new(As::Subreaper, ["sleep", "1000"])
        .set("SEGUE_PROBATION", "700ms")
        .start();
    segue.ready(1);
    segue.signal(libc::SIGHUP);
    segue.ready(2);
    // The first is on probation now: these are one more.
    for _ in 0..20 {
        segue.signal(libc::SIGHUP);
    }
    segue.line("restart succeeded", 2);
    wait::throughout(Duration::from_millis(900), "three generations and no more", || {
        segue.lines("generation started").len() == 3
    });
}

#[test]
fn at_most_three_generations_live() {
    let files = directory();
    let stubborn = script(
        &files.path().join("stubborn"),
        "#!/bin/sh\ntrap '' TERM\nwhile :; do sleep 1000; done\n",
    );
    let mut segue = Recipe::new(As::Init, [stubborn]).set("SEGUE_PROBATION", "10ms").start();
    segue.ready(1);
    for _ in 0..2 {
        assert_eq!(segue.restart()["outcome"], "replaced");
    }
    // The fourth needs the place of the first, which ignores the stop signal and is given five seconds.
    assert_eq!(segue.restart()["outcome"], "replaced");
    let gone = segue.line("generation is gone", 1);
    assert_eq!(gone["generation"], 1);
}

/// Without hand-over a program that opens its own port cannot run twice; one that opens none can.
#[test]
fn without_handover_only_a_program_that_listens_is_stopped_first() {
    let port = free_port();
    let mut server = Recipe::new(As::Subreaper, [hello()])
        .set("ADDRESS", format!("127.0.0.1:{port}"))
        .set("SEGUE_HANDOVER", "none")
        .start();
    server.ready(1);
    wait::until("it answers", || client::get(loopback(port), "/").ok());
    assert_eq!(server.restart()["outcome"], "replaced");
    let warning = server.line(
        "restarting stop-first: two generations at once would get in each other's way",
        1,
    );
    let evidence = "it listens on sockets of its own, and there is no hand-over: connections are refused meanwhile";
    assert_eq!(warning["evidence"], evidence);
    wait::until("the new one answers", || {
        client::get(loopback(port), "/")
            .ok()
            .filter(|it| it.contains("generation 2"))
    });

    let mut worker = Recipe::new(As::Subreaper, ["sleep", "1000"])
        .set("SEGUE_HANDOVER", "none")
        .set("SEGUE_PROBATION", "1s")
        .start();
    worker.ready(1);
    worker.signal(libc::SIGHUP);
    worker.ready(2);
    assert!(
        worker.lines("generation is gone").is_empty(),
        "both live while the new one is on probation"
    );
}

#[test]
fn env_files_are_read_afresh_for_every_generation() {
    let files = directory();
    let (dotenv, map) = (files.path().join("app.env"), files.path().join("map"));
    fs::create_dir(&map).unwrap();
    fs::write(&dotenv, "COLOUR=red\n").unwrap();
    fs::write(map.join("SHAPE"), "round\n").unwrap();
    let mut segue = Recipe::new(
        As::Subreaper,
        ["sh", "-c", "echo $COLOUR $SHAPE $PLAIN; exec sleep 1000"],
    )
    .set("SEGUE_ENV_FILES", format!("{},{}", dotenv.display(), map.display()))
    .set("SEGUE_PROBATION", "10ms")
    .set("COLOUR", "none")
    .set("PLAIN", "plain")
    .start();
    wait::until("the first generation speaks", || {
        (segue.stdout() == "red round plain\n").then_some(())
    });
    segue.ready(1);
    fs::write(&dotenv, "COLOUR=blue\n").unwrap();
    assert_eq!(segue.restart()["outcome"], "replaced");
    wait::until("the second speaks", || {
        segue.stdout().ends_with("blue round plain\n").then_some(())
    });
    // A file that cannot be read is a roll-back, told by name and without a value.
    fs::write(&dotenv, "SECRET VALUE\n").unwrap();
    let line = segue.restart();
    assert_eq!(line["outcome"], "rolled_back");
    assert!(
        line["why"]
            .as_str()
            .unwrap()
            .ends_with("app.env: line 1 is no NAME=value"),
        "{line}"
    );
    assert!(!segue.stderr().contains("VALUE"));
}

#[test]
fn many_restarts_leave_nothing_behind() {
    let port = free_port();
    let mut segue = Recipe::new(As::Init, [hello()])
        .set("SEGUE_LISTEN", format!("127.0.0.1:{port}"))
        .set("SEGUE_READY", "notify")
        .set("SEGUE_PROBATION", "0")
        .set("SEGUE_LOG", "info")
        .start();
    segue.ready(1);
    let files_after = |segue: &mut crate::support::segue::Segue, restarts: usize| {
        for _ in 0..restarts {
            assert_eq!(segue.restart()["outcome"], "replaced");
        }
        let generations = segue.lines("generation became ready").len();
        segue.line("generation is gone", generations - 1);
        let pid = segue.pid();
        (
            fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count(),
            fs::read_dir(format!("/proc/{pid}/task")).unwrap().count(),
        )
    };
    let (files_early, threads_early) = files_after(&mut segue, 5);
    let (files_late, threads_late) = files_after(&mut segue, 40);
    assert_eq!(threads_early, threads_late);
    // At most two spare members stay in a group for the next generation.
    assert!(files_late <= files_early + 2, "{files_early} files became {files_late}");
}
