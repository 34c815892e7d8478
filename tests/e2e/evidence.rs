//! Which programs are restarted stop-first although nobody asked for that, and which are not: by what they lock and write.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::TcpStream,
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use serde_json::Value;

use crate::support::{
    client::Load,
    directory, free_port, loopback, program,
    segue::{As, BOTH, Recipe, Segue, children},
    servers::is_installed,
    wait,
};

const SUCCEEDED: &str = "restart succeeded";

/// A server that keeps these files open, each named by its kind.
fn keeps(how: As, port: u16, files: &[String]) -> Recipe {
    let program = program("keeps.py");
    let words = [
        "/usr/bin/python3".into(),
        program.display().to_string(),
        port.to_string(),
    ];
    Recipe::plain(how, words.into_iter().chain(files.iter().cloned())).set("SEGUE_PROBATION", "50ms")
}

/// Restarts it under load; the line that tells how that came out. No request may fail.
fn restarted(segue: &mut Segue, port: u16) -> Value {
    segue.ready(1);
    let load = Load::start(loopback(port), "/", 2);
    load.more(10);
    let told = segue.restart();
    load.more(10);
    let tally = load.stop();
    assert_eq!(tally.failed(), 0, "{tally}");
    assert_eq!(told["outcome"], "replaced", "{told}");
    told
}

/// What the evidence must name; empty: there is none, so that two generations overlap.
fn kinds(at: &Path) -> Vec<(String, String)> {
    let path = |name: &str| at.join(name).display().to_string();
    let lock = |kind: &str, name: &str| format!("holds a write lock ({kind}) on {}", path(name));
    let writes = |name: &str| format!("has {} open for writing", path(name));
    let kind = |kind: &str, name: &str, evidence: String| (format!("{kind}:{}", path(name)), evidence);
    fs::create_dir_all(at.join("logs")).unwrap();
    fs::create_dir_all(at.join("kept")).unwrap();
    fs::write(at.join("data"), "x").unwrap();
    vec![
        kind("flock", "a.lock", lock("flock", "a.lock")),
        kind("posix", "b.lock", lock("POSIX", "b.lock")),
        kind("ofd", "c.lock", lock("OFD", "c.lock")),
        kind("locked-directory", "kept", lock("flock", "kept")),
        kind("write", "db.sqlite", writes("db.sqlite")),
        kind("append", "journal.aof", writes("journal.aof")),
        kind("write", "not-appended.log", writes("not-appended.log")),
        kind("child", "child.db", writes("child.db")),
        kind("flock-shared", "d.lock", String::new()),
        kind("posix-read", "e.lock", String::new()),
        kind("read", "data", String::new()),
        kind("directory", "kept", String::new()),
        kind("append", "access.log", String::new()),
        kind("append", "error_log", String::new()),
        kind("append", "logs/today", String::new()),
        kind("child", "child.log", String::new()),
        kind("deleted", "heartbeat", String::new()),
        kind("fifo", "fifo", String::new()),
        ("write:/dev/null".to_owned(), String::new()),
    ]
}

#[test]
fn locks_and_files_that_are_written_stop_it_first_and_no_others() {
    let files = directory();
    for (number, (kind, evidence)) in kinds(files.path()).into_iter().enumerate() {
        let (how, port) = (BOTH[number % 2], free_port());
        let mut segue = keeps(how, port, std::slice::from_ref(&kind)).start();
        let told = restarted(&mut segue, port);
        let found = told["evidence"].as_str().unwrap_or_default();
        if evidence.is_empty() {
            assert_eq!((told["mode"].as_str(), found), (Some("overlap"), ""), "{kind}");
        } else {
            assert_eq!(told["mode"], "stop-first", "{kind}");
            assert!(
                found.starts_with("process ") && found.ends_with(&evidence),
                "{kind}: {found}"
            );
            let warned = segue.lines("restarting stop-first: two generations at once would get in each other's way");
            assert_eq!(warned.len(), 1, "{kind}");
        }
    }
}

