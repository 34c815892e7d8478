//! P6: one command each. What they do to a running segue, what they say, and with which code.

use std::{fs, process::Stdio};

use serde_json::Value;

use crate::support::{
    client,
    command::Desk,
    directory, free_port, hello, loopback, script,
    segue::{As, Recipe, Segue, children},
    wait,
};

/// The example on a port of its own, with settings, once it is ready.
pub fn example(desk: &Desk, settings: &[(&str, &str)]) -> (Segue, u16) {
    let port = free_port();
    let address = format!("127.0.0.1:{port}");
    let mut segue = Recipe::plain(As::Init, [hello().to_str().unwrap(), &address])
        .set("SEGUE_CONTROL", desk.path())
        .set("SEGUE_PROBATION", "100ms")
        .with(settings)
        .start();
    segue.ready(1);
    (segue, port)
}

#[test]
fn restart_waits_and_tells_how_it_came_out() {
    let desk = Desk::new();
    let (mut segue, port) = example(&desk, &[]);
    for word in ["restart", "reload"] {
        let said = desk.tell(&[word]);
        assert!(said.code == 0 && said.out.contains(" serves, after "), "{said:?}");
    }
    assert!(client::get(loopback(port), "/").unwrap().contains("generation 3"));
    let said = desk.tell(&["restart", "--no-wait"]);
    assert_eq!((said.code, said.err.as_str()), (0, ""), "{said:?}");
    segue.line("restart succeeded", 3);
    assert_eq!(segue.line("restart succeeded", 3)["reason"], "command");
    assert_eq!(desk.status()["last_restarts"][0]["reason"], "command");
}

#[test]
fn several_who_ask_at_once_each_hear_of_their_own_restart() {
    let desk = Desk::new();
    let (_segue, _) = example(&desk, &[]);
    let spawn = |_| desk.command(&["restart"]).stdout(Stdio::piped()).spawn().unwrap();
    let asked: Vec<_> = (0..6).map(spawn).collect();
    for it in asked {
        let output = it.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && text.contains(" serves, after "), "{text}");
    }
    let restarts = desk.status()["restarts"]["replaced"].as_u64().unwrap();
    assert!((1..=6).contains(&restarts), "{restarts}");
}

#[test]
fn a_roll_back_is_an_exit_code_and_a_reason() {
    let desk = Desk::new();
    let files = directory();
    let text = |more: &str| format!("#!/bin/sh\n{more}\nexec sleep 1000\n");
    let program = script(&files.path().join("program"), &text(""));
    let recipe = Recipe::new(As::Subreaper, [&program]).set("SEGUE_CONTROL", desk.path());
    let mut segue = recipe.start();
    segue.ready(1);
    // The shell has read it when it has become what it says.
    let name = |pid: i32| fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    wait::until("the first one sleeps", || {
        let asleep = children(segue.pid()).iter().any(|it| name(*it) == "sleep\n");
        asleep.then_some(())
    });
    // In place, for a script that is running cannot be replaced by one that is being written.
    fs::remove_file(&program).unwrap();
    script(&program, &text("exit 7"));
    let said = desk.tell(&["restart"]);
    assert_eq!(said.code, 1, "{said:?}");
    for part in [
        "generation 2 was rolled back",
        "exited with code 7",
        "generation 1 goes on",
    ] {
        assert!(said.err.contains(part), "{said:?}");
    }
    let shown = desk.tell(&["status"]);
    assert!(shown.code == 0 && shown.out.contains("rolled back"), "{shown:?}");
}

