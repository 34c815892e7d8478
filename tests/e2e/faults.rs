//! Faults that PID 1 must survive: limits of the system, streams that are closed or full, programs that do not obey.

use std::{
    fs,
    io::Read,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use crate::support::{
    directory, free_port, hello, loopback, script,
    segue::{As, BOTH, Recipe, Segue},
    wait,
};

/// Sets a soft limit of a running process, as `ulimit -S` does before one runs.
fn limit(pid: i32, what: &str, number: u32) {
    let limited = Command::new("prlimit")
        .args([&format!("--pid={pid}"), &format!("--{what}={number}:")])
        .status();
    assert!(limited.unwrap().success());
}

/// A user that nobody else is, so that its processes can be counted.
fn own_user() -> u32 {
    100_000 + std::process::id() % 1_000_000
}

/// Segue as a user of its own, with room for so many processes.
fn with_processes(number: u32, words: &[&str]) -> (Command, tempfile::TempDir) {
    let files = directory();
    fs::set_permissions(files.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    // The binary may lie where only root may look.
    let segue = files.path().join("segue");
    fs::copy(env!("CARGO_BIN_EXE_segue"), &segue).unwrap();
    let mut command = Command::new("setpriv");
    let user = own_user().to_string();
    command.args([
        "--reuid",
        &user,
        "--regid",
        &user,
        "--clear-groups",
        "prlimit",
        &format!("--nproc={number}:1000"),
    ]);
    command
        .arg(segue)
        .arg("--")
        .args(words)
        .env("SEGUE_LOG", "debug")
        .env("SEGUE_READY", "started")
        .env("SEGUE_PROBATION", "10ms");
    command
        .stderr(fs::File::create(files.path().join("log")).unwrap())
        .stdout(Stdio::null());
    (command, files)
}

#[test]
fn no_process_can_be_made_at_start() {
    let (command, files) = with_processes(1, &["sleep", "1000"]);
    let mut segue = Segue::spawn(As::Subreaper, command, files);
    assert_eq!(segue.wait(), 71);
    let line = &segue.lines("generation could not be started")[0];
    assert!(line["detail"].as_str().unwrap().starts_with("cannot fork: "), "{line}");
}

#[test]
fn no_process_can_be_made_in_a_restart() {
    let (command, files) = with_processes(2, &["sleep", "1000"]);
    let mut segue = Segue::spawn(As::Subreaper, command, files);
    segue.ready(1);
    let line = segue.restart();
    assert_eq!(line["outcome"], "rolled_back", "{line}");
    assert!(line["why"].as_str().unwrap().starts_with("cannot fork: "), "{line}");
    // Only the same user may set another's limits without a privilege.
    let user = own_user().to_string();
    let pid = format!("--pid={}", segue.pid());
    let words = [
        "--reuid",
        &user,
        "--regid",
        &user,
        "--clear-groups",
        "prlimit",
        &pid,
        "--nproc=20:",
    ];
    assert!(Command::new("setpriv").args(words).status().unwrap().success());
    assert_eq!(
        segue.restart()["outcome"],
        "replaced",
        "it goes when there is room again"
    );
}

#[test]
fn no_file_can_be_opened_in_a_restart() {
    let port = free_port();
    let mut segue = Recipe::new(As::Init, [hello()])
        .set("SEGUE_LISTEN", format!("127.0.0.1:{port}"))
        .set("SEGUE_READY", "notify")
        .set("SEGUE_PROBATION", "10ms")
        .start();
    segue.ready(1);
    let pid = segue.pid();
    let highest = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    limit(pid, "nofile", u32::try_from(highest).unwrap());
    let line = segue.restart();
    assert_eq!(line["outcome"], "rolled_back", "{line}");
    assert!(line["why"].as_str().unwrap().contains("Too many open files"), "{line}");
    crate::support::client::get(loopback(port), "/").unwrap();
    limit(pid, "nofile", 1024);
    assert_eq!(segue.restart()["outcome"], "replaced");
}

#[test]
fn a_broken_stderr_is_no_fault_and_its_signal_not_the_program_s() {
    let files = directory();
    let (note, up) = (files.path().join("note"), files.path().join("up"));
    let watch = format!(
        "trap 'echo pipe > {}' PIPE; echo > {}; while :; do sleep 0.02; done",
        note.display(),
        up.display()
    );
    for kind in ["closed", "full", "broken pipe"] {
        let close = if kind == "closed" { "2>&-" } else { "" };
        let mut command = Command::new("sh");
        command.args([
            "-c",
            &format!("exec \"$0\" -- sh -c \"$1\" {close}"),
            env!("CARGO_BIN_EXE_segue"),
            &watch,
        ]);
        command.env("SEGUE_LOG", "trace").stdin(Stdio::null());
        match kind {
            "full" => command.stderr(fs::File::options().write(true).open("/dev/full").unwrap()),
            "broken pipe" => command.stderr(std::io::pipe().unwrap().1),
            _ => command.stderr(Stdio::null()),
        };
        let mut segue = Segue::spawn(As::Subreaper, command, directory());
        wait::until("the program is up", || fs::remove_file(&up).ok());
        for _ in 0..20 {
            segue.signal(libc::SIGWINCH);
        }
        segue.signal(libc::SIGTERM);
        assert_eq!(segue.wait(), 143, "{kind}");
        assert!(!note.exists(), "{kind}: the program got segue's SIGPIPE");
    }
}

/// A log pipe that nobody empties: the program blocks in its writing, segue does not.
#[test]
fn a_full_stderr_never_stalls_segue() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_segue"));
    let flood = "trap '' PIPE; while :; do echo flood flood flood flood flood flood flood flood flood >&2; done";
    command
        .args(["--", "sh", "-c", flood])
        .env("SEGUE_LOG", "trace")
        .env("SEGUE_STOP_TIMEOUT", "500ms");
    let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let pid = i32::try_from(child.id()).unwrap();
    // Full when the program's only thread hangs in a write to the pipe.
    wait::until("the pipe is full", || {
        let program = *crate::support::segue::children(pid).first()?;
        fs::read_to_string(format!("/proc/{program}/wchan"))
            .ok()
            .filter(|it| it.contains("pipe_write"))
    });
    for _ in 0..200 {
        crate::support::segue::signal_process(pid, libc::SIGUSR2);
    }
    crate::support::segue::signal_process(pid, libc::SIGTERM);
    wait::until("segue ends", || child.try_wait().unwrap());
    let mut text = String::new();
    child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
    assert!(text.contains("flood"));
}

#[test]
fn a_stopped_program_is_woken_to_stop() {
    for how in BOTH {
        let mut segue = Recipe::new(how, ["sleep", "1000"])
            .set("SEGUE_STOP_TIMEOUT", "1m")
            .start();
        segue.ready(1);
        let program = crate::support::segue::children(segue.pid())[0];
        crate::support::segue::signal_process(program, libc::SIGSTOP);
        wait::until("it is stopped", || {
            fs::read_to_string(format!("/proc/{program}/stat"))
                .ok()
                .filter(|stat| stat.contains(") T "))
        });
        segue.signal(libc::SIGTERM);
        assert_eq!(segue.wait(), 143);
    }
}

/// HUP and the program's own end in the same instant: whatever comes first, segue ends or serves, and never hangs.
#[test]
fn the_program_ends_in_the_same_instant_as_the_hup() {
    let files = directory();
    let count = files.path().join("count");
    for offset in 0..50_u64 {
        fs::write(&count, "").unwrap();
        let line = format!(
            "echo x >> {0}; test $(wc -l < {0}) -gt 1 && exec sleep 1000; sleep 0.05; exit 7",
            count.display()
        );
        let mut segue = Recipe::new(As::Subreaper, ["sh", "-c", &line])
            .set("SEGUE_PROBATION", "10ms")
            .start();
        segue.ready(1);
        let at = Instant::now() + Duration::from_micros(46_000 + offset * 200);
        while Instant::now() < at {
            std::hint::spin_loop();
        }
        segue.signal(libc::SIGHUP);
        let ended = wait::until("it ends or serves again", || {
            let serves = segue.lines("generation became ready").len() > 1;
            segue.try_wait().map(|status| status.code()).or(serves.then_some(None))
        });
        match ended {
            Some(code) => assert_eq!(code, 7, "offset {offset}"),
            None => {
                segue.signal(libc::SIGTERM);
                let code = segue.wait();
                assert!([143, 7].contains(&code), "offset {offset}: {code}");
            }
        }
    }
}

#[test]
fn a_thousand_hups_in_a_second() {
    let port = free_port();
    let mut segue = Recipe::new(As::Init, [hello()])
        .set("SEGUE_LISTEN", format!("127.0.0.1:{port}"))
        .set("SEGUE_READY", "notify")
        .set("SEGUE_PROBATION", "50ms")
        .start();
    segue.ready(1);
    let load = crate::support::client::Load::start(loopback(port), "/", 2);
    let pid = segue.pid();
    let begin = Instant::now();
    for _ in 0..1_000 {
        crate::support::segue::signal_process(pid, libc::SIGHUP);
        let next = Instant::now() + Duration::from_micros(900);
        while Instant::now() < next {
            std::hint::spin_loop();
        }
    }
    segue.line("restart succeeded", 2);
    load.more(20);
    let tally = load.stop();
    assert_eq!(tally.failed(), 0, "{tally}");
    // Each takes its probation, and what comes meanwhile is one more.
    let (most, restarts) = (begin.elapsed().as_millis() / 50, segue.lines("restart succeeded").len());
    assert!(restarts as u128 <= most, "{restarts} of {most}");
    segue.signal(libc::SIGTERM);
    assert_eq!(segue.wait(), 0);
}

/// No decision is taken by the time of day, nor by how long the machine has been up.
#[test]
fn other_clocks_change_nothing() {
    let files = directory();
    let mut command = Command::new("unshare");
    command.args([
        "--time",
        "--monotonic",
        "10000000",
        "--boottime",
        "10000000",
        "--fork",
        "--kill-child",
    ]);
    command.args([env!("CARGO_BIN_EXE_segue"), "--", "sleep", "1000"]);
    command
        .env("SEGUE_LOG", "debug")
        .env("SEGUE_READY", "started")
        .env("SEGUE_PROBATION", "50ms");
    command.stderr(fs::File::create(files.path().join("log")).unwrap());
    let mut segue = Segue::spawn(As::Init, command, files);
    segue.ready(1);
    assert_eq!(segue.restart()["outcome"], "replaced");
    segue.line("generation is gone", 1);
    segue.signal(libc::SIGTERM);
    assert_eq!(segue.wait(), 143);
}

#[test]
fn a_program_that_daemonises_ends_segue_with_its_code() {
    let files = directory();
    let daemon = script(
        &files.path().join("daemon"),
        "#!/bin/sh\n(setsid sleep 1000 >/dev/null 2>&1 &)\nexit 0\n",
    );
    for how in BOTH {
        let mut segue = Recipe::new(how, [&daemon]).start();
        assert_eq!(segue.wait(), 0);
        assert_eq!(
            segue.lines("the program left a process behind, asking it to go").len(),
            1
        );
    }
}
