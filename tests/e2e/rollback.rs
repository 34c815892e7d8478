//! P3: a new generation that is no good is thrown away, and nobody notices but the log.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use serde_json::Value;

use crate::support::{
    client::{self, Load},
    directory, free_port, hello, loopback, script,
    segue::{As, Recipe, Segue},
};

/// The example behind a script that may be changed between generations, under load: what the restart after `spoil` said.
fn restart_into(spoil: impl FnOnce(&Path), settings: &[(&str, &str)]) -> Value {
    let (files, port) = (directory(), free_port());
    let program = script(
        &files.path().join("program"),
        &format!("#!/bin/sh\nexec {}\n", hello().display()),
    );
    let recipe = Recipe::new(As::Init, [&program])
        .set("SEGUE_LISTEN", format!("127.0.0.1:{port}"))
        .set("SEGUE_PROBATION", "300ms")
        .set("SEGUE_READY", "notify");
    let recipe = settings
        .iter()
        .fold(recipe, |recipe, (name, value)| recipe.set(name, value));
    let mut segue = recipe.start();
    segue.ready(1);
    let load = Load::start(loopback(port), "/", 3);
    load.more(10);
    spoil(&program);
    let line = segue.restart();
    load.more(30);
    assert_eq!(line["outcome"], "rolled_back", "{line}");
    assert_eq!(client::get(loopback(port), "/generation").unwrap().trim(), "1");
    let tally = load.stop();
    assert_eq!(tally.failed(), 0, "{tally}");
    still_restarts(&mut segue, &program, port);
    line
}

/// After a roll-back the next restart works as if nothing had been.
fn still_restarts(segue: &mut Segue, program: &Path, port: u16) {
    script(program, &format!("#!/bin/sh\nexec {}\n", hello().display()));
    assert_eq!(segue.restart()["outcome"], "replaced");
    assert_eq!(client::get(loopback(port), "/generation").unwrap().trim(), "3");
}

fn why(line: &Value) -> &str {
    line["why"].as_str().unwrap()
}

fn rewrite(text: &'static str) -> impl FnOnce(&Path) {
    move |program| drop(script(program, text))
}

#[test]
fn it_exits_at_once() {
    let line = restart_into(rewrite("#!/bin/sh\nexit 3\n"), &[]);
    assert_eq!(why(&line), "it exited with code 3 before it was ready");
    let remedy = line["remedy"].as_str().unwrap();
    assert!(
        remedy.contains("SEGUE_RESTART_MODE=stop-first") && remedy.contains("${SEGUE_GENERATION}"),
        "{remedy}"
    );
}

#[test]
fn it_is_never_ready() {
    let line = restart_into(
        rewrite("#!/bin/sh\nexec sleep 1000\n"),
        &[("SEGUE_READY_TIMEOUT", "400ms")],
    );
    assert_eq!(why(&line), "it was not ready within SEGUE_READY_TIMEOUT");
    assert!(
        line["remedy"]
            .as_str()
            .unwrap()
            .contains("SEGUE_READY_TIMEOUT if it needs longer"),
        "{line}"
    );
}

/// As Apache does when it finds its predecessor's pid file: nothing is wrong, it says, and ends.
#[test]
fn it_ends_well_before_it_is_ready() {
    let line = restart_into(rewrite("#!/bin/sh\necho already running\nexit 0\n"), &[]);
    assert_eq!(why(&line), "it exited with code 0 before it was ready");
    assert!(
        line["remedy"]
            .as_str()
            .unwrap()
            .contains("SEGUE_RESTART_MODE=stop-first"),
        "{line}"
    );
}

#[test]
fn it_hangs_and_ignores_signals() {
    let stubborn = "#!/bin/sh\ntrap '' TERM INT\nsleep 1000 & sleep 1000\n";
    let line = restart_into(rewrite(stubborn), &[("SEGUE_READY_TIMEOUT", "400ms")]);
    assert_eq!(why(&line), "it was not ready within SEGUE_READY_TIMEOUT");
}

