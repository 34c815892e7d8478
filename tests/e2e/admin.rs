//! The read-only HTTP endpoint: probes through a whole life, every metric, the page in a real browser, and clients that
//! misbehave while the program is restarted.

use std::{
    collections::BTreeMap,
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    os::unix::process::CommandExt,
    process::{Command, Stdio},
    time::Duration,
};

use serde_json::Value;

use crate::support::{
    client::{self, Load},
    command::Desk,
    directory, free_port, hello, loopback, script,
    segue::{As, Recipe, Segue},
    wait,
};

/// Code and body.
fn ask(admin: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(admin).unwrap();
    stream.set_read_timeout(Some(wait::PATIENCE)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer:?}"));
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

fn codes(admin: SocketAddr) -> [u16; 3] {
    ["/livez", "/startupz", "/readyz"].map(|path| ask(admin, path).0)
}

/// The example with an admin endpoint, once it is ready.
fn example(how: As, settings: &[(&str, &str)]) -> (Segue, SocketAddr, SocketAddr) {
    let (port, admin) = (free_port(), free_port());
    let mut segue = Recipe::plain(how, [hello().to_str().unwrap(), &format!("127.0.0.1:{port}")])
        .set("SEGUE_ADMIN", format!("127.0.0.1:{admin}"))
        .set("SEGUE_PROBATION", "100ms")
        .with(settings)
        .start();
    segue.ready(1);
    (segue, loopback(port), loopback(admin))
}

#[test]
fn probes_through_a_life() {
    let admin = free_port();
    let files = directory();
    let ready = files.path().join("ready");
    let mut segue = Recipe::new(As::Init, ["sleep", "1000"])
        .set("SEGUE_ADMIN", format!("127.0.0.1:{admin}"))
        .set("SEGUE_READY", format!("exec:test -e {}", ready.display()))
        .set("SEGUE_DRAIN_DELAY", "1500ms")
        .start();
    segue.line("admin endpoint", 1);
    let admin = loopback(admin);
    assert_eq!(codes(admin), [200, 503, 503], "starting");
    assert!(
        ask(admin, "/readyz").1.contains("does not succeed yet"),
        "{:?}",
        ask(admin, "/readyz")
    );
    fs::write(&ready, "").unwrap();
    segue.ready(1);
    assert_eq!(codes(admin), [200; 3], "serving");
    fs::remove_file(&ready).unwrap();
    segue.signal(libc::SIGHUP);
    segue.line("generation started", 2);
    assert_eq!(codes(admin), [200; 3], "a restart under way is no failure of anything");
    fs::write(&ready, "").unwrap();
    segue.line("restart succeeded", 1);
    segue.signal(libc::SIGTERM);
    segue.line("stop requested", 1);
    assert_eq!(codes(admin), [200, 200, 503], "not ready, and not dead");
    let verbose = ask(admin, "/readyz?verbose").1;
    assert!(
        verbose.contains("[-]stop failed: a stop is under way") && verbose.contains("[+]loop ok"),
        "{verbose}"
    );
    assert_eq!(segue.wait(), 143);
}

#[test]
fn a_crashed_program_is_not_ready_and_segue_is_alive() {
    let (mut segue, _, admin) = example(
        As::Init,
        &[
            ("SEGUE_RESTART", "always"),
            ("SEGUE_RESTART_DELAY", "2s"),
            ("SEGUE_ON_HUP", "restart"),
        ],
    );
    let pid = segue.line("generation started", 1);
    assert_eq!(pid["generation"], 1);
    let status: Value = serde_json::from_str(&ask(admin, "/status").1).unwrap();
    assert_eq!(
        status["program"].as_array().unwrap().len(),
        1,
        "arguments may be secret: {status}"
    );
    crate::support::segue::signal_process(crate::support::segue::children(segue.pid())[0], libc::SIGKILL);
    segue.line("program ended", 1);
    assert_eq!(codes(admin), [200, 200, 503]);
    let reason = ask(admin, "/readyz").1;
    assert!(
        reason.contains("ended by signal 9") && reason.contains("starts again"),
        "{reason}"
    );
    segue.ready(2);
    assert_eq!(codes(admin), [200; 3]);
}

#[test]
fn nothing_can_be_changed_over_tcp() {
    let (_segue, _, admin) = example(As::Subreaper, &[]);
    let code = |method: &str, path: &str| {
        let mut stream = TcpStream::connect(admin).unwrap();
        stream.set_read_timeout(Some(wait::PATIENCE)).unwrap();
        let head = format!("{method} {path} HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split(' ').nth(1).unwrap_or_default().to_owned()
    };
    for path in ["/", "/livez", "/status", "/restart", "/stop", "/drain", "/-/reload"] {
        for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"] {
            assert_eq!(code(method, path), "405", "{method} {path}");
        }
    }
    assert_eq!(code("GET", "/restart"), "404");
    assert_eq!(code("HEAD", "/readyz"), "200");
}

#[test]
fn an_address_that_is_taken_is_told_before_anything_starts() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut segue = Recipe::new(As::Subreaper, ["sleep", "1000"])
        .set("SEGUE_ADMIN", taken.local_addr().unwrap().to_string())
        .start();
    assert_eq!(segue.wait(), 71);
    let text = segue.stderr();
    assert!(
        text.contains("SEGUE_ADMIN: cannot listen on 127.0.0.1:") && !text.contains("generation started"),
        "{text}"
    );
}

