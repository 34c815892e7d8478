//! P1: every signal reaches the program, none is lost, and a forward that fails is no end.

use std::{
    os::unix::fs::MetadataExt,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use crate::support::{
    program,
    segue::{As, BOTH, Recipe, Segue, children, signal_process},
    wait,
};

const PYTHON: &str = "/usr/bin/python3";

fn recorder(how: As, values: bool) -> Recipe {
    let script = program("record.py");
    let words = [
        PYTHON,
        script.to_str().unwrap(),
        if values { "--values" } else { "--handlers" },
    ];
    Recipe::new(how, words)
        .set("SEGUE_ON_HUP", "forward")
        .set("SEGUE_STOP_ON", "PWR")
        .set("SEGUE_STOP_TIMEOUT", "100ms")
}

fn start(recipe: &Recipe) -> Segue {
    let segue = recipe.start();
    wait::until("it is up", || segue.stdout().starts_with("up\n").then_some(()));
    segue
}

#[test]
fn every_catchable_signal_reaches_the_program() {
    for how in BOTH {
        let segue = start(&recorder(how, false));
        let mut heard = "up\n".to_owned();
        // SIGCHLD is segue's own; 32 and 33 are libc's, whose programs cannot hear them; PWR is the stop here.
        for signal in (1..=64).filter(|it| ![9, 17, 19, 30, 32, 33].contains(it)) {
            segue.signal(signal);
            heard.push_str(&format!("{signal}\n"));
            wait::until("the signal arrives", || (segue.stdout() == heard).then_some(()));
        }
        assert!(segue.lines("program ended").is_empty());
    }
}

#[test]
fn real_time_signals_queue_and_keep_their_values() {
    let mut segue = start(&recorder(As::Init, true));
    let pid = segue.pid();
    for value in 0..50 {
        // SAFETY: numbers only.
        #[expect(unsafe_code, reason = "a signal with a value, which std and nix have no call for")]
        let sent = unsafe {
            libc::sigqueue(
                pid,
                37,
                libc::sigval {
                    sival_ptr: value as *mut libc::c_void,
                },
            )
        };
        assert_eq!(sent, 0);
    }
    wait::until("all arrive", || {
        (segue.stdout().matches("37 True\n").count() == 50).then_some(())
    });
    segue.signal(libc::SIGPWR);
    assert_eq!(segue.wait(), 137);
}

#[test]
fn the_map_rewrites_and_drops() {
    let recipe = recorder(As::Init, false).set("SEGUE_SIGNAL_MAP", "USR1:USR2,INT:");
    let segue = start(&recipe);
    segue.signal(libc::SIGINT);
    segue.signal(libc::SIGUSR1);
    segue.signal(libc::SIGQUIT);
    wait::until("QUIT arrives", || segue.stdout().contains("\n3\n").then_some(()));
    wait::until("USR2 arrives", || segue.stdout().contains("\n12\n").then_some(()));
    assert!(
        !segue.stdout().contains("\n2\n") && !segue.stdout().contains("\n10\n"),
        "{}",
        segue.stdout()
    );
}

#[test]
fn the_whole_group_hears_if_it_is_to() {
    let child = "trap 'echo child' USR1; echo up; while :; do sleep 0.02; done";
    let main = format!(
        "trap 'echo main' USR1; sh -c '{}' & while :; do sleep 0.02; done",
        child.replace('\'', "'\\''")
    );
    for (group, expected) in [("true", 2), ("false", 1)] {
        let segue = Recipe::new(As::Subreaper, ["sh", "-c", &main])
            .set("SEGUE_STOP_GROUP", group)
            .start();
        wait::until("the child is up", || segue.stdout().contains("up").then_some(()));
        segue.signal(libc::SIGUSR1);
        wait::until("they hear", || {
            let told = segue.stdout();
            (told.contains("main") && told.matches('\n').count() == 1 + expected).then_some(())
        });
    }
}

/// 600 starts with a TERM at some moment of the first two milliseconds: none lost.
#[test]
fn no_signal_is_lost_at_start() {
    let mut moment = 7_u64;
    for start in 0..600 {
        let mut segue = Command::new(env!("CARGO_BIN_EXE_segue"));
        segue
            .args(["--", "sleep", "1000"])
            .env("SEGUE_LOG", "off")
            .stdin(Stdio::null());
        let mut segue = segue.spawn().unwrap();
        moment = moment.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let until = Instant::now() + Duration::from_micros((moment >> 33) % 2_000);
        while Instant::now() < until {
            std::hint::spin_loop();
        }
        signal_process(i32::try_from(segue.id()).unwrap(), libc::SIGTERM);
        wait::until(&format!("start {start} ends"), || segue.try_wait().unwrap());
    }
}

/// The same as PID 1, where the kernel throws away what nobody has blocked or handled. What is sent before segue's first
/// instruction is lost to every init; from the moment that it blocks signals on, none is.
#[test]
fn no_signal_is_lost_at_start_as_pid_1() {
    for _ in 0..50 {
        let mut segue = Recipe::new(As::Init, ["sleep", "20"]).set("SEGUE_LOG", "off").start();
        let pid = segue.pid();
        let blocks = || {
            let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
            let blocked = status
                .lines()
                .find_map(|line| line.strip_prefix("SigBlk:\t"))?
                .to_owned();
            let caught = status
                .lines()
                .find_map(|line| line.strip_prefix("SigCgt:\t"))?
                .to_owned();
            let none = "0000000000000000";
            (status.starts_with("Name:\tsegue\n") && (blocked != none || caught != none)).then_some(())
        };
        wait::until("segue has blocked signals", blocks);
        segue.signal(libc::SIGTERM);
        assert_eq!(segue.wait(), 143);
    }
}

/// Segue is root without CAP_KILL, the program has another user: it cannot be signalled, and segue goes on.
#[test]
fn a_forward_that_fails_is_never_fatal() {
    // (A user that is one and the same in every respect is taken on for the moment of the signal.)
    let files = crate::support::directory();
    let mut command = Command::new("setpriv");
    command.args([
        "--bounding-set=-kill",
        "--inh-caps=-kill",
        env!("CARGO_BIN_EXE_segue"),
        "--",
    ]);
    command
        .args([
            "python3",
            "-c",
            "import os, time; os.setresuid(65533, 65534, 65533); time.sleep(3)",
        ])
        .env("SEGUE_LOG", "debug")
        .env("SEGUE_READY", "started");
    command.stderr(std::fs::File::create(files.path().join("log")).unwrap());
    let mut segue = Segue::spawn(As::Subreaper, command, files);
    segue.ready(1);
    wait::until("the program has changed its user", || {
        let program = *children(segue.pid()).first()?;
        (std::fs::metadata(format!("/proc/{program}")).ok()?.uid() == 65534).then_some(())
    });
    segue.signal(libc::SIGUSR1);
    segue.line("cannot signal the program", 1);
    assert_eq!(segue.wait(), 0, "it ended with the program's code");
}

/// A stop in the moment in which a later generation is forked reaches that too: it has segue's own handlers for a while.
#[test]
fn no_stop_is_lost_between_fork_and_exec_of_a_later_generation() {
    for offset in 0..60_u64 {
        let mut segue = Recipe::new(As::Subreaper, ["sleep", "1000"])
            .set("SEGUE_PROBATION", "20s")
            .start();
        segue.ready(1);
        segue.signal(libc::SIGHUP);
        let at = Instant::now() + Duration::from_micros(offset * 25);
        while Instant::now() < at {
            std::hint::spin_loop();
        }
        let begin = Instant::now();
        segue.signal(libc::SIGTERM);
        assert_eq!(segue.wait(), 143, "offset {offset}");
        let took = begin.elapsed();
        assert!(
            took < Duration::from_secs(15),
            "half of the stop timeout: {took:?}, offset {offset}"
        );
    }
}