/// Ready, and then it crashes before it took a connection.
#[test]
fn it_crashes_on_probation() {
    let text = "#!/usr/bin/python3\n\
                import os, socket, time\n\
                s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n\
                s.sendto(b'READY=1', '\\0' + os.environ['NOTIFY_SOCKET'][1:])\n\
                listener = socket.socket(fileno=3)\n\
                listener.setblocking(False)\n\
                # Whoever is sent here is answered; then it dies with nobody in its queue.\n\
                end = time.monotonic() + 0.1\n\
                while time.monotonic() < end:\n\
                \x20   try: c, _ = listener.accept()\n\
                \x20   except BlockingIOError: time.sleep(0.001); continue\n\
                \x20   c.setblocking(True); c.recv(999)\n\
                \x20   c.sendall(b'HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\nConnection: close\\r\\n\\r\\n'); c.close()\n\
                os.abort()\n";
    let (files, port) = (directory(), free_port());
    let program = script(
        &files.path().join("program"),
        &format!("#!/bin/sh\nexec {}\n", hello().display()),
    );
    let mut segue = Recipe::new(As::Init, [&program])
        .set("SEGUE_LISTEN", format!("127.0.0.1:{port}"))
        .set("SEGUE_READY", "notify")
        .start();
    segue.ready(1);
    script(&program, text);
    let line = segue.restart();
    assert_eq!(line["outcome"], "rolled_back", "{line}");
    assert_eq!(why(&line), "it was ended by signal 6 on probation");
    for _ in 0..20 {
        assert_eq!(client::get(loopback(port), "/generation").unwrap().trim(), "1");
    }
    still_restarts(&mut segue, &program, port);
}

#[test]
fn the_program_is_gone() {
    let line = restart_into(|program| fs::remove_file(program).unwrap(), &[]);
    assert!(why(&line).ends_with("not found"), "{line}");
}

#[test]
fn the_program_may_not_be_executed_any_more() {
    let line = restart_into(
        |program| fs::set_permissions(program, fs::Permissions::from_mode(0o644)).unwrap(),
        &[],
    );
    assert!(why(&line).contains("is not executable"), "{line}");
}

#[test]
fn the_program_is_cut_short() {
    let line = restart_into(|program| fs::write(program, b"\x7fELF\x02\x01\x01").unwrap(), &[]);
    assert!(why(&line).starts_with("cannot run "), "{line}");
}

/// The command before each generation has a word in it too.
#[test]
fn pre_start_fails() {
    let files = directory();
    let flag = files.path().join("broken");
    let check = format!("sh -c 'test ! -e {}'", flag.display());
    let mut segue = Recipe::new(As::Init, ["sleep", "1000"])
        .set("SEGUE_PRE_START", check)
        .set("SEGUE_PROBATION", "10ms")
        .start();
    segue.ready(1);
    fs::write(&flag, "").unwrap();
    let line = segue.restart();
    assert_eq!(why(&line), "SEGUE_PRE_START exited with code 1");
    fs::remove_file(&flag).unwrap();
    assert_eq!(segue.restart()["outcome"], "replaced");
}

/// A program that is replaced by a good one between restarts is simply the new program.
#[test]
fn a_new_binary_is_taken_up() {
    let files = directory();
    let program = script(&files.path().join("program"), "#!/bin/sh\necho old\nexec sleep 1000\n");
    let mut segue = Recipe::new(As::Subreaper, [&program])
        .set("SEGUE_PROBATION", "10ms")
        .start();
    segue.ready(1);
    let speaks = |segue: &Segue, text: &str| {
        crate::support::wait::until("it speaks", || (segue.stdout() == text).then_some(()));
    };
    // The shell opens the file by its name once it runs.
    speaks(&segue, "old\n");
    let new = script(&files.path().join("new"), "#!/bin/sh\necho new\nexec sleep 1000\n");
    fs::rename(new, &program).unwrap();
    assert_eq!(segue.restart()["outcome"], "replaced");
    speaks(&segue, "old\nnew\n");
}
