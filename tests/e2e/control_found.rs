//! Commands find the control socket of their own segue, wherever it could be made, and whatever else is there.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::Command,
};

use serde_json::{Value, json};

use crate::support::{
    command::said,
    directory,
    segue::{As, Segue, children},
    wait,
};

/// PID 1 of a PID namespace in which /run, /dev/shm and /tmp are what `mounts` makes of them.
fn isolated(mounts: &str, words: &str) -> (Segue, tempfile::TempDir) {
    let files = directory();
    // Its log is in a directory that a tmpfs over /tmp would hide: the file is open by then.
    let script = format!("{mounts}\nexec {} {words}", env!("CARGO_BIN_EXE_segue"));
    let mut command = Command::new("unshare");
    command.args([
        "--mount",
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
        "sh",
        "-c",
        &script,
    ]);
    command
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("SEGUE_READY", "started");
    let logs = directory();
    command
        .stderr(fs::File::create(logs.path().join("log")).unwrap())
        .stdin(std::process::Stdio::null());
    (Segue::spawn(As::Init, command, logs), files)
}

/// A command in the namespaces of a segue.
fn inside(segue: &Segue, words: &[&str]) -> crate::support::command::Said {
    let mut command = Command::new("nsenter");
    command.args(["--target", &segue.pid().to_string(), "--mount", "--pid"]);
    command.arg(env!("CARGO_BIN_EXE_segue")).args(words).env_clear();
    said(&mut command)
}

#[test]
fn without_a_writable_directory_segue_runs_on_and_commands_say_so() {
    let read_only = "mount -t tmpfs -o ro none /run; mount -t tmpfs -o ro none /dev/shm; mount --bind /tmp /tmp; mount -o remount,ro,bind /tmp";
    let (mut segue, _files) = isolated(read_only, "-- sleep 1000");
    segue.ready(1);
    let line = segue.line(
        "no control socket: commands such as segue status cannot reach this segue",
        1,
    );
    assert!(
        line["remedy"].as_str().unwrap().contains("SEGUE_CONTROL=/path"),
        "{line}"
    );
    let told = inside(&segue, &["status"]);
    assert!(
        told.code == 1 && told.err.contains("looked in /run, /dev/shm, /tmp"),
        "{told:?}"
    );
    segue.signal(libc::SIGHUP);
    segue.line("restart succeeded", 1);
    segue.signal(libc::SIGTERM);
    assert_eq!(segue.wait(), 143);
}

#[test]
fn the_first_writable_directory_is_taken_and_commands_find_it_there() {
    let tmpfs = "mount -t tmpfs none /dev/shm";
    for (run, place) in [
        ("mount -t tmpfs none /run", "/run"),
        ("mount -t tmpfs -o ro none /run", "/dev/shm"),
    ] {
        let (mut segue, _files) = isolated(&format!("{run}; {tmpfs}"), "-- sleep 1000");
        segue.ready(1);
        let status = wait::until("it answers", || {
            Some(inside(&segue, &["status", "--json"])).filter(|it| it.code == 0)
        });
        let status: Value = serde_json::from_str(&status.out).unwrap();
        assert_eq!(status["pid"], json!(1));
        let root = format!("/proc/{}/root{place}", segue.pid());
        let names = fs::read_dir(root)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap());
        // mount(8) leaves things of its own.
        let names: Vec<String> = names.filter(|name| name.starts_with("segue")).collect();
        assert!(
            names.len() == 1 && names[0].starts_with("segue-") && names[0].ends_with(".sock"),
            "{names:?}"
        );
    }
}

#[test]
fn of_several_in_one_namespace_the_choices_are_listed_and_the_pid_file_chooses() {
    let program = format!(
        "-- sh -c 'cd /run; SEGUE_READY=started SEGUE_PID_FILE=/run/inner.pid {} -- sleep 1000 & wait'",
        env!("CARGO_BIN_EXE_segue")
    );
    let (mut segue, _files) = isolated("mount -t tmpfs none /run; mount -t tmpfs none /dev/shm", &program);
    segue.ready(1);
    let told = wait::until("both are there", || {
        let told = inside(&segue, &["status"]);
        told.err.contains("several are running").then_some(told)
    });
    assert_eq!(told.code, 1);
    let choices: Vec<&str> = told
        .err
        .lines()
        .filter(|line| line.trim_start().starts_with("SEGUE_CONTROL="))
        .collect();
    assert!(
        choices.len() == 2 && choices[0].contains("pid 1 ") && choices[1].contains("sleep 1000"),
        "{told:?}"
    );
    let chosen = |name: &str, value: &str| {
        let mut command = Command::new("nsenter");
        command.args(["--target", &segue.pid().to_string(), "--mount", "--pid"]);
        command
            .arg(env!("CARGO_BIN_EXE_segue"))
            .args(["status", "--json"])
            .env_clear()
            .env(name, value);
        let told = said(&mut command);
        assert_eq!(told.code, 0, "{told:?}");
        serde_json::from_str::<Value>(&told.out).unwrap()["program"].clone()
    };
    assert_eq!(chosen("SEGUE_PID_FILE", "/run/inner.pid"), json!(["sleep", "1000"]));
    let path = choices[0]
        .trim_start()
        .split(' ')
        .next()
        .unwrap()
        .strip_prefix("SEGUE_CONTROL=")
        .unwrap();
    assert_eq!(chosen("SEGUE_CONTROL", path)[0], "sh");
    assert!(!children(segue.pid()).is_empty());
}

/// Anybody may leave a socket of such a name in /tmp or /dev/shm, and answer there.
#[test]
fn a_stranger_s_socket_beside_the_own_one_is_passed_over() {
    let (mut segue, _files) = isolated(
        "mount -t tmpfs none /run; mount -t tmpfs -o mode=1777 none /dev/shm",
        "-- sleep 1000",
    );
    segue.ready(1);
    let fake = "import os, socket; os.setgid(65533); os.setuid(65533); s = socket.socket(socket.AF_UNIX); \
                number = ''.join(filter(str.isdigit, os.readlink('/proc/self/ns/pid'))); \
                s.bind(f'/dev/shm/segue-{number}-999.sock'); s.listen(); print('up', flush=True); os.read(0, 1)";
    let mut listener = Command::new("nsenter");
    listener.args([
        "--target",
        &segue.pid().to_string(),
        "--mount",
        "--pid",
        "/usr/bin/python3",
        "-c",
        fake,
    ]);
    let mut listener = listener
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut up = String::new();
    BufReader::new(listener.stdout.as_mut().unwrap())
        .read_line(&mut up)
        .unwrap();
    assert_eq!(up, "up\n");
    for words in [&["health"][..], &["status"], &["restart"], &["stop"]] {
        let told = inside(&segue, words);
        assert_eq!(told.code, 0, "{words:?} {told:?}");
    }
    segue.wait();
    drop(listener.stdin.take());
    listener.wait().unwrap();
}