/// Samples by name and labels.
fn metrics(admin: SocketAddr) -> BTreeMap<String, f64> {
    let (code, text) = ask(admin, "/metrics");
    assert_eq!(code, 200, "{text}");
    let samples = text.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let (name, value) = line.rsplit_once(' ').unwrap();
        (name.to_owned(), value.parse().unwrap())
    });
    samples.collect()
}

/// One life in which everything happens that is counted.
#[test]
fn every_metric_moves() {
    let (files, desk) = (directory(), Desk::new());
    let (port, admin) = (free_port(), free_port());
    // It knows nothing of signals, may be told never to be ready, and leaves an orphan.
    let naive = format!(
        "#!/bin/sh\n(sleep 0.01 &)\nif [ -e {0}/exit ]; then exit 1; fi\nif [ -e {0}/fail ]; then exec sleep 1000; fi\nexport HELLO_NAIVE=1\nexec {1} 127.0.0.1:{port}\n",
        files.path().display(),
        hello().display()
    );
    let program = script(&files.path().join("program"), &naive);
    let mut segue = Recipe::plain(As::Init, [&program])
        .set("SEGUE_CONTROL", desk.path())
        .set("SEGUE_ADMIN", format!("127.0.0.1:{admin}"))
        .set("SEGUE_PROBATION", "100ms")
        .set("SEGUE_RESTART", "always")
        .set("SEGUE_RESTART_DELAY", "10ms")
        .set("SEGUE_DRAIN_TIMEOUT", "3s")
        .set("SEGUE_READY_TIMEOUT", "300ms")
        .set("SEGUE_DRAIN_IDLE", "50ms")
        .start();
    let admin = loopback(admin);
    segue.ready(1);
    let before = metrics(admin);
    let zero = [
        "segue_restarts_total{reason=\"watch\",outcome=\"replaced\"}",
        "segue_connections_cut_total",
        "segue_kills_total",
        "segue_draining",
        "segue_watch_changes_total",
        "segue_restart_duration_seconds_count",
        "segue_drain_duration_seconds_count",
    ];
    for name in zero {
        assert_eq!(before.get(name), Some(&0.0), "{name}: {before:?}");
    }
    assert_eq!(before["segue_ready"], 1.0);
    // A connection that is kept, one that is cut, a restart by each way, a roll-back, a crash, a kill.
    let mut kept = client::Kept::connect(loopback(port)).unwrap();
    kept.get().unwrap();
    let mut slow = TcpStream::connect(loopback(port)).unwrap();
    write!(slow, "GET /slow?ms=60000 HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
    wait::until("one is busy and one idle", || {
        let now = metrics(admin);
        let count = |state: &str| now[&format!("segue_connections{{state=\"{state}\",generation=\"serving\"}}")];
        (count("busy") == 1.0 && count("idle") == 1.0).then_some(())
    });
    segue.restart();
    let draining = wait::until("the old generation has its own", || {
        let now = metrics(admin);
        let busy = now
            .get("segue_connections{state=\"busy\",generation=\"draining\"}")
            .copied();
        (busy == Some(1.0)).then_some(now)
    });
    assert_eq!(draining["segue_generation"], 2.0);
    segue.line("connections cut at the deadline", 1);
    assert_eq!(desk.tell(&["restart"]).code, 0);
    fs::write(files.path().join("fail"), "").unwrap();
    assert_eq!(segue.restart()["outcome"], "rolled_back");
    fs::rename(files.path().join("fail"), files.path().join("exit")).unwrap();
    assert_eq!(segue.restart()["outcome"], "rolled_back");
    fs::remove_file(files.path().join("exit")).unwrap();
    segue.signal(libc::SIGUSR1);
    segue.line("restart succeeded", 3);
    wait::until("it serves again", || {
        (metrics(admin)["segue_ready"] == 1.0).then_some(())
    });
    let generation: u64 = client::get(loopback(port), "/generation")
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    assert!(generation >= 5, "{generation}");
    assert_eq!(desk.tell(&["drain"]).code, 0);
    let now = metrics(admin);
    for (name, least) in [
        ("segue_info{version=\"0.1.0\"}", 1.0),
        ("segue_generation", 4.0),
        ("segue_generations_started_total", 5.0),
        ("segue_restarts_total{reason=\"hup\",outcome=\"replaced\"}", 1.0),
        ("segue_restarts_total{reason=\"hup\",outcome=\"rolled_back\"}", 2.0),
        ("segue_restarts_total{reason=\"command\",outcome=\"replaced\"}", 1.0),
        ("segue_restarts_total{reason=\"crash\",outcome=\"replaced\"}", 1.0),
        ("segue_restart_duration_seconds_count", 4.0),
        ("segue_restart_duration_seconds_sum", 0.1),
        ("segue_draining", 1.0),
        ("segue_drain_duration_seconds_count", 2.0),
        ("segue_drain_duration_seconds_sum", 0.3),
        ("segue_connections_cut_total", 1.0),
        ("segue_kills_total", 1.0),
        ("segue_reaped_total{kind=\"program\"}", 4.0),
        ("segue_reaped_total{kind=\"orphan\"}", 1.0),
        ("segue_signals_total{signal=\"HUP\"}", 3.0),
        ("segue_signals_total{signal=\"USR1\"}", 1.0),
        ("segue_program_exits_total{kind=\"code\"}", 1.0),
        ("segue_program_exits_total{kind=\"signal\"}", 4.0),
        ("process_cpu_seconds_total", 0.0),
        ("process_open_fds", 10.0),
        ("process_max_fds", 100.0),
        ("process_resident_memory_bytes", 1_000_000.0),
        ("process_virtual_memory_bytes", 1_000_000.0),
        ("process_threads", 1.0),
        ("process_start_time_seconds", 1_700_000_000.0),
    ] {
        assert!(
            now.get(name).is_some_and(|value| *value >= least),
            "{name} {:?}, not {least}",
            now.get(name)
        );
    }
    assert_eq!(now["segue_ready"], 0.0);
    let start = now["segue_program_start_time_seconds"];
    assert!(start > before["segue_program_start_time_seconds"], "{start}");
}

#[test]
fn promtool_and_prometheus_s_own_format_are_content() {
    let (mut segue, _, admin) = example(As::Init, &[]);
    segue.restart();
    let (_, text) = ask(admin, "/metrics");
    assert!(text.ends_with("# EOF\n"));
    let there = Command::new("promtool").arg("--version").output().is_ok();
    assert!(
        there || std::env::var_os("TESTS_REQUIRE_DOCKER").is_none(),
        "promtool is missing"
    );
    if there {
        let mut promtool = Command::new("promtool");
        let promtool = promtool
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped());
        let mut promtool = promtool.stdout(Stdio::piped()).spawn().unwrap();
        promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let output = promtool.wait_with_output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        assert!(
            output.status.success() && said.is_empty(),
            "{}",
            String::from_utf8_lossy(&said)
        );
    }
}