#[test]
fn a_restart_that_takes_longer_than_the_limit_is_still_under_way() {
    let desk = Desk::new();
    let files = directory();
    let ready = script(
        &files.path().join("ready"),
        "#!/bin/sh\ntest \"$SEGUE_GENERATION\" = 1\n",
    );
    let mut segue = Recipe::new(As::Subreaper, ["sleep", "1000"])
        .set("SEGUE_CONTROL", desk.path())
        .set("SEGUE_READY", format!("exec:{}", ready.display()))
        .start();
    segue.ready(1);
    let said = desk.tell(&["restart", "--timeout", "300ms"]);
    assert!(said.code == 75 && said.err.contains("still under way"), "{said:?}");
    let shown = desk.tell(&["status"]);
    assert!(shown.code == 0 && shown.out.contains("starting"), "{shown:?}");
    // A stop tells whoever still waits that nothing comes of it.
    let waiting = desk.command(&["restart"]).stderr(Stdio::piped()).spawn().unwrap();
    segue.line("asked to restart", 2);
    assert_eq!(desk.tell(&["stop"]).code, 0);
    let output = waiting.wait_with_output().unwrap();
    assert_eq!(
        output.status.code(),
        Some(1),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn signal_goes_to_the_serving_generation_whatever_its_number() {
    let desk = Desk::new();
    let files = directory();
    let text = "#!/bin/bash\nfor s in USR1 HUP 40; do trap \"echo $SEGUE_GENERATION $s\" $s; done; echo up\nwhile :; do sleep 0.02; done\n";
    let program = script(&files.path().join("program"), text);
    let mut segue = Recipe::new(As::Subreaper, [&program])
        .set("SEGUE_CONTROL", desk.path())
        .set("SEGUE_PROBATION", "50ms")
        .start();
    segue.ready(1);
    wait::until("it is up", || segue.stdout().contains("up").then_some(()));
    for signal in ["USR1", "SIGHUP", "40"] {
        assert_eq!(desk.tell(&["signal", signal]).code, 0, "{signal}");
    }
    for line in ["1 USR1", "1 HUP", "1 40"] {
        wait::until(line, || segue.stdout().lines().any(|it| it == line).then_some(()));
    }
    assert_eq!(desk.tell(&["restart"]).code, 0);
    wait::until("the next is up", || {
        (segue.stdout().matches("up").count() == 2).then_some(())
    });
    assert_eq!(desk.tell(&["signal", "USR1"]).code, 0);
    wait::until("2 USR1", || segue.stdout().contains("2 USR1").then_some(()));
    assert_eq!(desk.tell(&["signal", "KILL"]).code, 0);
    assert_eq!(segue.wait(), 137);
}

#[test]
fn status_and_health_before_within_and_after_a_life() {
    let desk = Desk::new();
    for words in [
        &["status"][..],
        &["health"],
        &["health", "live"],
        &["restart"],
        &["drain"],
        &["signal", "USR1"],
    ] {
        let said = desk.tell(words);
        let text = format!("{}{}", said.out, said.err);
        assert!(
            said.code == 1 && text.contains("no segue is running with SEGUE_CONTROL="),
            "{said:?}"
        );
    }
    let mut segue = Recipe::plain(As::Init, ["sleep", "1000"])
        .set("SEGUE_CONTROL", desk.path())
        .start();
    segue.line("generation started", 1);
    let status = wait::until("it answers", || {
        let said = desk.tell(&["status", "--json"]);
        serde_json::from_str::<Value>(&said.out)
            .ok()
            .map(|status| (said.code, status))
    });
    assert_eq!((status.0, &status.1["ready"]), (3, &false.into()), "{status:?}");
    let reason = status.1["reason"].as_str().unwrap().to_owned();
    assert!(
        reason.contains("does not listen") && reason.contains("SEGUE_READY=started"),
        "{reason}"
    );
    assert_eq!(desk.tell(&["health", "live"]).code, 0);
    for probe in ["ready", "startup"] {
        let said = desk.tell(&["health", probe]);
        assert!(
            said.code == 1 && said.out.contains("SEGUE_READY=started") && said.out.lines().count() == 1,
            "{said:?}"
        );
    }
    let late = desk.tell(&["status", "--wait", "ready", "--timeout", "200ms"]);
    assert!(late.code == 3 && late.out.contains("not ready"), "{late:?}");
    let late = desk.tell(&["status", "--wait", "stopped", "--timeout", "200ms"]);
    assert!(late.code == 75 && late.err.contains("not stopped"), "{late:?}");
    let waiting = desk
        .command(&["status", "--wait", "stopped"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    segue.signal(libc::SIGTERM);
    assert_eq!(segue.wait(), 143);
    assert_eq!(waiting.wait_with_output().unwrap().stdout, b"stopped\n");
    assert_eq!(desk.tell(&["status", "--wait", "stopped"]).code, 0);
    assert!(!desk.path().exists(), "the socket is gone with segue");
}

#[test]
fn status_can_wait_for_a_segue_that_is_about_to_start() {
    let desk = Desk::new();
    let waiting = desk
        .command(&["status", "--wait", "ready", "--timeout", "20s"])
        .stdout(Stdio::piped())
        .spawn();
    let watching = |desk: &Desk| {
        desk.command(&["status", "--watch"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let (mut segue, _) = example(
        &desk,
        &[("SEGUE_STOP_TIMEOUT", "9s"), ("SEGUE_PRE_START", "true --token=abc")],
    );
    let output = waiting.unwrap().wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}");
    for part in [
        "ready  generation 1 serves",
        "SEGUE_STOP_TIMEOUT",
        "9s",
        "transparent",
        "GENERATION",
        "--token=…",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("abc") && !text.contains('\x1b'), "{text}");
    let watch = watching(&desk);
    segue.signal(libc::SIGTERM);
    segue.wait();
    let output = watch.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "it ends with segue");
}

/// A check beside a running segue finds its addresses in use, by itself.
#[test]
fn check_knows_what_the_running_segue_has() {
    let desk = Desk::new();
    let port = free_port();
    let listen = format!("127.0.0.1:{port}");
    let mut segue = Recipe::plain(As::Init, [hello()])
        .set("SEGUE_CONTROL", desk.path())
        .set("SEGUE_LISTEN", &listen)
        .start();
    segue.ready(1);
    let check = |listen: &str| crate::support::command::said(desk.command(&["check"]).env("SEGUE_LISTEN", listen));
    let said = check(&listen);
    assert_eq!(said.code, 0, "{said:?}");
    let other = check(&format!("web={listen}"));
    assert!(other.code == 78 && other.out.contains("in use"), "{other:?}");
}

/// A generation that finishes its connections itself has them counted as its own too.
#[test]
fn connections_of_the_replaced_generation_are_told_from_the_new_ones() {
    let desk = Desk::new();
    let port = free_port();
    let address = format!("127.0.0.1:{port}");
    let mut segue = Recipe::plain(As::Init, [hello().to_str().unwrap(), &address])
        .set("SEGUE_CONTROL", desk.path())
        .set("SEGUE_PROBATION", "60s")
        .start();
    segue.ready(1);
    let old = slow_kept(port);
    desk.command(&["restart", "--no-wait"]).status().unwrap();
    segue.ready(2);
    // Answered after that turn, and so after the look at whose connections are whose.
    desk.status();
    let new = [slow_kept(port), slow_kept(port)];
    let counted = wait::until("both are counted", || {
        let status = desk.status();
        let all = |at: usize| {
            let it = &status["generations"][at]["connections"];
            it["busy"]
                .as_u64()
                .zip(it["idle"].as_u64())
                .map(|(busy, idle)| busy + idle)
        };
        (all(0) == Some(1) && all(1) == Some(2)).then_some(status)
    });
    assert_eq!(counted["generations"][0]["role"], "standby");
    drop((old, new));
}

/// A kept connection that has been answered once.
fn slow_kept(port: u16) -> client::Kept {
    let mut kept = client::Kept::connect(loopback(port)).unwrap();
    kept.get().unwrap();
    kept
}

#[test]
fn completions_and_the_manual_know_every_command() {
    let desk = Desk::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let said = desk.tell(&["completions", shell]);
        assert!(said.code == 0 && said.out.contains("drain"), "{shell}: {said:?}");
    }
    let page = desk.tell(&["man"]).out;
    for part in [
        "segue",
        "drain",
        "SEGUE_STOP_TIMEOUT",
        "SEGUE_WATCH",
        "EXIT STATUS",
        "no\\-wait",
    ] {
        assert!(page.contains(part), "{part}");
    }
    let files = directory();
    let file = files.path().join("segue.1");
    fs::write(&file, &page).unwrap();
    let bash = desk.tell(&["completions", "bash"]).out;
    let checked = std::process::Command::new("bash")
        .args(["-n", "-c", &bash])
        .status()
        .unwrap();
    assert!(checked.success(), "bash takes its completions");
    let copy = files.path().join("copy");
    assert_eq!(desk.tell(&["install", copy.to_str().unwrap()]).code, 0);
    let version = std::process::Command::new(&copy).arg("--version").output().unwrap();
    assert!(version.status.success());
    let nowhere = desk.tell(&["install", "/nonexistent/segue"]);
    assert!(
        nowhere.code == 1 && nowhere.err.contains("/nonexistent/segue"),
        "{nowhere:?}"
    );
    let folder = desk.tell(&["install", files.path().to_str().unwrap()]);
    assert!(folder.code == 1 && folder.err.contains("a directory"), "{folder:?}");
    assert_eq!(
        fs::read_dir(files.path()).unwrap().count(),
        2,
        "nothing half is left behind"
    );
}
