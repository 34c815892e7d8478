//! Programs that listen on nothing: a new one starts beside the old one, which goes only when the new one has proved itself; and those
//! that only seem to listen on nothing.

use std::{fs, path::Path, process::Command, thread, time::Duration};

use serde_json::Value;

use crate::support::{
    client,
    command::Desk,
    directory, free_port, loopback, program, script,
    segue::{As, BOTH, Recipe, Segue, children},
    wait,
};

const NOTHING: &str = "running, listens on nothing, so it is not ready";
const GOOD: &str = "#!/bin/sh\nexec sleep 1000\n";

/// A worker, whose next version is whatever stands in its file then.
fn worker(how: As, files: &Path, text: &str) -> Recipe {
    Recipe::plain(how, [script(&files.join("worker"), text)])
        .with(&[("SEGUE_STABLE_DELAY", "300ms"), ("SEGUE_PROBATION", "400ms")])
}

fn outcome(line: &Value) -> &str {
    line["outcome"].as_str().unwrap()
}

#[test]
fn the_new_one_is_started_beside_the_old_one_which_ends_when_that_has_outlived_its_probation() {
    for how in BOTH {
        let files = directory();
        let mut segue = worker(how, files.path(), GOOD).start();
        segue.line(NOTHING, 1);
        let told = segue.restart();
        assert_eq!(outcome(&told), "replaced", "{told}");
        assert!(
            told["judged_by"].as_str().unwrap().contains("outlived SEGUE_PROBATION"),
            "{told}"
        );
        segue.line("generation is gone", 1);
        let log = segue.log();
        let at = |message: &str, generation: u64| {
            let it = log
                .iter()
                .position(|it| it["message"] == message && it["generation"] == generation);
            it.unwrap_or_else(|| panic!("no {message} of {generation}"))
        };
        let drained = log
            .iter()
            .position(|it| it["actions"].as_str().is_some_and(|it| it.contains("drain 1")));
        assert!(at("generation started", 2) < drained.unwrap());
        assert!(drained.unwrap() < at("program ended", 1));
    }
}

#[test]
fn a_new_version_that_does_not_last_leaves_the_old_one_alone() {
    let files = directory();
    let mut segue = worker(As::Subreaper, files.path(), GOOD).start();
    segue.line(NOTHING, 1);
    let old = children(segue.pid());
    for (text, why) in [
        ("#!/nonexistent/interpreter\n", "worker"),
        (
            "#!/bin/sh\nexit 7\n",
            "exited with code 7 before it had outlived SEGUE_PROBATION",
        ),
        (
            "#!/bin/sh\nsleep 0.3; exit 1\n",
            "exited with code 1 before it had outlived",
        ),
        ("#!/bin/sh\nexit 0\n", "exited with code 0 before it had outlived"),
    ] {
        script(&files.path().join("worker"), text);
        let told = segue.restart();
        assert_eq!(outcome(&told), "rolled_back", "{told}");
        assert!(told["why"].as_str().unwrap().contains(why), "{told}");
        wait::until("only the old one is left", || {
            (children(segue.pid()) == old).then_some(())
        });
    }
    script(&files.path().join("worker"), GOOD);
    assert_eq!(outcome(&segue.restart()), "replaced");
}

/// It is replaced at once, but not before the new one was executed.
#[test]
fn one_that_is_young_outlives_a_new_version_that_cannot_be_executed() {
    let files = directory();
    let recipe = worker(As::Subreaper, files.path(), GOOD);
    let mut segue = recipe.set("SEGUE_STABLE_DELAY", "20s").start();
    segue.line("generation started", 1);
    script(&files.path().join("worker"), "#!/nonexistent/interpreter\n");
    assert_eq!(outcome(&segue.restart()), "rolled_back");
    assert_eq!(children(segue.pid()).len(), 1);
    script(&files.path().join("worker"), GOOD);
    segue.signal(libc::SIGHUP);
    segue.line("generation started", 2);
    segue.line("generation is gone", 2);
}

#[test]
fn restarts_asked_for_again_and_again_all_end_well() {
    let files = directory();
    let mut segue = worker(As::Subreaper, files.path(), GOOD).start();
    segue.line("generation started", 1);
    for _ in 0..20 {
        segue.signal(libc::SIGHUP);
        thread::sleep(Duration::from_millis(100));
    }
    let told = segue.restart();
    assert_eq!(outcome(&told), "replaced", "{told}");
    assert!(segue.lines("restart failed").is_empty() && segue.lines("restart rolled back").is_empty());
    assert!(segue.lines("restart succeeded").len() > 1);
}

#[test]
fn a_command_that_ends_in_the_moment_of_a_restart_tells_its_code() {
    for pause in ["0", "0.02", "0.05", "0.1"] {
        let mut segue = Recipe::plain(As::Init, ["sh", "-c", "echo up; sleep $0; exit 3", pause]).start();
        segue.line("generation started", 1);
        segue.signal(libc::SIGHUP);
        assert_eq!(segue.wait(), 3);
    }
}

