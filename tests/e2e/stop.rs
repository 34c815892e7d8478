//! P4, as far as it goes without the census: delay, stop signal, deadline, SIGKILL, the last command.

use std::{fs, time::Duration, time::Instant};

use crate::support::{
    client, directory, free_port, hello, loopback, script,
    segue::{As, BOTH, Recipe, descendants},
    wait,
};

/// A program that notes every TERM and QUIT, and ends on the USR1.
const NOTES: &str =
    "trap 'echo term' TERM; trap 'echo quit' QUIT; trap 'exit 5' USR1; echo up; while :; do sleep 0.02; done";

#[test]
fn a_stop_is_over_as_soon_as_the_program_is() {
    for how in BOTH {
        let mut segue = Recipe::new(how, ["sleep", "1000"])
            .set("SEGUE_STOP_TIMEOUT", "1h")
            .start();
        segue.ready(1);
        segue.signal(libc::SIGTERM);
        assert_eq!(segue.wait(), 143);
    }
}

#[test]
fn what_ignores_the_stop_signal_is_killed_with_all_that_belongs_to_it() {
    let stubborn = "trap '' TERM; setsid sh -c 'trap \"\" TERM; sleep 1001 & while :; do sleep 1002; done' & echo up; while :; do sleep 1003; done";
    for how in BOTH {
        let mut segue = Recipe::new(how, ["sh", "-c", stubborn])
            .set("SEGUE_STOP_TIMEOUT", "600ms")
            .start();
        let all = wait::until("all of it runs", || {
            Some(descendants(segue.pid())).filter(|all| all.len() >= 5)
        });
        segue.ready(1);
        let begin = Instant::now();
        segue.signal(libc::SIGTERM);
        assert_eq!(segue.wait(), 137);
        assert!(begin.elapsed() >= Duration::from_millis(600));
        for pid in all {
            let alive = fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "));
            assert!(!alive, "process {pid} outlived its generation");
        }
    }
}

#[test]
fn while_the_delay_runs_the_program_serves_and_a_repeated_stop_is_nothing_new() {
    let port = free_port();
    let mut segue = Recipe::new(As::Init, [hello()])
        .set("SEGUE_LISTEN", format!("127.0.0.1:{port}"))
        .set("SEGUE_READY", "notify")
        .set("SEGUE_DRAIN_DELAY", "2s")
        .start();
    segue.ready(1);
    let begin = Instant::now();
    segue.signal(libc::SIGTERM);
    segue.line("stop requested", 1);
    segue.signal(libc::SIGTERM);
    segue.line("stop requested", 2);
    while begin.elapsed() < Duration::from_millis(600) {
        client::get(loopback(port), "/").unwrap();
    }
    assert_eq!(segue.wait(), 0);
    assert!(begin.elapsed() >= Duration::from_secs(2));
}

/// A repeated TERM is passed on again after the stop signal was sent, and is no escalation.
#[test]
fn a_repeated_stop_is_passed_on_and_kills_nobody() {
    let mut segue = Recipe::new(As::Init, ["sh", "-c", NOTES])
        .set("SEGUE_STOP_TIMEOUT", "1m")
        .start();
    wait::until("it is up", || segue.stdout().contains("up").then_some(()));
    for count in 1..=3 {
        segue.signal(libc::SIGTERM);
        wait::until("it hears TERM", || {
            (segue.stdout().matches("term").count() == count).then_some(())
        });
    }
    segue.signal(libc::SIGUSR1);
    assert_eq!(segue.wait(), 5);
}

#[test]
fn which_signals_stop_and_which_one_is_sent() {
    let mut segue = Recipe::new(As::Subreaper, ["sh", "-c", NOTES])
        .set("SEGUE_STOP_ON", "INT,USR2")
        .set("SEGUE_STOP_SIGNAL", "QUIT")
        .set("SEGUE_STOP_TIMEOUT", "1m")
        .start();
    wait::until("it is up", || segue.stdout().contains("up").then_some(()));
    segue.signal(libc::SIGTERM);
    wait::until("TERM is a signal like others", || {
        segue.stdout().contains("term").then_some(())
    });
    assert!(segue.lines("stop requested").is_empty());
    segue.signal(libc::SIGUSR2);
    wait::until("QUIT stops it", || segue.stdout().contains("quit").then_some(()));
    segue.signal(libc::SIGUSR1);
    assert_eq!(segue.wait(), 5);
}

