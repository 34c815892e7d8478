//! Something else is where segue reads a file: a FIFO, a device, a file without end, a link. PID 1 goes on, and says what it found.

use std::{
    fs,
    os::unix::fs::symlink,
    path::Path,
    time::{Duration, Instant},
};

use nix::{sys::stat::Mode, unistd::mkfifo};

use crate::support::{
    command::Desk,
    directory,
    segue::{As, BOTH, Recipe},
    wait,
};

fn fifo(at: &Path) {
    mkfifo(at, Mode::S_IRWXU).unwrap();
}

fn endless(at: &Path) {
    symlink("/dev/zero", at).unwrap();
}

/// In megabytes.
fn memory_of(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() / 1024
}

/// Whoever may write into a watched directory may put anything there.
#[test]
fn a_watched_directory_with_odd_files_of_patterns() {
    for (how, put) in BOTH
        .into_iter()
        .flat_map(|how| [(how, fifo as fn(&Path)), (how, endless)])
    {
        let (home, watched, desk) = (directory(), directory(), Desk::new());
        let mut segue = Recipe::plain(how, ["sleep", "1000"])
            .set("SEGUE_READY", "started")
            .set("SEGUE_WATCH", watched.path())
            .set("SEGUE_WATCH_DEBOUNCE", "50ms")
            .set("SEGUE_PROBATION", "0")
            .set("SEGUE_STOP_TIMEOUT", "4s")
            .set("SEGUE_CONTROL", desk.path())
            .start();
        segue.line("watching files", 1);
        let upload = home.path().join("upload");
        fs::create_dir(&upload).unwrap();
        for name in [".gitignore", ".ignore"] {
            put(&upload.join(name));
        }
        fs::write(upload.join("file"), "one").unwrap();
        fs::rename(&upload, watched.path().join("upload")).unwrap();
        segue.line("restart succeeded", 1);
        fs::write(watched.path().join("upload/file"), "two").unwrap();
        segue.line("restart succeeded", 2);
        assert_eq!(desk.status()["generation"], 3);
        assert!(memory_of(segue.pid()) < 50);
        let begin = Instant::now();
        segue.signal(libc::SIGTERM);
        segue.wait();
        assert!(begin.elapsed() < Duration::from_secs(4) * wait::slowness());
    }
}

/// What is watched itself is replaced by a FIFO between two looks.
#[test]
fn a_watched_file_that_becomes_a_fifo() {
    let (watched, desk) = (directory(), Desk::new());
    let file = watched.path().join("file");
    fs::write(&file, "one").unwrap();
    let mut segue = Recipe::plain(As::Init, ["sleep", "1000"])
        .set("SEGUE_READY", "started")
        .set("SEGUE_WATCH", &file)
        .set("SEGUE_WATCH_DEBOUNCE", "50ms")
        .set("SEGUE_PROBATION", "0")
        .set("SEGUE_CONTROL", desk.path())
        .start();
    segue.line("watching files", 1);
    let other = watched.path().join("other");
    fifo(&other);
    fs::rename(&other, &file).unwrap();
    fs::write(&other, "two").unwrap();
    fs::rename(&other, &file).unwrap();
    wait::until("the second content is seen", || {
        let restarts = segue.lines("restart succeeded").len();
        (restarts >= 1 && desk.status()["generation"].as_u64() > Some(1)).then_some(())
    });
}

#[test]
fn an_environment_file_that_is_none_is_a_fault_with_its_name() {
    let home = directory();
    let at = home.path().join("env");
    for (put, what) in [
        (fifo as fn(&Path), "it is a FIFO, and not a regular file"),
        (endless, "it is a device, and not a regular file"),
    ] {
        put(&at);
        for how in BOTH {
            let mut segue = Recipe::plain(how, ["true"]).set("SEGUE_ENV_FILES", &at).run();
            assert_eq!(segue.wait(), 78, "{}", segue.stderr());
            let told = format!("SEGUE_ENV_FILES: {}: {what}", at.display());
            assert!(segue.stderr().contains(&told), "{}", segue.stderr());
        }
        let check = std::process::Command::new(env!("CARGO_BIN_EXE_segue"))
            .args(["check", "--", "true"])
            .env("SEGUE_ENV_FILES", &at)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&check.stdout).into_owned() + &String::from_utf8_lossy(&check.stderr);
        assert!(!check.status.success() && said.contains(what), "{said}");
        fs::remove_file(&at).unwrap();
    }
    // An empty file, by the name that people use for one.
    let mut segue = Recipe::plain(As::Init, ["true"])
        .set("SEGUE_ENV_FILES", "/dev/null")
        .run();
    assert_eq!(segue.wait(), 0, "{}", segue.stderr());
}

/// A restart reads the files again: the old generation goes on.
#[test]
fn an_environment_file_that_becomes_a_fifo_rolls_back() {
    let home = directory();
    let at = home.path().join("env");
    fs::write(&at, "A=1\n").unwrap();
    let mut segue = Recipe::plain(As::Init, ["sleep", "1000"])
        .set("SEGUE_READY", "started")
        .set("SEGUE_ENV_FILES", &at)
        .start();
    segue.ready(1);
    fs::remove_file(&at).unwrap();
    fifo(&at);
    let told = segue.restart();
    assert_eq!(told["outcome"], "rolled_back", "{told}");
    assert!(told["why"].as_str().unwrap().contains("it is a FIFO"), "{told}");
    let gone = segue.lines("generation is gone");
    assert!(gone.iter().all(|line| line["generation"] != 1), "{gone:?}");
}

/// Others may write where the termination log is to be.
#[test]
fn the_termination_log_follows_no_link() {
    let home = directory();
    let (precious, log) = (home.path().join("precious"), home.path().join("log"));
    fs::write(&precious, "text").unwrap();
    symlink(&precious, &log).unwrap();
    let mut segue = Recipe::plain(As::Init, ["sh", "-c", "exit 3"])
        .set("SEGUE_TERMINATION_LOG", &log)
        .run();
    assert_eq!(segue.wait(), 3);
    assert_eq!(fs::read_to_string(&precious).unwrap(), "text");
    let told = "cannot write the termination log: it is a symbolic link";
    assert_eq!(segue.lines(told).len(), 1, "{}", segue.stderr());
}