/// What the browser makes of the page, and a picture of it.
#[test]
fn the_page_is_rendered_by_a_browser_and_shows_the_generation() {
    let there = Command::new("chromium")
        .arg("--version")
        .output()
        .is_ok_and(|output| output.status.success());
    assert!(
        there || std::env::var_os("TESTS_REQUIRE_DOCKER").is_none(),
        "chromium is missing"
    );
    if !there {
        return;
    }
    let (mut segue, _, admin) = example(As::Init, &[("SEGUE_STOP_TIMEOUT", "17s")]);
    segue.restart();
    let files = directory();
    let picture = files.path().join("page.png");
    let browse = |option: &str| {
        let mut chromium = Command::new("timeout");
        chromium.args([
            "60",
            "chromium",
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
        ]);
        chromium.arg(format!("--user-data-dir={}", files.path().join("profile").display()));
        chromium.args(["--window-size=1000,800", option, &format!("http://{admin}/")]);
        chromium.env("HOME", files.path()).process_group(0);
        let output = chromium.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let document = browse("--dump-dom");
    for part in [
        "generation 2 serves",
        "ready",
        "SEGUE_STOP_TIMEOUT",
        "17s",
        "replaced",
        "hup",
    ] {
        assert!(document.contains(part), "{part}: {document}");
    }
    browse(&format!("--screenshot={}", picture.display()));
    let png = fs::read(&picture).unwrap();
    assert!(png.starts_with(b"\x89PNG\r\n\x1a\n"), "no picture");
    let side = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().unwrap());
    assert_eq!((side(16), side(20)), (1000, 800));
    assert!(png.len() > 10_000, "{} bytes are an empty page", png.len());
}

