//! A restart is called a success when every address that the old generation served is served by the new one, and not before.

use std::time::{Duration, Instant};

use crate::support::{
    client::{self, Load},
    command::Desk,
    directory, free_port, loopback, program,
    segue::{As, BOTH, Recipe},
    wait,
};

/// A server of these ports; each with the seconds after which it listens there.
fn ports(how: As, ports: &[String]) -> Recipe {
    let program = program("ports.py");
    let words = ["/usr/bin/python3".into(), program.display().to_string()];
    Recipe::plain(how, words.into_iter().chain(ports.iter().cloned())).set("SEGUE_PROBATION", "50ms")
}

/// The old generation's end makes the new one close a listener: the restart has failed, whatever it looked like before.
#[test]
fn what_the_end_of_the_old_one_takes_away_is_noticed() {
    for how in BOTH {
        let (files, desk) = (directory(), Desk::new());
        let (first, second, admin) = (free_port(), free_port(), free_port());
        let mut segue = ports(how, &[format!("{first}:0"), format!("{second}:0")])
            .set("CLOSES", second.to_string())
            .set("GONE", files.path().join("gone"))
            .set("SEGUE_CONTROL", desk.path())
            .set("SEGUE_ADMIN", format!("127.0.0.1:{admin}"))
            .set("SEGUE_STABLE_DELAY", "500ms")
            .start();
        segue.ready(1);
        wait::until("both are served", || {
            let both = [first, second].map(|port| client::get(loopback(port), "/").ok());
            both.iter().all(Option::is_some).then_some(())
        });
        let said = desk.tell(&["restart"]);
        let why = format!("the new generation does not listen on 127.0.0.1:{second} any more");
        assert_eq!(said.code, 1, "{said:?}");
        assert!(said.err.contains(&why), "{said:?}");
        let status = desk.status();
        assert_eq!(status["last_restarts"][0]["outcome"], "failed", "{status}");
        assert_eq!(status["restarts"]["failed"], 1);
        let readyz = wait::until("it is not ready", || client::get(loopback(admin), "/readyz").err());
        assert!(readyz.to_string().contains("503"), "{readyz}");
        let status = wait::until("the status tells", || {
            Some(desk.status()).filter(|it| it["ready"] == false)
        });
        let reason = status["reason"].as_str().unwrap();
        assert!(
            reason.contains(&format!("does not listen on 127.0.0.1:{second}")),
            "{reason}"
        );
    }
}

/// Ready by the user's word, and not yet listening everywhere its predecessor does: that one serves on until then.
#[test]
fn the_predecessor_stays_until_every_address_is_served() {
    for (how, ready) in [(As::Init, "started"), (As::Subreaper, "tcp:127.0.0.1:EARLY")] {
        let (early, late) = (free_port(), free_port());
        let mut segue = ports(how, &[format!("{early}:0"), format!("{late}:0.6")])
            .set("SEGUE_READY", ready.replace("EARLY", &early.to_string()))
            .start();
        segue.ready(1);
        wait::until("both are served", || {
            let both = [early, late].map(|port| client::get(loopback(port), "/").ok());
            both.iter().all(Option::is_some).then_some(())
        });
        let loads = [early, late].map(|port| Load::start(loopback(port), "/", 2));
        for restart in 1..=3 {
            let told = segue.restart();
            assert_eq!(told["outcome"], "replaced", "{told}");
            assert_eq!(client::get(loopback(late), "/").unwrap(), (restart + 1).to_string());
            loads.iter().for_each(|load| load.more(10));
        }
        let kept = "ready, but does not listen everywhere its predecessor does: keep the predecessor for now";
        assert_eq!(segue.lines(kept).len(), 3, "{}", segue.stderr());
        for load in loads {
            let tally = load.stop();
            assert_eq!(tally.failed(), 0, "{tally}");
        }
    }
}

/// In stop-first no other generation serves meanwhile; all the same the new one is ready only when it listens everywhere, and who
/// comes to the late port waits.
#[test]
fn stop_first_is_over_when_every_address_is_served() {
    for how in BOTH {
        let (early, late) = (free_port(), free_port());
        let mut segue = ports(how, &[format!("{early}:0"), format!("{late}:0.6")])
            .set("SEGUE_RESTART_MODE", "stop-first")
            .start();
        segue.ready(1);
        wait::until("both are served", || client::get(loopback(late), "/").ok());
        let loads = [early, late].map(|port| Load::start(loopback(port), "/", 2));
        for restart in 1..=2 {
            let told = segue.restart();
            assert_eq!(told["outcome"], "replaced", "{told}");
            assert!(told["took_ms"].as_u64().unwrap() >= 600, "{told}");
            let generation = (restart + 1).to_string();
            assert_eq!(client::get(loopback(late), "/").unwrap(), generation);
            loads.iter().for_each(|load| load.more(10));
        }
        for load in loads {
            let tally = load.stop();
            assert_eq!(tally.failed(), 0, "{tally}");
        }
    }
}