#[test]
fn the_commands_say_what_a_worker_is() {
    let (files, desk) = (directory(), Desk::new());
    let mut segue = worker(As::Subreaper, files.path(), GOOD)
        .set("SEGUE_CONTROL", desk.path())
        .start();
    segue.line(NOTHING, 1);
    let status = desk.status();
    assert_eq!(status["generations"][0]["role"], "running", "{status}");
    assert!(
        status["reason"]
            .as_str()
            .unwrap()
            .contains("running, listens on nothing"),
        "{status}"
    );
    let said = desk.tell(&["restart"]);
    assert!(
        said.code == 0 && said.out.contains("generation 2 runs, after"),
        "{said:?}"
    );
    assert_eq!(segue.lines(NOTHING).len(), 1);
}

/// A job of several times the stop timeout, and restarts meanwhile; the stop has one deadline for all of them.
#[test]
fn a_job_may_take_as_long_as_it_likes_if_its_worker_is_replaced() {
    let files = directory();
    let text = "#!/bin/sh\ntrap 'touch asked-$SEGUE_GENERATION' TERM\nwhile ! [ -e done-$SEGUE_GENERATION ]; do sleep 0.02; done\n";
    let mut segue = worker(As::Init, files.path(), text)
        .within(files.path())
        .with(&[("SEGUE_RETIRE_TIMEOUT", "0"), ("SEGUE_STOP_TIMEOUT", "300ms")])
        .start();
    segue.line(NOTHING, 1);
    assert_eq!(outcome(&segue.restart()), "replaced");
    assert_eq!(outcome(&segue.restart()), "replaced");
    wait::until("both were asked", || {
        ["asked-1", "asked-2"]
            .iter()
            .all(|it| files.path().join(it).exists())
            .then_some(())
    });
    wait::throughout(Duration::from_millis(900), "the old ones go on", || {
        segue.lines("program ended").is_empty()
    });
    fs::write(files.path().join("done-1"), "").unwrap();
    segue.line("generation is gone", 1);
    segue.signal(libc::SIGTERM);
    let begin = std::time::Instant::now();
    segue.wait();
    assert!(
        begin.elapsed() < Duration::from_secs(4) * wait::slowness(),
        "{:?}",
        begin.elapsed()
    );
}

#[test]
fn a_worker_that_has_done_its_share_comes_back_at_once() {
    let files = directory();
    let mut segue = worker(As::Subreaper, files.path(), "#!/bin/sh\nsleep 0.5\n")
        .with(&[
            ("SEGUE_RESTART", "always"),
            ("SEGUE_RESTART_DELAY", "20s"),
            ("SEGUE_RESTART_LIMIT", "2"),
        ])
        .start();
    segue.line("generation started", 5);
}

/// Calls of another architecture are not trapped.
#[cfg(target_arch = "x86_64")]
#[test]
fn a_server_whose_calls_are_not_seen_is_ready_all_the_same_and_restarted_stop_first() {
    let files = directory();
    let binary = files.path().join("unseen");
    let built = Command::new("cc")
        .args(["-static", "-no-pie", "-o"])
        .args([&binary, &program("unseen.c")])
        .status()
        .unwrap();
    assert!(built.success());
    for by in ["socketcall", "calls"] {
        let (port, desk) = (free_port(), Desk::new());
        let words = [binary.display().to_string(), port.to_string(), by.into()];
        let mut segue: Segue = Recipe::plain(As::Subreaper, words)
            .set("SEGUE_CONTROL", desk.path())
            .start();
        segue.ready(1);
        let status = desk.status();
        assert_eq!(
            status["generations"][0]["listens"],
            serde_json::json!([format!("127.0.0.1:{port}")])
        );
        let why = status["handover"]["why"].as_str().unwrap();
        assert!(
            why.contains(&port.to_string()) && why.contains("another architecture"),
            "{why}"
        );
        for generation in 2..4 {
            let told = segue.restart();
            assert_eq!(
                (outcome(&told), told["mode"].as_str()),
                ("replaced", Some("stop-first")),
                "{told}"
            );
            assert!(
                told["evidence"].as_str().unwrap().contains("another architecture"),
                "{told}"
            );
            let answer = client::get(loopback(port), "/").unwrap();
            assert!(answer.ends_with(&generation.to_string()), "{answer}");
        }
        segue.signal(libc::SIGTERM);
        assert_eq!(segue.wait(), 143);
    }
}

#[test]
fn a_file_newer_than_the_generation_makes_it_ready() {
    let files = directory();
    let path = files.path().join("ready");
    fs::write(&path, "of another run").unwrap();
    let long_ago = std::time::SystemTime::now() - Duration::from_secs(60);
    fs::File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_modified(long_ago)
        .unwrap();
    let mut segue = worker(As::Subreaper, files.path(), GOOD)
        .set("SEGUE_READY", format!("file:{}", path.display()))
        .start();
    let line = segue.line("not ready by its file", 1);
    assert_eq!(line["why"], "it is older than the generation");
    fs::remove_file(&path).unwrap();
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    wait::until("the FIFO is named", || {
        let lines = segue.lines("not ready by its file");
        lines
            .iter()
            .any(|it| it["why"] == "it is no regular file")
            .then_some(())
    });
    fs::remove_file(&path).unwrap();
    fs::write(&path, "").unwrap();
    segue.ready(1);
}
