//! What happens when the program ends by itself: `SEGUE_RESTART`, and clients that wait through it.

use std::time::{Duration, Instant};

use crate::support::{
    client::{self, Load},
    directory, free_port, hello, loopback, script,
    segue::{As, BOTH, Recipe},
    wait,
};

#[test]
fn never_is_the_default_and_segue_ends_with_the_code() {
    for how in BOTH {
        assert_eq!(Recipe::new(how, ["sh", "-c", "exit 9"]).start().wait(), 9);
    }
}

#[test]
fn it_comes_back_with_a_doubling_delay_until_the_limit() {
    let mut segue = Recipe::new(As::Init, ["sh", "-c", "echo run; exit 9"])
        .set("SEGUE_RESTART", "on-failure")
        .set("SEGUE_RESTART_DELAY", "100ms")
        .set("SEGUE_RESTART_LIMIT", "3")
        .start();
    let begin = Instant::now();
    assert_eq!(segue.wait(), 9);
    assert_eq!(segue.stdout().lines().count(), 4);
    assert!(begin.elapsed() >= Duration::from_millis(100 + 200 + 400));
}

#[test]
fn a_success_ends_it_under_on_failure_and_not_under_always() {
    let once = Recipe::new(As::Subreaper, ["sh", "-c", "echo run"])
        .set("SEGUE_RESTART", "on-failure")
        .run();
    assert_eq!(once.stdout(), "run\n");
    let again = Recipe::new(As::Subreaper, ["sh", "-c", "echo run"])
        .set("SEGUE_RESTART", "always")
        .set("SEGUE_RESTART_DELAY", "10ms")
        .set("SEGUE_RESTART_LIMIT", "2")
        .run();
    assert_eq!(again.stdout(), "run\nrun\nrun\n");
}

/// The held socket stays open: clients wait instead of being refused.
#[test]
fn connections_wait_through_a_crash() {
    let port = free_port();
    let mut segue = Recipe::new(As::Init, [hello()])
        .set("SEGUE_LISTEN", format!(":{port}"))
        .set("SEGUE_READY", "notify")
        .set("SEGUE_RESTART", "always")
        .set("SEGUE_RESTART_DELAY", "300ms")
        .start();
    segue.ready(1);
    for generation in 2..5 {
        // The one that makes it crash is lost, and no other.
        client::get(loopback(port), "/crash").unwrap_err();
        let load = Load::start(loopback(port), "/", 4);
        segue.ready(generation);
        load.more(20);
        let tally = load.stop();
        assert_eq!(tally.failed(), 0, "{tally}");
    }
}

#[test]
fn a_restart_request_does_not_wait_for_the_delay_and_a_stop_ends_it() {
    let mut segue = Recipe::new(As::Init, ["sh", "-c", "echo run; exit 9"])
        .set("SEGUE_RESTART", "always")
        .set("SEGUE_RESTART_DELAY", "1h")
        .set("SEGUE_RESTART_MAX_DELAY", "1h")
        .start();
    segue.line("generation is gone", 1);
    segue.signal(libc::SIGHUP);
    segue.line("generation is gone", 2);
    wait::until("it ran again", || (segue.stdout() == "run\nrun\n").then_some(()));
    segue.signal(libc::SIGTERM);
    assert_eq!(segue.wait(), 9);
}

/// Nothing that trying again would mend.
#[test]
fn a_program_that_cannot_start_at_all_is_not_tried_again() {
    let mut segue = Recipe::new(As::Init, ["/nonexistent"])
        .set("SEGUE_RESTART", "always")
        .set("SEGUE_RESTART_DELAY", "1h")
        .set("SEGUE_RESTART_MAX_DELAY", "1h")
        .start();
    assert_eq!(segue.wait(), 127);
}

/// The serving generation crashes while its successor is not ready: the successor has the service.
#[test]
fn a_crash_during_a_restart_is_no_end() {
    let files = directory();
    let port = free_port();
    let program = script(
        &files.path().join("program"),
        &format!("#!/bin/sh\nexec {}\n", hello().display()),
    );
    let mut segue = Recipe::new(As::Init, [program])
        .set("SEGUE_LISTEN", format!("127.0.0.1:{port}"))
        .set("SEGUE_READY", "notify")
        .set("HELLO_START_DELAY", "500")
        .start();
    segue.ready(1);
    segue.signal(libc::SIGHUP);
    segue.line("generation started", 2);
    client::get(loopback(port), "/crash").unwrap_err();
    // It waited in the queue: of the second, or of the first, which only a third can be given.
    let served_by = client::get(loopback(port), "/generation").unwrap();
    assert!(["2", "3"].contains(&served_by.trim()), "{served_by}");
    segue.line("restart succeeded", 1);
}
