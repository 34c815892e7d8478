//! P1: exit codes, and a program that finds everything exactly as segue found it.

use std::{
    fs,
    os::unix::{ffi::OsStrExt, process::CommandExt},
    path::Path,
    process::Command,
};

use crate::support::{
    directory, free_port, script,
    segue::{As, BOTH, Recipe, Segue},
    wait,
};

fn code<const N: usize>(how: As, words: [&str; N]) -> i32 {
    Recipe::new(how, words).start().wait()
}

#[test]
fn all_exit_codes_pass_through() {
    for expected in 0..=255 {
        let how = if expected % 2 == 0 { As::Subreaper } else { As::Init };
        assert_eq!(code(how, ["sh", "-c", &format!("exit {expected}")]), expected);
    }
}

#[test]
fn death_by_signal_is_128_and_its_number() {
    for signal in [1, 2, 6, 9, 11, 15, 34, 37, 64] {
        for how in BOTH {
            assert_eq!(
                code(how, ["sh", "-c", &format!("kill -{signal} $$")]),
                128 + signal,
                "signal {signal}"
            );
        }
    }
}

#[test]
fn what_cannot_run_is_126_or_127_with_the_reason() {
    let files = directory();
    let path = |name: &str| files.path().join(name);
    fs::write(path("plain"), "text").unwrap();
    script(&path("no-interpreter"), "#!/nonexistent/interpreter\n");
    script(&path("text"), "exit 9\n");
    // An ELF header for another machine (SPARC).
    let mut elf = fs::read("/bin/true").unwrap();
    elf[18] = 2;
    fs::write(path("foreign"), elf).unwrap();
    script(&path("empty"), "");
    fs::set_permissions(path("foreign"), fs::metadata(path("text")).unwrap().permissions()).unwrap();
    for how in BOTH {
        for (program, expected, reason) in [
            ("/nonexistent", 127, "not found"),
            ("nonexistent-program", 127, "not found on PATH"),
            ("/etc", 126, "not a regular file"),
            (path("plain").to_str().unwrap(), 126, "not executable"),
            (
                path("no-interpreter").to_str().unwrap(),
                127,
                "/nonexistent/interpreter",
            ),
            (path("foreign").to_str().unwrap(), 126, "built for"),
        ] {
            let mut segue = Recipe::new(how, [program]).start();
            assert_eq!(segue.wait(), expected, "{program}");
            let line = &segue.lines("generation could not be started")[0];
            assert!(line["detail"].as_str().unwrap().contains(reason), "{line}");
        }
        // As execvp(3) has it: a text without an interpreter is the shell's.
        assert_eq!(code(how, [path("text").to_str().unwrap()]), 9);
        assert_eq!(code(how, [path("empty").to_str().unwrap()]), 0);
    }
}

#[test]
fn usage_settings_and_the_system_have_codes_of_their_own() {
    let segue = || Command::new(env!("CARGO_BIN_EXE_segue"));
    let run = |command: &mut Command| command.output().unwrap();
    for words in [&["--"][..], &[], &["--nonsense", "true"], &["signal"]] {
        let output = run(segue().args(words));
        assert_eq!(output.status.code(), Some(64), "{words:?}");
        assert!(!output.stderr.is_empty());
    }
    let bad = run(segue().args(["--", "true"]).env("SEGUE_STOP_TIMEOUT", "30"));
    assert_eq!(bad.status.code(), Some(78));
    assert!(String::from_utf8_lossy(&bad.stderr).contains("did you mean 30s?"));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let refused = run(segue()
        .args(["--", "true"])
        .env("SEGUE_LISTEN", taken.local_addr().unwrap().to_string()));
    assert_eq!(refused.status.code(), Some(71));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("address in use"));
    for words in [&["--help"][..], &["--version"], &["settings"], &["check", "--", "true"]] {
        assert_eq!(run(segue().args(words)).status.code(), Some(0), "{words:?}");
    }
}

/// A foreign listener with SO_REUSEPORT set does not make segue share its address either.
#[test]
fn an_address_is_never_shared_with_a_stranger() {
    let port = free_port();
    let mut first = Recipe::new(As::Subreaper, ["sleep", "1000"])
        .set("SEGUE_LISTEN", format!("127.0.0.1:{port}"))
        .start();
    first.ready(1);
    let mut second = Recipe::new(As::Init, ["sleep", "1000"])
        .set("SEGUE_LISTEN", format!("127.0.0.1:{port}"))
        .start();
    assert_eq!(second.wait(), 71);
}

