//! `segue verify` tells the truth: of a program that loses nothing, of those that do, and of what cannot be tried.

use std::{
    ffi::OsStr,
    fs::File,
    io::Read,
    os::unix::process::CommandExt,
    process::{Child, Command, Output, Stdio},
};

use serde_json::Value;

use crate::support::{
    client, directory, free_port, hello, loopback, program,
    segue::{descendants, signal_process},
    wait,
};

/// `segue verify`, with nothing in its environment.
fn command<S: AsRef<OsStr>>(options: &[&str], words: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_segue"));
    command.arg("verify").args(options).arg("--").args(words);
    command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin");
    command.env("SEGUE_PROBATION", "50ms").stdin(Stdio::null());
    command
}

/// On a socket that segue binds.
fn listening<S: AsRef<OsStr>>(options: &[&str], words: impl IntoIterator<Item = S>) -> Command {
    let mut command = command(options, words);
    command.env("SEGUE_LISTEN", format!("127.0.0.1:{}", free_port()));
    command
}

/// To its end, within a time.
fn run(mut command: Command) -> Output {
    let files = directory();
    let (out, err) = (files.path().join("out"), files.path().join("err"));
    command
        .stdout(File::create(&out).unwrap())
        .stderr(File::create(&err).unwrap());
    let mut running = Running(command.process_group(0).spawn().unwrap());
    let status = wait::until("verify ends", || running.0.try_wait().unwrap());
    Output {
        status,
        stdout: std::fs::read(out).unwrap(),
        stderr: std::fs::read(err).unwrap(),
    }
}

/// Ends with the test.
struct Running(Child);

impl Running {
    fn pid(&self) -> i32 {
        i32::try_from(self.0.id()).unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        for process in descendants(self.pid()) {
            signal_process(process, libc::SIGKILL);
        }
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("no number: {value}"))
}

#[test]
fn a_program_that_loses_nothing() {
    let mut command = listening(&["--restarts", "3", "--rate", "300", "--json"], [hello()]);
    command.env("SEGUE_READY", "notify");
    let output = run(command);
    let report = json(&output);
    assert_eq!(output.status.code(), Some(0), "{report:#}\n{}", text(&output.stderr));
    assert_eq!((&report["ok"], &report["failed"]), (&true.into(), &0.into()));
    assert_eq!(
        (&report["generations"], &report["stop"]["code"]),
        (&4.into(), &0.into())
    );
    assert_eq!(number(&report["restarts"]["replaced"]), 3);
    assert_eq!(report["restarts"]["outcomes"].as_array().unwrap().len(), 3);
    let millis = |name: &str| report["restarts"][name]["median"].as_f64().unwrap();
    // The probation comes after the new one serves.
    assert!(millis("serving_ms") > 0.0 && millis("took_ms") >= 50.0, "{report:#}");

    let requests = number(&report["requests"]);
    let (fresh, kept) = (number(&report["fresh"]), number(&report["kept_alive"]));
    // Two seconds before the restarts and one after are the least.
    assert!(
        requests >= 900 && fresh + kept == requests && fresh.abs_diff(kept) < 30,
        "{report:#}"
    );
    for phase in ["latency_ms", "latency_restarting_ms", "latency_steady_ms"] {
        let quantile = |name: &str| report[phase][name].as_f64().unwrap();
        let quantiles = ["p50", "p99", "p99_9", "max"].map(quantile);
        assert!(quantiles.is_sorted() && quantiles[0] > 0.0, "{phase}: {quantiles:?}");
    }
    let told = text(&output.stderr);
    assert!(
        told.contains("segue verify: restart 3 of 3: generation 4 serves"),
        "{told}"
    );
}

#[test]
fn for_people_it_is_a_few_lines() {
    let output = run(listening(&["--restarts", "1", "--rate", "100"], [hello()]));
    let report = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{report}{}", text(&output.stderr));
    for row in [
        "  failed        0\n",
        "  restarts      1 of 1 replaced, ",
        "  generations   2\n",
    ] {
        assert!(report.contains(row), "{report}");
    }
}

#[test]
fn answers_that_are_no_success_are_failures() {
    let server = program("failing.py");
    let words = [
        "python3".as_ref(),
        server.as_os_str(),
        "status".as_ref(),
        "503".as_ref(),
    ];
    let output = run(listening(&["--restarts", "0", "--rate", "50", "--json"], words));
    let report = json(&output);
    assert_eq!(output.status.code(), Some(1), "{report:#}");
    let failed = number(&report["failed"]);
    assert!(failed > 0 && number(&report["requests"]) == failed, "{report:#}");
    assert_eq!(number(&report["failures"]["not_2xx"]), failed, "{report:#}");
    assert_eq!(number(&report["details"]["status 503"]), failed, "{report:#}");
}