/// Java, and many others, keep a file that bears their number.
#[test]
fn a_file_that_is_named_by_its_process_is_in_nobody_s_way() {
    let files = directory();
    let kind = format!("flock:{}/PID", files.path().display());
    for how in BOTH {
        let port = free_port();
        let mut segue = keeps(how, port, std::slice::from_ref(&kind)).start();
        assert_eq!(restarted(&mut segue, port)["mode"], "overlap");
    }
}

/// stdout and stderr may be files, whoever opened them: they are logs.
#[test]
fn a_file_that_is_standard_output_is_a_log() {
    let files = directory();
    let port = free_port();
    let recipe = keeps(As::Subreaper, port, &[format!("write:{}/out", files.path().display())]);
    let command = recipe.command(files.path());
    let mut segue = Segue::spawn(As::Subreaper, command, files);
    assert_eq!(restarted(&mut segue, port)["mode"], "overlap");
}

#[test]
fn whoever_asks_for_an_overlap_gets_it_and_is_warned() {
    let files = directory();
    let port = free_port();
    let kind = format!("append:{}/data.bin", files.path().display());
    let recipe = keeps(As::Subreaper, port, &[kind]).set("SEGUE_RESTART_MODE", "overlap");
    let mut segue = recipe.start();
    let told = restarted(&mut segue, port);
    assert_eq!(told["mode"], "overlap");
    let warned = segue.line(
        "overlapping two generations as asked for, although they may harm each other",
        1,
    );
    assert_eq!(warned["level"], "WARN");
    assert!(
        warned["evidence"]
            .as_str()
            .unwrap()
            .ends_with("data.bin open for writing"),
        "{warned}"
    );
}

/// The newcomer has the highest score until it serves for good, and then segue's own; unless it has chosen one itself.
#[test]
fn the_newcomer_s_oom_score_is_put_back_and_a_program_s_own_is_kept() {
    let score = |pid: i32| fs::read_to_string(format!("/proc/{pid}/oom_score_adj")).unwrap();
    let own = score(i32::try_from(std::process::id()).unwrap());
    for (files, expected) in [(vec![], own.as_str()), (vec!["score:321".to_owned()], "321")] {
        let port = free_port();
        let mut segue = keeps(As::Subreaper, port, &files).start();
        assert_eq!(restarted(&mut segue, port)["mode"], "overlap");
        let program = wait::until("one generation is left", || {
            let children = children(segue.pid());
            (children.len() == 1).then(|| children[0])
        });
        assert_eq!(score(program).trim(), expected.trim());
        // While it starts.
        segue.signal(libc::SIGHUP);
        let newcomer = wait::until("a newcomer is there", || {
            children(segue.pid()).into_iter().find(|pid| *pid != program)
        });
        let seen = wait::until("it runs", || {
            let words = fs::read_to_string(format!("/proc/{newcomer}/cmdline")).ok()?;
            words.starts_with("/usr/bin/python3").then(|| score(newcomer))
        });
        assert!(
            seen.trim() == "1000" || (!files.is_empty() && seen.trim() == expected),
            "{seen}"
        );
        segue.line(SUCCEEDED, 2);
    }
}

/// Not root, and a program of another user's than segue's.
#[test]
fn whatever_user_it_is_its_files_are_seen() {
    let files = directory();
    let kind = format!("flock:{}/lock", files.path().display());
    fs::set_permissions(files.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    for around in [true, false] {
        let port = free_port();
        let mut recipe = keeps(As::Subreaper, port, std::slice::from_ref(&kind));
        if !around {
            recipe = recipe.before(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"]);
        }
        let mut command = recipe.command(files.path());
        if around {
            command = as_nobody(command);
        }
        let logs = directory();
        command.stderr(fs::File::create(logs.path().join("log")).unwrap());
        let mut segue = Segue::spawn(As::Subreaper, command, logs);
        assert_eq!(restarted(&mut segue, port)["mode"], "stop-first", "around: {around}");
        fs::remove_file(files.path().join("lock")).unwrap();
    }
}

/// The same command, with segue and all below it as nobody.
fn as_nobody(command: Command) -> Command {
    let mut nobody = Command::new("setpriv");
    nobody.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]);
    nobody.arg(command.get_program()).args(command.get_args()).env_clear();
    let variables = command.get_envs().filter_map(|(name, value)| Some((name, value?)));
    nobody.envs(variables);
    nobody
}