/// Sixty-four who say nothing, a flood of scrapes, and others who say nonsense: restarts under load lose nothing, and a probe is
/// answered within the second that the kubelet gives it.
#[test]
fn clients_that_misbehave_slow_nobody() {
    let (mut segue, service, admin) = example(As::Init, &[]);
    let silent: Vec<TcpStream> = (0..200).map(|_| TcpStream::connect(admin).unwrap()).collect();
    let mut slow: Vec<TcpStream> = (0..20).map(|_| TcpStream::connect(admin).unwrap()).collect();
    for stream in &mut slow {
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: te").unwrap();
    }
    let flood = Load::start(admin, "/metrics", 4);
    let load = Load::start(service, "/", 2);
    for _ in 0..5 {
        load.more(50);
        let line = segue.restart();
        assert_eq!(line["outcome"], "replaced");
        let begin = std::time::Instant::now();
        assert_eq!(ask(admin, "/livez").0, 200);
        assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
        for nonsense in [&b"\x16\x03\x01\x02\x00"[..], b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"] {
            TcpStream::connect(admin).unwrap().write_all(nonsense).unwrap();
        }
    }
    let (load, flood) = (load.stop(), flood.stop());
    assert_eq!(load.failed(), 0, "{load}");
    // One of a flood may be evicted before it has said anything; most are answered.
    assert!(flood.succeeded > 9 * flood.failed() && flood.succeeded > 50, "{flood}");
    drop((silent, slow));
}