/// Asked for again while the late port is not served yet: whoever waits there goes on waiting.
#[test]
fn two_stop_first_restarts_in_a_row_lose_nobody() {
    let (early, late) = (free_port(), free_port());
    let mut segue = ports(As::Init, &[format!("{early}:0"), format!("{late}:0.4")])
        .set("SEGUE_RESTART_MODE", "stop-first")
        .start();
    segue.ready(1);
    wait::until("both are served", || client::get(loopback(late), "/").ok());
    let loads = [early, late].map(|port| Load::start(loopback(port), "/", 2));
    segue.signal(libc::SIGHUP);
    segue.line("listening", 3);
    segue.signal(libc::SIGHUP);
    segue.line("restart succeeded", 1);
    loads.iter().for_each(|load| load.more(10));
    for load in loads {
        let tally = load.stop();
        assert_eq!(tally.failed(), 0, "{tally}");
    }
    assert_eq!(client::get(loopback(early), "/").unwrap(), "3");
}

/// What never comes is waited for no longer than SEGUE_STABLE_DELAY, and is named.
#[test]
fn an_address_that_never_comes_is_waited_for_as_long_as_the_setting_says() {
    let desk = Desk::new();
    let (kept, dropped) = (free_port(), free_port());
    let mut segue = ports(As::Subreaper, &[format!("{kept}:0"), format!("{dropped}:0-")])
        .set("SEGUE_RESTART_MODE", "stop-first")
        .set("SEGUE_STABLE_DELAY", "700ms")
        .set("SEGUE_CONTROL", desk.path())
        .start();
    segue.ready(1);
    wait::until("both are served", || {
        let both = [kept, dropped].map(|port| client::get(loopback(port), "/").ok());
        both.iter().all(Option::is_some).then_some(())
    });
    let begin = Instant::now();
    let said = desk.tell(&["restart"]);
    assert_eq!(said.code, 1, "{said:?}");
    let why = format!("does not listen on 127.0.0.1:{dropped}, as its predecessor did");
    assert!(said.err.contains(&why), "{said:?}");
    assert!(begin.elapsed() >= Duration::from_millis(700));
    wait::until("it is ready all the same", || {
        (desk.status()["ready"] == true).then_some(())
    });
    assert_eq!(client::get(loopback(kept), "/").unwrap(), "2");
}

/// With a measure of the user's own an address may be dropped: that is told, and no fault.
#[test]
fn whoever_says_what_ready_means_may_drop_an_address() {
    let (kept, dropped) = (free_port(), free_port());
    let mut segue = ports(As::Subreaper, &[format!("{kept}:0"), format!("{dropped}:0-")])
        .set("SEGUE_READY", format!("tcp:127.0.0.1:{kept}"))
        .start();
    segue.ready(1);
    wait::until("both are served", || client::get(loopback(dropped), "/").ok());
    let told = segue.restart();
    assert_eq!(told["outcome"], "replaced", "{told}");
    let warned = segue.line(
        "the new generation is ready, and does not listen everywhere its predecessor did",
        1,
    );
    assert_eq!(warned["addresses"], format!("127.0.0.1:{dropped}"));
}

/// Connections that the old one finishes take their time: the outcome does not wait for that.
#[test]
fn an_old_generation_that_is_busy_for_long_keeps_nobody_waiting() {
    let (desk, port) = (Desk::new(), free_port());
    let mut segue = Recipe::plain(As::Subreaper, [crate::support::hello()])
        .set("SEGUE_CONTROL", desk.path())
        .set("ADDRESS", format!("127.0.0.1:{port}"))
        .set("SEGUE_PROBATION", "50ms")
        .start();
    segue.ready(1);
    let slow = std::thread::spawn(move || client::get(loopback(port), "/slow?ms=9000"));
    let status = || desk.status()["generations"][0]["connections"]["busy"].as_u64();
    wait::until("it is at work", || (status()? >= 1).then_some(()));
    let begin = Instant::now();
    assert_eq!(segue.restart()["outcome"], "replaced");
    assert!(begin.elapsed() < Duration::from_secs(8), "{:?}", begin.elapsed());
    assert!(segue.lines("generation is gone").is_empty());
    assert!(slow.join().unwrap().is_ok());
    segue.line("generation is gone", 1);
}