#[test]
fn a_mapped_term_is_the_stop_signal() {
    let mut segue = Recipe::new(As::Init, ["sh", "-c", NOTES])
        .set("SEGUE_SIGNAL_MAP", "TERM:USR1")
        .start();
    wait::until("it is up", || segue.stdout().contains("up").then_some(()));
    segue.signal(libc::SIGTERM);
    assert_eq!(segue.wait(), 5);
}

#[test]
fn zero_never_kills() {
    let mut segue = Recipe::new(As::Init, ["sh", "-c", NOTES])
        .set("SEGUE_STOP_TIMEOUT", "0")
        .start();
    wait::until("it is up", || segue.stdout().contains("up").then_some(()));
    segue.signal(libc::SIGTERM);
    wait::until("it hears TERM", || segue.stdout().contains("term").then_some(()));
    wait::throughout(Duration::from_secs(1), "it lives", || {
        segue.lines("program ended").is_empty()
    });
    segue.signal(libc::SIGUSR1);
    assert_eq!(segue.wait(), 5);
}

#[test]
fn dying_of_the_stop_signal_can_be_a_success_if_it_was_asked_for() {
    let recipe = Recipe::new(As::Init, ["sleep", "1000"]).set("SEGUE_SUCCESS_CODES", "stop");
    let mut asked = recipe.start();
    asked.ready(1);
    asked.signal(libc::SIGTERM);
    assert_eq!(asked.wait(), 0);
    let mut unasked = Recipe::new(As::Init, ["sh", "-c", "kill -TERM $$"])
        .set("SEGUE_SUCCESS_CODES", "stop")
        .start();
    assert_eq!(unasked.wait(), 143);
    let mut listed = Recipe::new(As::Init, ["sh", "-c", "exit 7"])
        .set("SEGUE_SUCCESS_CODES", "7,143")
        .start();
    assert_eq!(listed.wait(), 0);
}

#[test]
fn a_request_in_flight_finishes_in_the_final_stop() {
    let port = free_port();
    let mut segue = Recipe::new(As::Init, [hello()])
        .set("SEGUE_LISTEN", format!("127.0.0.1:{port}"))
        .set("SEGUE_READY", "notify")
        .start();
    segue.ready(1);
    // Another request shows that the slow one has arrived.
    let slow = client::begin(loopback(port), "/slow?ms=1000").unwrap();
    client::get(loopback(port), "/").unwrap();
    segue.signal(libc::SIGTERM);
    wait::until("new connections are refused", || {
        client::get(loopback(port), "/")
            .is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused)
            .then_some(())
    });
    assert!(client::answer(slow).is_ok());
    assert_eq!(segue.wait(), 0);
}

#[test]
fn the_last_command_runs_after_the_last_generation() {
    let files = directory();
    let note = files.path().join("note");
    let command = format!("sh -c 'echo $SEGUE_GENERATION >> {}'", note.display());
    for (how, program, code) in [(As::Init, "exit 3", 3), (As::Subreaper, "kill -KILL $$", 137)] {
        fs::write(&note, "").unwrap();
        let mut segue = Recipe::new(how, ["sh", "-c", program])
            .set("SEGUE_POST_STOP", &command)
            .start();
        assert_eq!(segue.wait(), code);
        assert_eq!(fs::read_to_string(&note).unwrap(), "1\n");
    }
}

#[test]
fn a_last_command_that_hangs_or_fails_changes_nothing() {
    let begin = Instant::now();
    let mut hangs = Recipe::new(As::Subreaper, ["true"])
        .set("SEGUE_POST_STOP", "sleep 1000")
        .start();
    let mut fails = Recipe::new(As::Init, ["true"])
        .set("SEGUE_POST_STOP", "/nonexistent")
        .start();
    assert_eq!((fails.wait(), hangs.wait()), (0, 0));
    assert!(begin.elapsed() >= Duration::from_secs(5), "it had its time");
}

#[test]
fn a_stop_wins_over_whatever_a_restart_waits_for() {
    let files = directory();
    let slow = script(&files.path().join("slow"), "#!/bin/sh\nexec sleep 1000\n");
    for (name, value) in [
        ("SEGUE_READY", "notify"),
        ("SEGUE_PRE_START", "sleep 1000"),
        ("SEGUE_PROBATION", "1h"),
    ] {
        let mut segue = Recipe::new(As::Init, [&slow]).set(name, value).start();
        if name == "SEGUE_PROBATION" {
            segue.ready(1);
            segue.signal(libc::SIGHUP);
            segue.ready(2);
        } else {
            segue.line("segue is set up", 1);
        }
        segue.signal(libc::SIGTERM);
        assert_eq!(segue.wait(), 143, "{name}");
    }
}
