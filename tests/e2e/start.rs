//! `segue start`, the pid file, and the service manager above.

use std::{
    fs,
    os::unix::{fs::PermissionsExt, net::UnixDatagram},
    path::Path,
    process::Command,
};

use crate::support::{
    client,
    command::{Desk, Said, said},
    directory, free_port, hello, loopback,
    segue::{As, Recipe},
    wait,
};

/// `segue start` with a pid file of its own.
struct Place {
    files: tempfile::TempDir,
    desk: Desk,
}

impl Place {
    fn new() -> Place {
        Place {
            files: directory(),
            desk: Desk::new(),
        }
    }

    fn pid_file(&self) -> std::path::PathBuf {
        self.files.path().join("app.pid")
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = self.desk.command(words);
        command
            .env("SEGUE_PID_FILE", self.pid_file())
            .env("PATH", "/usr/bin:/bin");
        command
    }

    fn tell(&self, words: &[&str]) -> Said {
        said(&mut self.command(words))
    }

    fn pid(&self) -> Option<i32> {
        fs::read_to_string(self.pid_file()).ok()?.trim().parse().ok()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // A failed test leaves nothing running.
        if self.pid().is_some() {
            self.tell(&["stop"]);
        }
    }
}

#[test]
fn start_returns_when_it_is_ready_and_says_if_it_is_already() {
    let place = Place::new();
    let port = free_port();
    let words = ["start", "--", hello().to_str().unwrap(), &format!("127.0.0.1:{port}")].map(str::to_owned);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let said = said(place.command(&words).env("HELLO_START_DELAY", "300"));
    assert_eq!(said.code, 0, "{said:?}");
    let pid = place.pid().unwrap();
    assert_eq!(said.out.lines().next().unwrap(), format!("running, pid {pid}"));
    assert!(client::get(loopback(port), "/").is_ok(), "ready means that it answers");
    let log = place.files.path().join("app.log");
    assert!(fs::read_to_string(&log).unwrap().contains("generation became ready"));
    assert_eq!(fs::metadata(&log).unwrap().permissions().mode() & 0o777, 0o600);
    let again = place.tell(&words);
    assert_eq!((again.code, again.out), (0, format!("already running, pid {pid}\n")));
    // It is nobody's job: a session of its own, no terminal, and not a child of the shell's.
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    assert_eq!(
        (fields[3], fields[4]),
        (pid.to_string().as_str(), "0"),
        "session, terminal: {stat}"
    );
    assert_eq!(place.tell(&["restart"]).code, 0);
    assert_eq!(place.tell(&["stop"]).code, 0);
    wait::until("it is gone", || {
        (!Path::new(&format!("/proc/{pid}")).exists()).then_some(())
    });
    assert!(!place.pid_file().exists() && place.pid().is_none());
}

#[test]
fn one_that_does_not_come_up_is_told_with_its_code_and_last_words() {
    let place = Place::new();
    let said = place.tell(&["start", "--", "sh", "-c", "echo the database is away >&2; exit 9"]);
    assert_eq!(said.code, 9, "{said:?}");
    assert!(
        said.err.contains("code 9") && said.err.contains("the database is away"),
        "{said:?}"
    );
    let missing = place.tell(&["start", "--", "/nonexistent"]);
    assert!(
        missing.code == 127 && missing.err.contains("/nonexistent"),
        "{missing:?}"
    );
    let bad = crate::support::command::said(place.command(&["start", "--", "true"]).env("SEGUE_STOP_TIMEOUT", "30"));
    assert!(bad.code == 78 && bad.err.contains("did you mean 30s?"), "{bad:?}");
    assert!(!place.pid_file().exists());
}

#[test]
fn one_that_is_not_ready_in_time_runs_on_and_says_what_it_waits_for() {
    let place = Place::new();
    let said = place.tell(&["start", "--timeout", "500ms", "--", "sleep", "1000"]);
    assert_eq!(said.code, 75, "{said:?}");
    assert!(
        said.err.contains("does not listen") && said.err.contains("SEGUE_READY=started"),
        "{said:?}"
    );
    assert_eq!(place.tell(&["status"]).code, 3);
    assert_eq!(place.tell(&["stop"]).code, 0);
}

#[test]
fn of_many_starts_at_once_one_starts_and_the_others_say_so() {
    let place = Place::new();
    let start = |_| {
        let mut command = place.command(&["start", "--", "sleep", "1000"]);
        command
            .env("SEGUE_READY", "started")
            .stdout(std::process::Stdio::piped());
        command.stderr(std::process::Stdio::piped()).spawn().unwrap()
    };
    let all: Vec<_> = (0..8).map(start).collect();
    let outputs: Vec<_> = all.into_iter().map(|it| it.wait_with_output().unwrap()).collect();
    let text = |it: &std::process::Output| String::from_utf8_lossy(&it.stdout).into_owned();
    assert!(outputs.iter().all(|it| it.status.success()), "{outputs:?}");
    let started = outputs
        .iter()
        .filter(|it| text(it).starts_with("running, pid "))
        .count();
    let already = outputs
        .iter()
        .filter(|it| text(it).starts_with("already running"))
        .count();
    assert_eq!((started, already), (1, 7), "{outputs:?}");
    assert_eq!(place.tell(&["stop"]).code, 0);
}

