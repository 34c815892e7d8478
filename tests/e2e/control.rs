//! Bad input to the control socket and bad places for it: segue says what is wrong, and runs on.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    os::unix::{
        fs::PermissionsExt,
        net::{UnixListener, UnixStream},
        process::CommandExt,
    },
    process::Command,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::support::{
    command::{Desk, said},
    directory,
    segue::{As, Recipe, Segue},
    wait,
};

fn sleeper(desk: &Desk) -> Segue {
    let mut segue = Recipe::new(As::Subreaper, ["sleep", "1000"])
        .set("SEGUE_CONTROL", desk.path())
        .start();
    segue.ready(1);
    wait::until("the socket", || desk.path().exists().then_some(()));
    segue
}

/// A client that says what it likes.
fn connect(desk: &Desk) -> UnixStream {
    let stream = UnixStream::connect(desk.path()).unwrap();
    stream.set_read_timeout(Some(wait::PATIENCE)).unwrap();
    stream
}

fn heard(stream: &UnixStream) -> Value {
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
}

#[test]
fn garbage_is_answered_with_what_would_be_right() {
    let desk = Desk::new();
    let _segue = sleeper(&desk);
    for (sent, why) in [
        (&b"\n"[..], "one JSON object on a line"),
        (b"GET / HTTP/1.1\r\n", "not JSON"),
        (b"\xff\xfe\x00\n", "not JSON"),
        (
            b"{\"version\":9,\"command\":\"stop\"}\n",
            "version 9 is not spoken here",
        ),
        (b"{\"version\":1,\"command\":\"dance\"}\n", "unknown command"),
        (b"{\"version\":1,\"command\":\"signal\",\"signal\":99}\n", "no signal"),
    ] {
        let mut stream = connect(&desk);
        stream.write_all(sent).unwrap();
        let answer = heard(&stream);
        assert!(
            answer["version"] == 1 && answer["error"].as_str().unwrap().contains(why),
            "{answer}"
        );
        // The same client may try again.
        stream.write_all(b"{\"version\":1,\"command\":\"status\"}\n").unwrap();
        assert_eq!(heard(&stream)["status"]["phase"], "running");
    }
    // A last line without its end counts where the client has ended its own side.
    let mut stream = connect(&desk);
    stream.write_all(b"{\"version\":1,\"command\":\"status\"}").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(heard(&stream)["status"]["phase"], "running");
    assert_eq!(desk.tell(&["status"]).code, 0);
}

