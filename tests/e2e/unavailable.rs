//! Where transparent hand-over cannot work: the reason in one line, and segue goes on without it, or says that it cannot.

use std::process::Command;

use crate::support::{
    client,
    command::Desk,
    directory, free_port, hello, loopback, program,
    segue::{As, Segue},
    wait,
};

const WARNING: &str =
    "no transparent hand-over: the program's own sockets cannot be handed over, a restart stops it first";

/// Segue behind words that keep notifications from it.
fn behind(words: &[&str], settings: &[(&str, &str)], port: u16) -> Segue {
    let files = directory();
    let (first, rest) = words.split_first().unwrap();
    let mut command = Command::new(first);
    command
        .args(rest)
        .arg(env!("CARGO_BIN_EXE_segue"))
        .arg("--")
        .arg(hello());
    command
        .env("ADDRESS", format!("127.0.0.1:{port}"))
        .env("SEGUE_PROBATION", "50ms");
    command.envs(settings.iter().copied());
    command.stderr(std::fs::File::create(files.path().join("log")).unwrap());
    Segue::spawn(As::Subreaper, command, files)
}

fn goes_on(mut segue: Segue, port: u16, why: &str) {
    segue.ready(1);
    let warning = segue.line(WARNING, 1);
    assert!(warning["why"].as_str().unwrap().contains(why), "{warning}");
    assert!(
        warning["remedy"].as_str().unwrap().contains("SEGUE_LISTEN"),
        "{warning}"
    );
    wait::until("it serves", || client::get(loopback(port), "/generation").ok());
    assert_eq!(segue.restart()["outcome"], "replaced");
    wait::until("the new one serves", || {
        client::get(loopback(port), "/generation")
            .ok()
            .filter(|it| it.trim() == "2")
    });
    assert_eq!(segue.lines(WARNING).len(), 1, "it is said once");
    segue.signal(libc::SIGTERM);
    assert_eq!(segue.wait(), 0);
}

#[test]
fn a_kernel_without_notifications() {
    let port = free_port();
    let simulation = program("refuse_notifications.py");
    let words = ["/usr/bin/python3", simulation.to_str().unwrap()];
    goes_on(
        behind(&words, &[], port),
        port,
        "this kernel has no seccomp notifications",
    );
    // Who asks later hears why, too.
    let desk = Desk::new();
    let mut segue = behind(&words, &[("SEGUE_CONTROL", desk.path().to_str().unwrap())], port);
    segue.ready(1);
    let handover = wait::until("it answers", || {
        Some(desk.tell(&["status", "--json"])).filter(|it| it.code == 0)
    });
    let handover = serde_json::from_str::<serde_json::Value>(&handover.out).unwrap()["handover"].clone();
    assert_eq!(handover["mode"], "none");
    let why = handover["why"].as_str().unwrap_or_default();
    assert!(why.contains("no seccomp notifications"), "{handover}");
    drop(segue);
    let mut segue = behind(&words, &[("SEGUE_HANDOVER", "transparent")], port);
    assert_eq!(segue.wait(), 71);
    let text = segue.stderr();
    assert!(text.contains("this kernel has no seccomp notifications"), "{text}");
}

/// There can be one notifier in a chain of filters: segue under segue is the second.
#[test]
fn a_runtime_that_has_put_a_notifier() {
    let port = free_port();
    let outer = [env!("CARGO_BIN_EXE_segue"), "--"];
    let outer_settings = [("SEGUE_KEEP_ENV", "true"), ("SEGUE_LOG", "error")];
    let mut segue = behind(
        &outer,
        &[("SEGUE_KEEP_ENV", "true"), ("SEGUE_HANDOVER", "transparent")],
        port,
    );
    assert_eq!(segue.wait(), 71);
    assert!(
        segue.stderr().contains("a seccomp notifier of its own"),
        "{}",
        segue.stderr()
    );
    // The inner one, with settings of its own, goes on; the outer one hands its program's program over.
    let inner = format!(
        "SEGUE_LOG=info exec {} -- {}",
        env!("CARGO_BIN_EXE_segue"),
        hello().display()
    );
    let files = directory();
    let mut command = Command::new(outer[0]);
    command
        .args(["--", "sh", "-c", &inner])
        .env("ADDRESS", format!("127.0.0.1:{port}"));
    command.envs(outer_settings);
    command.stderr(std::fs::File::create(files.path().join("log")).unwrap());
    let mut segue = Segue::spawn(As::Subreaper, command, files);
    segue.ready(1);
    let warning = segue.line(WARNING, 1);
    assert!(
        warning["why"]
            .as_str()
            .unwrap()
            .contains("a seccomp notifier of its own"),
        "{warning}"
    );
    wait::until("it serves", || client::get(loopback(port), "/").ok());
    let load = client::Load::start(loopback(port), "/", 2);
    for _ in 1..=5 {
        // It tells its number in the inner segue, which is always 1, and its process, which is always another. (The inner segue says
        // that it is ready before its program listens, which it cannot see.)
        let before = client::get(loopback(port), "/").unwrap();
        segue.signal(libc::SIGHUP);
        wait::until("the next generation serves", || {
            client::get(loopback(port), "/").ok().filter(|it| *it != before)
        });
        load.more(20);
    }
    let tally = load.stop();
    assert_eq!(tally.failed(), 0, "{tally}");
    segue.signal(libc::SIGTERM);
    assert_eq!(segue.wait(), 0);
}
