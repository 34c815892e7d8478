//! `segue status` reports by which method segue got a socket, and it is the best that is permitted.

use std::{ffi::OsString, fs};

use serde_json::Value;

use crate::{
    programs::built,
    script::{self, Case},
    support::{command, segue::As, wait},
    ways::{Refused, Stage, User, Way},
};

/// Runs the calls, and asks while their process lives.
fn handover(way: Way, text: &str) -> Value {
    let stage = Stage::new();
    let path = stage.path().join("script");
    let case = Case::new("held", &format!("{}\nheld", text.replace(';', "\n")));
    fs::write(&path, script::text(&[case])).unwrap();
    let words: [OsString; 2] = [stage.copy(&built("probe.c")).into(), path.into()];
    let control = stage.path().join("control");
    let settings = [("SEGUE_CONTROL", control.to_str().unwrap())];
    let segue = way.start(&stage, true, &words, &settings);
    wait::until("the calls are made", || segue.stdout().contains("\nheld").then_some(()));
    // A UDP socket of which there is no copy is looked at a second after its bind.
    wait::until("segue has looked at it", || {
        let said = command::said(&mut command::command(&control, &["status", "--json"]));
        let status: Value = serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {said:?}"));
        let handover = status["handover"].clone();
        (!handover["method"].is_null()).then_some(handover)
    })
}

const PLAIN: &str = "socket a inet stream; set a TCP_NODELAY 1; bind a 127.0.0.1 P0; listen a 5";
const WATCHED: &str = "socket a inet stream; epoll e; add e a 1; bind a 127.0.0.1 P0; listen a 5";
const SHARED: &str = "socket a inet stream; dup b a; bind a 127.0.0.1 P0; listen b 5";
const DATAGRAMS: &str = "socket a inet dgram; bind a 127.0.0.1 P0";
const MULTIPATH: &str = "socket a inet stream 262; bind a 127.0.0.1 P0; listen a 5";

fn best(refused: Refused) -> &'static str {
    match refused {
        Refused::Nothing => "pidfd_getfd",
        Refused::Getfd => "ptrace",
        Refused::GetfdAndPtrace => "exchange",
    }
}

#[test]
fn the_best_way_that_is_permitted_is_taken() {
    for user in [User::Root, User::Nobody, User::Other] {
        for way in Way::each(As::Subreaper, user) {
            for text in [PLAIN, WATCHED, SHARED, MULTIPATH, DATAGRAMS] {
                let output = handover(way, text);
                // An exchange could be seen by these, or is not the same protocol.
                let seen = way.refused == Refused::GetfdAndPtrace && text != PLAIN;
                let expected = if seen { "none" } else { best(way.refused) };
                // Root may not look at another user's process without those calls, or it may: both are right.
                let unsure = way.refused == Refused::GetfdAndPtrace && user == User::Other;
                let method = output["method"].as_str().unwrap_or_default();
                assert!(
                    method == expected || (unsure && method == "none"),
                    "{way:?} {text}: {output} instead of {expected}"
                );
                let why = output["why"].as_str().unwrap_or_default();
                assert_eq!(method == "none", !why.is_empty(), "{way:?} {text}: {output}");
            }
        }
    }
}

/// As PID 1, where the commands are outside its namespace.
#[test]
fn pid_1_takes_the_best_way_too() {
    for way in Way::each(As::Init, User::Nobody) {
        assert_eq!(handover(way, PLAIN)["method"], best(way.refused), "{way:?}");
    }
}