#[test]
fn a_restart_that_is_rolled_back_is_told_with_its_reason() {
    let server = program("failing.py");
    let words = ["python3".as_ref(), server.as_os_str(), "dies".as_ref()];
    let mut command = command(&["--restarts", "1", "--rate", "50"], words);
    let address = format!("127.0.0.1:{}", free_port());
    command
        .env("SEGUE_LISTEN", &address)
        .env("SEGUE_READY", format!("http://{address}/"));
    let output = run(command);
    let (report, told) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{report}{told}");
    assert!(report.contains("0 of 1 replaced"), "{report}");
    assert!(
        report.contains("restart 1 rolled back: ") && report.contains("code 3"),
        "{report}"
    );
    assert!(
        report.contains("  failed        0\n"),
        "the old one never noticed: {report}"
    );
    assert!(
        told.contains("no second one"),
        "the program's own words are passed on: {told}"
    );
}

/// Stopped first, its clients wait; that none of them counts from the end of its wait only, the longest ones tell.
#[test]
fn a_stall_is_seen_by_all_who_would_have_met_it() {
    let mut command = listening(&["--restarts", "2", "--rate", "200", "--json"], [hello()]);
    command
        .env("SEGUE_READY", "notify")
        .env("SEGUE_RESTART_MODE", "stop-first");
    command.env("HELLO_START_DELAY", "400");
    let output = run(command);
    let report = json(&output);
    assert_eq!(output.status.code(), Some(0), "{report:#}\n{}", text(&output.stderr));
    let millis = |phase: &str, quantile: &str| report[phase][quantile].as_f64().unwrap();
    assert!(millis("latency_restarting_ms", "max") >= 350.0, "{report:#}");
    // Due at any time of the stall, and so waiting for half of it in the middle.
    let median = millis("latency_restarting_ms", "p50");
    assert!((50.0..400.0).contains(&median), "{report:#}");
    assert!(
        report["restarts"]["serving_ms"]["min"].as_f64().unwrap() >= 400.0,
        "{report:#}"
    );
}

/// Each is told in one line, and none leaves a process behind.
#[test]
fn what_cannot_be_tried_is_told() {
    let nobody = format!("http://127.0.0.1:{}/", free_port());
    let server = hello();
    let cases: [(&[&str], &[&OsStr], &str); 2] = [
        (
            &["--url", &nobody],
            &["/nonexistent".as_ref()],
            "before the program was ready",
        ),
        (
            &["--url", &nobody],
            &["sh".as_ref(), "-c".as_ref(), "sleep 1; exit 7".as_ref()],
            "code 7 before",
        ),
    ];
    for (options, words, why) in cases {
        let output = run(command(options, words));
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(told.contains("segue verify: ") && told.contains(why), "{told}");
    }
    let mut forwarded = listening(&["--json"], [server]);
    forwarded.env("SEGUE_ON_HUP", "forward");
    let output = run(forwarded);
    assert_eq!((output.status.code(), &json(&output)["ok"]), (Some(1), &false.into()));
}

#[test]
fn slips_on_the_command_line_are_usage_errors() {
    for (options, why) in [
        (["--url", "https://127.0.0.1/"], "https"),
        (["--url", "http://example.org/"], "no name service"),
        (["--rate", "0"], "--rate"),
        (["--rate", "many"], "--rate"),
        (["--restarts", "-1"], "--restarts"),
    ] {
        let output = run(command(&options, ["true"]));
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(64), "{told}");
        assert!(told.contains(why), "{told}");
    }
}

#[test]
fn a_signal_stops_what_was_started() {
    for (signal, code) in [(libc::SIGTERM, 143), (libc::SIGINT, 130)] {
        let port = free_port();
        let mut command = command(&["--restarts", "100", "--json"], [hello()]);
        command.env("SEGUE_LISTEN", format!("127.0.0.1:{port}"));
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut running = Running(command.process_group(0).spawn().unwrap());
        wait::until("it answers", || client::get(loopback(port), "/").ok());
        let started = wait::until("segue and the program run", || {
            Some(descendants(running.pid())).filter(|it| it.len() >= 2)
        });
        signal_process(running.pid(), signal);
        let status = wait::until("verify ends", || running.0.try_wait().unwrap());
        assert_eq!(status.code(), Some(code));
        for process in started {
            assert!(
                !std::fs::exists(format!("/proc/{process}")).unwrap(),
                "{process} is left"
            );
        }
        let mut report = String::new();
        running.0.stdout.take().unwrap().read_to_string(&mut report).unwrap();
        assert_eq!(report, "");
    }
}
