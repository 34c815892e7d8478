//! A restart fails no request, whatever the program and whoever the client is.

use super::Program;
use crate::support::{
    client::{self, Load},
    directory, free_port, loopback, script,
    segue::{As, Recipe, Segue},
    traffic, wait,
};

/// The issue's own bar, with all kinds of clients at once.
fn fifty_restarts(program: Program, how: As) {
    let port = free_port();
    let mut segue = program.recipe(how, &format!(":{port}")).start();
    segue.ready(1);
    let address = loopback(port);
    let mut loads = vec![
        ("fresh", Load::start(address, "/", 2)),
        ("kept", traffic::kept(address, 2)),
        ("HTTP/2", traffic::http2(address, 1)),
    ];
    if program == Program::Node {
        loads.push(("WebSocket", traffic::websocket(address, 1)));
    }
    for restart in 1..=50 {
        let line = segue.restart();
        assert_eq!(line["outcome"], "replaced", "{line}");
        assert_eq!(line["generation"], restart + 1);
        loads.iter().for_each(|(_, load)| load.more(5));
    }
    for (kind, load) in loads {
        let tally = load.stop();
        assert!(tally.failed() == 0 && tally.succeeded > 250, "{kind}: {tally}");
    }
    let told = client::get(address, "/").unwrap();
    assert!(told.contains("generation 51"), "{told}");
    segue.signal(libc::SIGTERM);
    let code = if program == Program::Hello { 0 } else { 143 };
    assert_eq!(segue.wait(), code, "{}", segue.stderr());
}

#[test]
fn node() {
    fifty_restarts(Program::Node, As::Init);
}

#[test]
fn python() {
    fifty_restarts(Program::Python, As::Subreaper);
}

#[test]
fn hello() {
    fifty_restarts(Program::Hello, As::Subreaper);
}

/// Two of it would be in each other's way: the old one goes first, and requests wait meanwhile.
#[test]
fn a_program_that_can_run_only_once() {
    let (port, files) = (free_port(), directory());
    let once = format!(
        "exec flock -nE 9 {}/lock /usr/bin/python3 {} $PORT",
        files.path().display(),
        naive()
    );
    let mut segue = Recipe::plain(As::Init, ["sh", "-c", &once])
        .set("SEGUE_PROXY", format!("127.0.0.1:{port}"))
        .set("SEGUE_RESTART_MODE", "stop-first")
        .set("WORK", "0.005")
        .start();
    segue.ready(1);
    let load = Load::start(loopback(port), "/", 4);
    let kept = traffic::kept(loopback(port), 2);
    for _ in 0..10 {
        assert_eq!(segue.restart()["outcome"], "replaced");
        load.more(5);
        kept.more(5);
    }
    for load in [load, kept] {
        let tally = load.stop();
        assert_eq!(tally.failed(), 0, "{tally}");
    }
}

fn naive() -> String {
    format!("{}/examples/naive.py", env!("CARGO_MANIFEST_DIR"))
}

/// A new one that is never ready is nobody's: requests go on to the old one.
#[test]
fn a_new_generation_that_fails_is_never_asked() {
    let (port, files) = (free_port(), directory());
    let program = script(
        &files.path().join("program"),
        &format!(
            "#!/bin/sh\n[ $SEGUE_GENERATION = 1 ] || exit 3\nexec /usr/bin/python3 {} $PORT\n",
            naive()
        ),
    );
    let mut segue = Recipe::plain(As::Subreaper, [program])
        .set("SEGUE_PROXY", format!("127.0.0.1:{port}"))
        .set("WORK", "0.005")
        .start();
    segue.ready(1);
    let load = Load::start(loopback(port), "/", 3);
    for _ in 0..3 {
        assert_eq!(segue.restart()["outcome"], "rolled_back");
        load.more(5);
    }
    let tally = load.stop();
    assert_eq!(tally.failed(), 0, "{tally}");
}

/// `started` looks at nothing: what is refused is tried again until the program listens.
#[test]
fn who_is_asked_too_soon_is_asked_again() {
    let port = free_port();
    let recipe = Program::Hello.recipe(As::Subreaper, &format!("127.0.0.1:{port}"));
    let mut segue = recipe
        .set("SEGUE_READY", "started")
        .set("HELLO_START_DELAY", "200")
        .start();
    segue.ready(1);
    let load = Load::start(loopback(port), "/", 4);
    for _ in 0..5 {
        assert_eq!(segue.restart()["outcome"], "replaced");
        load.more(10);
    }
    let tally = load.stop();
    assert_eq!(tally.failed(), 0, "{tally}");
}

/// Every way to be ready is the new generation's own, also where the probe names the public address.
#[test]
fn readiness_is_the_generations_own() {
    let port = free_port();
    for ready in [
        "notify".to_owned(),
        "listening".to_owned(),
        format!("tcp:127.0.0.1:{port}"),
        format!("http://127.0.0.1:{port}/generation"),
    ] {
        let recipe = Program::Hello.recipe(As::Subreaper, &format!("127.0.0.1:{port}"));
        let mut segue = recipe
            .set("SEGUE_READY", &ready)
            .set("HELLO_START_DELAY", "300")
            .start();
        segue.ready(1);
        let begin = std::time::Instant::now();
        assert_eq!(segue.restart()["outcome"], "replaced");
        assert!(begin.elapsed().as_millis() >= 300, "{ready}: it was not asked itself");
        assert_eq!(client::get(loopback(port), "/generation").unwrap(), "2");
        segue.signal(libc::SIGTERM);
        assert_eq!(segue.wait(), 0);
    }
}

#[test]
fn many_restarts_leave_nothing_behind() {
    let port = free_port();
    let mut segue = Program::Hello
        .recipe(As::Subreaper, &format!("127.0.0.1:{port}"))
        .start();
    segue.ready(1);
    let files_after = |segue: &mut Segue, restarts: usize| {
        for _ in 0..restarts {
            client::get(loopback(port), "/").unwrap();
            assert_eq!(segue.restart()["outcome"], "replaced");
        }
        let generations = segue.lines("generation became ready").len();
        segue.line("generation is gone", generations - 1);
        let files = || std::fs::read_dir(format!("/proc/{}/fd", segue.pid())).unwrap().count();
        // The last request's connection to the program that is gone is closed by then, too.
        wait::until("no more files", || (files() <= 40).then(files))
    };
    let early = files_after(&mut segue, 5);
    let late = files_after(&mut segue, 30);
    assert!(late <= early + 1, "{early} files became {late}");
}