/// A kept connection to redis, which increments a number without end and remembers what was acknowledged.
struct Incrementing {
    ends: Arc<AtomicBool>,
    thread: thread::JoinHandle<u64>,
}

impl Incrementing {
    fn start(port: u16) -> Incrementing {
        let ends = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&ends);
        let thread = thread::spawn(move || {
            let mut acknowledged = 0;
            while !is_over.load(Ordering::Relaxed) {
                let Ok(stream) = TcpStream::connect(loopback(port)) else {
                    continue;
                };
                stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
                let mut lines = BufReader::new(stream.try_clone().unwrap());
                while !is_over.load(Ordering::Relaxed) {
                    let mut line = String::new();
                    let asked = (&stream)
                        .write_all(b"INCR n\r\n")
                        .and_then(|()| lines.read_line(&mut line));
                    // It ends, or begins and loads: what it acknowledged before counts.
                    if asked.is_err() || !line.starts_with(':') {
                        break;
                    }
                    acknowledged += 1;
                }
            }
            acknowledged
        });
        Incrementing { ends, thread }
    }

    fn stop(self) -> u64 {
        self.ends.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

fn redis_says(port: u16, command: &str) -> String {
    let stream = TcpStream::connect(loopback(port)).unwrap();
    let mut lines = BufReader::new(&stream).lines();
    (&stream).write_all(format!("{command}\r\n").as_bytes()).unwrap();
    let first = lines.next().unwrap().unwrap();
    if first == "$-1" {
        "0".to_owned()
    } else if first.starts_with('$') {
        lines.next().unwrap().unwrap()
    } else {
        first
    }
}

#[test]
fn redis_with_an_append_only_file_keeps_what_it_acknowledged() {
    if !is_installed("redis-server") {
        return;
    }
    let files = directory();
    let port = free_port();
    let directory = files.path().display().to_string();
    let words = [
        "redis-server",
        "--port",
        &port.to_string(),
        "--dir",
        &directory,
        "--appendonly",
        "yes",
    ];
    let more = ["--appendfsync", "always", "--save", "", "--bind", "127.0.0.1"];
    // Its clients never pause.
    let recipe = Recipe::plain(As::Init, words.into_iter().chain(more)).set("SEGUE_DRAIN_TIMEOUT", "500ms");
    let mut segue = recipe.start();
    segue.ready(1);
    let incrementing = Incrementing::start(port);
    for restart in 0..2 {
        let value = || redis_says(port, "GET n").parse::<u64>().unwrap_or(0);
        let before = value();
        wait::until("it increments", || (value() > before + 50).then_some(()));
        let told = segue.restart();
        let evidence = told["evidence"].as_str().unwrap_or_default();
        assert!(evidence.contains("appendonly"), "restart {restart}: {told}");
        assert_eq!(
            (&told["mode"], &told["outcome"]),
            (&"stop-first".into(), &"replaced".into())
        );
    }
    let acknowledged = incrementing.stop();
    // It listens before it has its data.
    let value: u64 = wait::until("it has its data", || redis_says(port, "GET n").parse().ok());
    // The last one may have been counted without its answer's having come.
    assert!(
        value >= acknowledged && value <= acknowledged + 3,
        "{acknowledged} were acknowledged, {value} are there"
    );
    assert_eq!(segue.lines(SUCCEEDED).len(), 2);
}