/// Mask, ignored and caught signals of a shell that `prepare` has prepared, and that then runs `words`.
const PREPARE: &str = "import os, signal, sys\n\
    signal.signal(signal.SIGPIPE, signal.SIG_DFL if sys.argv[1] == 'default' else signal.SIG_IGN)\n\
    for s in (signal.SIGUSR1, signal.SIGTTIN, 40): signal.signal(s, signal.SIG_IGN)\n\
    if sys.argv[1] == 'child': signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n\
    signal.pthread_sigmask(signal.SIG_SETMASK, {signal.SIGUSR2, signal.SIGHUP, 35, 64} )\n\
    os.execvp(sys.argv[2], sys.argv[2:])\n";

#[test]
fn the_program_finds_signals_as_segue_found_them() {
    let show = ["sh", "-c", "grep -E '^Sig(Blk|Ign|Cgt)' /proc/self/status"];
    for preparation in ["default", "pipe", "child"] {
        let prepared = |words: &[&str]| {
            let mut command = Command::new("/usr/bin/python3");
            command
                .args(["-c", PREPARE, preparation])
                .args(words)
                .env("SEGUE_LOG", "off");
            String::from_utf8(command.output().unwrap().stdout).unwrap()
        };
        let direct = prepared(&show);
        let under = prepared(&[&[env!("CARGO_BIN_EXE_segue"), "--"], &show[..]].concat());
        assert_eq!(direct, under, "{preparation}");
        assert!(direct.lines().count() == 3, "{direct}");
    }
}

/// The second generation too, when segue's own handlers stand.
/// Segue may have more files than the program, which has as many as segue was started with.
#[test]
fn every_generation_has_the_limit_on_files_that_segue_had() {
    let files = crate::support::directory();
    let recipe = Recipe::new(As::Init, ["sh", "-c", "ulimit -Sn; ulimit -Hn; exec sleep 1000"]);
    let inner = recipe.set("SEGUE_PROBATION", "10ms").command(files.path());
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "ulimit -Sn 300; ulimit -Hn 5000; exec \"$@\"", "sh"]);
    command.arg(inner.get_program()).args(inner.get_args());
    command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.stdout(std::fs::File::create(files.path().join("out")).unwrap());
    command.stderr(std::fs::File::create(files.path().join("log")).unwrap());
    let mut segue = Segue::spawn(As::Init, command, files);
    wait::until("the first speaks", || segue.stdout().contains("5000").then_some(()));
    assert_eq!(segue.restart()["outcome"], "replaced");
    wait::until("both have spoken", || {
        (segue.stdout() == "300\n5000\n300\n5000\n").then_some(())
    });
    let own = std::fs::read_to_string(format!("/proc/{}/limits", segue.pid())).unwrap();
    assert!(
        own.lines()
            .any(|line| line.starts_with("Max open files            5000")),
        "{own}"
    );
}

#[test]
fn a_later_generation_finds_the_same() {
    for how in BOTH {
        let show = "grep -E '^Sig(Blk|Ign|Cgt)' /proc/self/status; echo end; exec sleep 1000";
        let mut segue = Recipe::new(how, ["sh", "-c", show])
            .set("SEGUE_PROBATION", "10ms")
            .start();
        wait::until("the first speaks", || {
            Some(segue.stdout()).filter(|it| it.contains("end"))
        });
        assert_eq!(segue.restart()["outcome"], "replaced");
        let both = wait::until("both speak", || {
            Some(segue.stdout()).filter(|it| it.matches("end").count() == 2)
        });
        let (first, second) = both.split_once("end\n").unwrap();
        assert_eq!(format!("{first}end\n"), second);
    }
}

#[test]
fn closed_streams_stay_closed_and_foreign_files_are_passed_and_let_go() {
    let files = directory();
    let note = files.path().join("note");
    let show = format!("ls -l /proc/self/fd > {} ; exec sleep 1000", note.display());
    let line = format!(
        "exec 0<&- 1>&- 7</etc/hostname; exec {} -- sh -c '{show}'",
        env!("CARGO_BIN_EXE_segue")
    );
    let mut command = Command::new("sh");
    command
        .args(["-c", &line])
        .env("SEGUE_LOG", "debug")
        .env("SEGUE_READY", "started")
        .stderr(fs::File::create(files.path().join("log")).unwrap());
    let mut segue = Segue::spawn(As::Subreaper, command, directory());
    let listing = wait::until("it has listed", || {
        fs::read_to_string(&note).ok().filter(|it| it.contains("hostname"))
    });
    // `ls` has its own redirection as 1 and the directory as the lowest free number, which is that of stdin.
    assert!(
        !listing.contains(" 0 -> /dev/null") && !listing.contains(" 1 -> /dev/null"),
        "{listing}"
    );
    let own = segue.pid();
    wait::until("segue lets go", || {
        let mut links = fs::read_dir(format!("/proc/{own}/fd")).unwrap().flatten();
        links
            .all(|link| fs::read_link(link.path()).is_ok_and(|it| !it.ends_with("hostname")))
            .then_some(())
    });
    assert_eq!(fs::read_link(format!("/proc/{own}/cwd")).unwrap(), Path::new("/"));
    segue.signal(libc::SIGTERM);
    assert_eq!(segue.wait(), 143);
}