#[test]
fn stale_and_recycled_and_unwritable_pid_files() {
    // 1 is alive and is not segue.
    for stale in ["1\n", "999999999\n", "nonsense"] {
        let place = Place::new();
        fs::write(place.pid_file(), stale).unwrap();
        let said = said(
            place
                .command(&["start", "--", "sleep", "1000"])
                .env("SEGUE_READY", "started"),
        );
        assert!(
            said.code == 0 && said.out.starts_with("running, pid "),
            "{stale}: {said:?}"
        );
        assert_eq!(place.tell(&["stop"]).code, 0);
    }
    let files = directory();
    let mut segue = Recipe::new(As::Subreaper, ["sleep", "1000"])
        .set("SEGUE_PID_FILE", files.path().join("missing/app.pid"))
        .start();
    assert_eq!(segue.wait(), 71);
    assert!(segue.stderr().contains("SEGUE_PID_FILE="), "{}", segue.stderr());
}

#[test]
fn run_writes_and_locks_the_pid_file_too() {
    let files = directory();
    let path = files.path().join("app.pid");
    let recipe = Recipe::new(As::Subreaper, ["sleep", "1000"]).set("SEGUE_PID_FILE", &path);
    let mut first = recipe.start();
    first.ready(1);
    assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", first.pid()));
    let mut second = recipe.start();
    assert_eq!(second.wait(), 71);
    let expected = format!("already running, pid {}", first.pid());
    assert!(second.stderr().contains(&expected), "{}", second.stderr());
    first.signal(libc::SIGKILL);
    first.wait();
    // The file may be there still, or a helper that kept it has removed it.
    let mut third = recipe.start();
    third.ready(1);
    assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", third.pid()));
    third.signal(libc::SIGTERM);
    third.wait();
    assert!(!path.exists());
}

/// The service manager's side of sd_notify(3).
fn manager(path: &Path) -> impl FnMut() -> Vec<String> {
    let socket = UnixDatagram::bind(path).unwrap();
    socket.set_read_timeout(Some(wait::PATIENCE)).unwrap();
    move || {
        let mut bytes = [0; 4096];
        let length = socket.recv(&mut bytes).expect("a notification");
        let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
        text.lines().map(str::to_owned).collect()
    }
}

#[test]
fn the_service_manager_hears_ready_reloading_and_stopping() {
    let files = directory();
    let path = files.path().join("notify");
    let mut next = manager(&path);
    let port = free_port();
    let mut segue = Recipe::plain(As::Subreaper, [hello().to_str().unwrap(), &format!("127.0.0.1:{port}")])
        .set("NOTIFY_SOCKET", &path)
        .set("SEGUE_PROBATION", "50ms")
        .set("SEGUE_STOP_TIMEOUT", "20s")
        .start();
    assert_eq!(next()[0], "READY=1");
    segue.signal(libc::SIGHUP);
    let reloading = next();
    assert_eq!(reloading[0], "RELOADING=1");
    let moment: u64 = reloading[1].strip_prefix("MONOTONIC_USEC=").unwrap().parse().unwrap();
    assert!(
        moment > 0 && reloading[2].starts_with("EXTEND_TIMEOUT_USEC="),
        "{reloading:?}"
    );
    assert_eq!(next(), ["READY=1", "STATUS=generation 2 serves"]);
    segue.signal(libc::SIGTERM);
    assert_eq!(next()[..2], ["STOPPING=1", "EXTEND_TIMEOUT_USEC=30000000"]);
    assert_eq!(segue.wait(), 0);
}

#[test]
fn the_program_does_not_talk_over_segue_s_head() {
    let files = directory();
    let path = files.path().join("notify");
    let _next = manager(&path);
    let mut segue = Recipe::new(
        As::Subreaper,
        ["sh", "-c", "echo \"<$NOTIFY_SOCKET>\"; exec sleep 1000"],
    )
    .set("NOTIFY_SOCKET", &path)
    .start();
    segue.ready(1);
    let told = wait::until("what it has", || segue.stdout().lines().next().map(str::to_owned));
    assert_eq!(told, "<>");
}

#[test]
fn a_service_manager_that_hears_nothing_keeps_nobody_waiting() {
    let files = directory();
    let path = files.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    // Its queue is full.
    let filler = UnixDatagram::unbound().unwrap();
    filler.set_nonblocking(true).unwrap();
    while filler.send_to(&[0; 16], &path).is_ok() {}
    let mut segue = Recipe::new(As::Subreaper, ["sleep", "1000"])
        .set("NOTIFY_SOCKET", &path)
        .start();
    segue.ready(1);
    segue.signal(libc::SIGHUP);
    segue.line("restart succeeded", 1);
    segue.signal(libc::SIGTERM);
    assert_eq!(segue.wait(), 143);
    drop(socket);
}