#[test]
fn a_line_without_end_is_cut_off() {
    let desk = Desk::new();
    let segue = sleeper(&desk);
    let before = resident(segue.pid());
    let mut stream = connect(&desk);
    // Ten megabytes, or as much of them as it takes before it hangs up.
    let part = vec![b'x'; 64 * 1024];
    for _ in 0..160 {
        if stream.write_all(&part).is_err() {
            break;
        }
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok();
    assert!(answer.contains("at most 4096 bytes"), "{answer:?}");
    assert_eq!(desk.tell(&["status"]).code, 0);
    let after = resident(segue.pid());
    assert!(after < before + 2_000, "{before} kB became {after} kB");
}

fn resident(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn half_a_line_is_waited_for_and_then_no_more() {
    let desk = Desk::new();
    let _segue = sleeper(&desk);
    let mut stream = connect(&desk);
    stream.write_all(b"{\"version\":1,").unwrap();
    let begin = Instant::now();
    let answer = heard(&stream);
    assert!(
        answer["error"].as_str().unwrap().contains("no whole line within 10s"),
        "{answer}"
    );
    assert!(begin.elapsed() >= Duration::from_secs(5));
    assert_eq!(desk.tell(&["status"]).code, 0);
}

#[test]
fn a_thousand_silent_clients_keep_nobody_out() {
    let desk = Desk::new();
    let segue = sleeper(&desk);
    let waiting: Vec<UnixStream> = (0..3).map(|_| connect(&desk)).collect();
    let silent: Vec<UnixStream> = (0..1_000).map(|_| connect(&desk)).collect();
    for _ in 0..10 {
        assert_eq!(desk.tell(&["status"]).code, 0);
    }
    let files = fs::read_dir(format!("/proc/{}/fd", segue.pid())).unwrap().count();
    assert!(files < 100, "{files} files");
    drop((waiting, silent));
    wait::until("it lets go of them", || {
        let files = fs::read_dir(format!("/proc/{}/fd", segue.pid())).unwrap().count();
        (files < 30).then_some(())
    });
}

#[test]
fn another_user_is_refused_and_root_is_not() {
    let desk = Desk::new();
    let files = directory();
    // A place that others can reach, with a socket that they may connect to: the peer's user is what counts.
    let path = files.path().join("s.sock");
    fs::set_permissions(files.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = Recipe::new(As::Subreaper, ["sleep", "1000"])
        .set("SEGUE_CONTROL", &path)
        .command(files.path());
    fs::set_permissions(files.path(), fs::Permissions::from_mode(0o777)).unwrap();
    command.uid(65_532).gid(65_532);
    let mut segue = Segue::spawn(As::Subreaper, command, directory());
    wait::until("the socket", || path.exists().then_some(()));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
    let as_user = |user: u32| {
        let mut command = desk.command(&["status"]);
        said(command.env("SEGUE_CONTROL", &path).uid(user).gid(user))
    };
    assert_eq!(as_user(65_532).code, 0);
    assert_eq!(as_user(0).code, 0);
    let other = as_user(65_533);
    assert!(other.code == 1 && other.err.contains("user 65532"), "{other:?}");
    // One that is not asked by our own commands, which would not have believed it, is told so by segue itself.
    let script = format!(
        "import socket; s = socket.socket(socket.AF_UNIX); s.connect({path:?}); \
         s.sendall(b'{{\"version\":1,\"command\":\"stop\"}}\\n'); print(s.makefile().readline())"
    );
    let output = Command::new("/usr/bin/python3")
        .args(["-c", &script])
        .uid(65_533)
        .gid(65_533)
        .output()
        .unwrap();
    let answer = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        answer.contains("belongs to user 65532"),
        "{answer}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(segue.try_wait().is_none());
}

#[test]
fn a_socket_of_somebody_else_is_not_believed() {
    let desk = Desk::new();
    fs::set_permissions(desk.path().parent().unwrap(), fs::Permissions::from_mode(0o777)).unwrap();
    let mut listener = Command::new("/usr/bin/python3");
    let script = "import socket, sys; s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(); print('up', flush=True); sys.stdin.read()";
    listener
        .args(["-c", script, desk.path().to_str().unwrap()])
        .uid(65_533)
        .gid(65_533);
    let mut listener = listener
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    BufReader::new(listener.stdout.as_mut().unwrap())
        .read_line(&mut String::new())
        .unwrap();
    fs::set_permissions(desk.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let told = said(desk.command(&["stop"]).uid(65_532).gid(65_532));
    assert!(told.code == 1 && told.err.contains("neither yours"), "{told:?}");
    drop(listener.stdin.take());
    listener.wait().unwrap();
}

#[test]
fn a_stale_socket_is_replaced_and_a_living_one_is_not() {
    let desk = Desk::new();
    drop(UnixListener::bind(desk.path()).unwrap());
    let segue = sleeper(&desk);
    wait::until("it answers", || (desk.tell(&["status"]).code == 0).then_some(()));
    let mut second = Recipe::new(As::Subreaper, ["sleep", "1000"])
        .set("SEGUE_CONTROL", desk.path())
        .start();
    assert_eq!(second.wait(), 71);
    assert!(
        second.stderr().contains("another process listens there"),
        "{}",
        second.stderr()
    );
    assert!(!second.stderr().contains("generation started"));
    assert_eq!(desk.status()["pid"], segue.pid());
}

#[test]
fn a_path_that_takes_no_socket_is_told_before_anything_starts() {
    let files = directory();
    let file = files.path().join("file");
    fs::write(&file, "precious").unwrap();
    for (path, why) in [
        (files.path().to_path_buf(), "a directory"),
        (file.clone(), "no socket"),
        (files.path().join("missing/segue.sock"), "No such file"),
    ] {
        let mut segue = Recipe::new(As::Subreaper, ["sleep", "1000"])
            .set("SEGUE_CONTROL", &path)
            .start();
        assert_eq!(segue.wait(), 71);
        let text = segue.stderr();
        assert!(text.contains("SEGUE_CONTROL=") && text.contains(why), "{text}");
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
}

#[test]
fn off_is_off() {
    let desk = Desk::new();
    let mut segue = Recipe::new(As::Init, ["sleep", "1000"])
        .set("SEGUE_CONTROL", "off")
        .start();
    segue.ready(1);
    let told = said(desk.command(&["status"]).env("SEGUE_CONTROL", "off"));
    assert!(told.code == 1 && told.err.contains("no control socket"), "{told:?}");
    assert!(segue.lines("control socket").is_empty());
}