#[test]
fn directory_environment_and_settings() {
    let files = directory();
    let here = fs::canonicalize(files.path()).unwrap();
    for how in BOTH {
        let mut segue = Recipe::new(
            how,
            ["sh", "-c", "pwd; env | LC_ALL=C sort | grep -av '^_='; exec sleep 1000"],
        )
        .set("SEGUE_PROBATION", "10ms")
        .set("BYTES", std::ffi::OsStr::from_bytes(b"\xff\xfe"))
        .within(&here)
        .start();
        segue.ready(1);
        // It is ready when it runs, and may be replaced before it has said anything.
        wait::until("the first speaks", || {
            segue.stdout().contains("SEGUE_GENERATION").then_some(())
        });
        assert_eq!(segue.restart()["outcome"], "replaced");
        let told = wait::until("both speak", || {
            Some(segue.stdout()).filter(|it| it.matches("SEGUE_GENERATION").count() == 2)
        });
        assert_eq!(
            told.matches(&format!("{}\n", here.display())).count(),
            4,
            "pwd and PWD: {told}"
        );
        assert!(
            told.contains("SEGUE_GENERATION=1\n") && told.contains("SEGUE_GENERATION=2\n"),
            "{told}"
        );
        assert_eq!(told.matches("SEGUE_").count(), 2, "settings stop at segue: {told}");
        assert_eq!(
            told.matches("BYTES=\u{fffd}\u{fffd}\n").count(),
            2,
            "bytes pass as they are: {told}"
        );
    }
    let kept = Recipe::new(As::Init, ["sh", "-c", "env"])
        .set("SEGUE_KEEP_ENV", "yes")
        .run();
    assert!(kept.stdout().contains("SEGUE_KEEP_ENV=yes\n"));
}

#[test]
fn kubernetes_service_links_do_not_disturb() {
    let mut segue = Recipe::new(As::Init, ["true"])
        .set("SEGUE_PORT", "tcp://10.0.0.1:80")
        .set("SEGUE_PORT_80_TCP_ADDR", "10.0.0.1")
        .set("SEGUE_SERVICE_HOST", "10.0.0.1")
        .start();
    assert_eq!(segue.wait(), 0);
    assert!(!segue.stderr().contains("SEGUE_PORT"), "{}", segue.stderr());
}

#[test]
fn segue_is_the_init_that_it_is_called() {
    let files = directory();
    for name in ["tini", "docker-init", "catatonit"] {
        let link = files.path().join(name);
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_segue"), &link).unwrap();
        let version = Command::new(&link).arg("--version").output().unwrap();
        assert!(String::from_utf8_lossy(&version.stdout).starts_with("tini version"));
        let run = Command::new(&link)
            .args(["-s", "-g", "--", "sh", "-c", "exit 5"])
            .output()
            .unwrap();
        assert_eq!(
            (run.status.code(), run.stderr.len()),
            (Some(5), 0),
            "as quiet as they are"
        );
        let mapped = Command::new(&link)
            .args(["-e", "5", "sh", "-c", "exit 5"])
            .output()
            .unwrap();
        assert_eq!(mapped.status.code(), Some(0));
    }
    // A word that is none of its options still belongs to the program.
    let output = Command::new(env!("CARGO_BIN_EXE_segue"))
        .arg0("segue")
        .args(["sh", "-c", "exit 6"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(6));
}

/// Nothing wakes segue while nothing happens.
#[test]
fn an_idle_segue_sleeps() {
    for how in BOTH {
        let (port, admin, files) = (free_port(), free_port(), directory());
        let mut segue = Recipe::new(how, ["sleep", "1000"])
            .set("SEGUE_LISTEN", format!("127.0.0.1:{port}"))
            .set("SEGUE_ADMIN", format!("127.0.0.1:{admin}"))
            // A place of its own: another segue that looks for one would knock at a living socket.
            .set("SEGUE_CONTROL", files.path().join("s"))
            .start();
        segue.ready(1);
        let pid = segue.pid();
        let switches = || {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
            status
                .lines()
                .find(|line| line.starts_with("voluntary_ctxt_switches"))
                .unwrap()
                .to_owned()
        };
        // What the start still had to do is done when nothing has changed for a while.
        let mut calm = (switches(), std::time::Instant::now());
        wait::until("segue has settled", || {
            let now = switches();
            if now != calm.0 {
                calm = (now, std::time::Instant::now());
            }
            (calm.1.elapsed() > std::time::Duration::from_millis(500)).then_some(())
        });
        let before = switches();
        wait::throughout(std::time::Duration::from_secs(5), "it sleeps", || switches() == before);
    }
}
