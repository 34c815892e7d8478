//! What segue says: a line per turn, in a form that collectors read, and a last word where Kubernetes looks for it.

use std::fs;

use crate::support::{
    directory,
    segue::{As, BOTH, Recipe, Segue},
    wait::until,
};

#[test]
fn a_life_is_told_by_what_is_noteworthy() {
    let mut segue = Recipe::new(As::Init, ["sleep", "1000"])
        .set("SEGUE_LOG", "info")
        .set("SEGUE_PROBATION", "10ms")
        .start();
    segue.ready(1);
    assert_eq!(segue.restart()["outcome"], "replaced");
    segue.line("generation is gone", 1);
    segue.signal(libc::SIGTERM);
    segue.wait();
    for line in segue.stderr().lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        let time = line["timestamp"].as_str().unwrap();
        // RFC 3339 in UTC: 2026-11-23T10:00:00.000000Z
        assert!(
            time.len() == 27 && time.ends_with('Z') && time.as_bytes()[10] == b'T',
            "{time}"
        );
        assert!(line["level"].is_string() && line["message"].is_string(), "{line}");
    }
    let told: Vec<String> = segue
        .log()
        .iter()
        .map(|line| line["message"].as_str().unwrap().to_owned())
        .collect();
    let expected = [
        "generation became ready",
        "restart requested",
        "generation started",
        "generation became ready",
        "connections are finished",
        "program ended",
        "generation is gone",
        "restart succeeded",
        "asked to stop",
        "stop requested",
        "connections are finished",
        "program ended",
        "generation is gone",
    ];
    assert_eq!(told, expected);
}

#[test]
fn off_is_silent_and_text_is_for_people() {
    let segue = Recipe::new(As::Subreaper, ["true"]).set("SEGUE_LOG", "off").run();
    assert_eq!(segue.stderr(), "");
    let segue = Recipe::new(As::Subreaper, ["true"])
        .set("SEGUE_LOG_FORMAT", "text")
        .run();
    assert!(
        segue.stderr().contains("DEBUG segue is set up") && segue.log().is_empty(),
        "{}",
        segue.stderr()
    );
}

/// An empty value means unset: the default level.
fn by_default(how: As, program: &str) -> Recipe {
    Recipe::plain(how, ["sh", "-c", program]).set("SEGUE_LOG", "")
}

/// As the entrypoint of `docker run image ls`: the program's own output is all there is.
#[test]
fn a_one_off_command_leaves_no_line_by_default() {
    for how in BOTH {
        for program in [
            "true",
            "exit 3",
            "ls / > /dev/null",
            "sleep 0.2 & wait",
            "kill -WINCH $PPID; sleep 0.2",
        ] {
            let run = by_default(how, program).run();
            assert_eq!(run.stderr(), "", "{program}");
        }
    }
}

#[test]
fn crashes_and_stops_are_logged_by_default() {
    let levels = |segue: &Segue, message: &str| -> Vec<String> {
        let lines = segue.log().into_iter().filter(|line| line["message"] == message);
        lines.map(|line| line["level"].as_str().unwrap().to_owned()).collect()
    };
    let crashed = by_default(As::Init, "kill -SEGV $$").run();
    assert_eq!(levels(&crashed, "program ended"), ["WARN"]);
    let served = by_default(As::Init, "sleep 0.1; exit 1")
        .set("SEGUE_READY", "started")
        .run();
    assert_eq!(levels(&served, "program ended"), ["WARN"]);
    let files = directory();
    let waiting = by_default(As::Init, "trap 'exit 0' TERM; touch begun; while :; do sleep 0.1; done");
    let mut stopped = waiting.within(files.path()).start();
    until("it runs", || files.path().join("begun").exists().then_some(()));
    stopped.signal(libc::SIGTERM);
    stopped.wait();
    assert_eq!(levels(&stopped, "stop requested"), ["INFO"]);
    assert_eq!(levels(&stopped, "program ended"), ["INFO"]);
    let lines = stopped.log();
    assert!(
        lines.iter().all(|line| line.get("target").is_none()),
        "no module's name: {lines:?}"
    );
}

#[test]
fn the_last_reason_is_left_for_kubernetes() {
    let files = directory();
    let path = files.path().join("termination-log");
    for (how, program, setting, reason) in [
        (As::Init, "exit 3", None, "the program exited with code 3"),
        (
            As::Subreaper,
            "kill -SEGV $$",
            None,
            "the program was ended by signal 11",
        ),
        (
            As::Subreaper,
            "exit 0",
            Some(("SEGUE_PRE_START", "false")),
            "SEGUE_PRE_START exited with code 1",
        ),
    ] {
        let recipe = Recipe::new(how, ["sh", "-c", program]).set("SEGUE_TERMINATION_LOG", &path);
        let recipe = setting
            .into_iter()
            .fold(recipe, |recipe, (name, value)| recipe.set(name, value));
        recipe.run();
        assert_eq!(fs::read_to_string(&path).unwrap(), reason);
    }
}

#[test]
fn the_last_reason_tells_who_asked_for_the_end() {
    let files = directory();
    let path = files.path().join("termination-log");
    let mut segue = Recipe::new(As::Init, ["sleep", "1000"])
        .set("SEGUE_TERMINATION_LOG", &path)
        .start();
    segue.ready(1);
    segue.signal(libc::SIGTERM);
    segue.wait();
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        "stopped by SIGTERM; the program was ended by signal 15"
    );
}

/// Bad settings are for a person to read: plain lines, all of them, and nothing was started.
#[test]
fn all_bad_settings_are_told_at_once_and_nothing_starts() {
    for how in BOTH {
        let mut segue = Recipe::new(how, ["sh", "-c", "echo started"])
            .set("SEGUE_STOP_TIMEOUT", "30")
            .set("SEGUE_STOP_ON", "KILL")
            .set("SEGUE_LISTEN", "80")
            .set("SEGUE_WATCH", "/")
            .set("SEGUE_STOP_TIMOUT", "1s")
            .start();
        assert_eq!(segue.wait(), 78);
        let lines = segue.stderr();
        for name in [
            "SEGUE_STOP_TIMEOUT=\"30\"",
            "SEGUE_STOP_ON",
            "SEGUE_LISTEN",
            "/, /proc and /sys are never quiet",
            "SEGUE_STOP_TIMOUT",
        ] {
            assert!(lines.contains(name), "{name} is missing in\n{lines}");
        }
        assert_eq!(segue.stdout(), "");
    }
}
