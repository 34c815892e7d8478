//! A file system (FUSE, of the test's own) stops answering: whoever asks it for anything waits, and cannot always be killed. PID 1
//! goes on.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use crate::support::{
    command::Desk,
    directory, program,
    segue::{As, BOTH, Recipe, Segue, children, descendants, signal_process},
    wait,
};

/// A mount for one segue and what it runs.
struct Mount {
    at: tempfile::TempDir,
    local: tempfile::TempDir,
    seed: tempfile::TempDir,
}

impl Mount {
    /// With these files; `None` where there is no FUSE, or no right to mount.
    fn with(files: &[(&str, &str)]) -> Option<Mount> {
        // SAFETY: it has no arguments and no effect.
        #[expect(unsafe_code, reason = "std does not tell the user")]
        let is_root = unsafe { libc::geteuid() } == 0;
        if !is_root || !Path::new("/dev/fuse").exists() {
            eprintln!("skipped: there is no /dev/fuse here, or no right to mount");
            return None;
        }
        let mount = Mount {
            at: directory(),
            local: directory(),
            seed: directory(),
        };
        for (name, text) in files {
            fs::write(mount.seed.path().join(name), text).unwrap();
        }
        Some(mount)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.at.path().join(name)
    }

    /// What is not on it.
    fn local(&self, name: &str) -> PathBuf {
        self.local.path().join(name)
    }

    fn recipe(&self, recipe: Recipe) -> Recipe {
        let server = program("hung_mount.py");
        let pid = self.local("server");
        recipe.around([
            Path::new("unshare"),
            Path::new("--mount"),
            Path::new("python3"),
            &server,
            self.at.path(),
            &pid,
            self.seed.path(),
        ])
    }

    fn server(&self) -> i32 {
        wait::until("the server runs", || {
            fs::read_to_string(self.local("server")).ok()?.parse().ok()
        })
    }

    fn hang(&self) {
        signal_process(self.server(), libc::SIGUSR1);
        // It has taken note of that when it does not answer any more.
        let at = PathBuf::from(format!(
            "/proc/{}/root{}",
            self.server(),
            self.path("nothing").display()
        ));
        wait::until("nobody answers", || {
            #[expect(clippy::zombie_processes, reason = "one that hangs cannot be waited for")]
            let mut look = Command::new("stat").arg(&at).spawn().unwrap();
            let begin = Instant::now();
            let mut answered = false;
            while begin.elapsed() < Duration::from_millis(300) && !answered {
                answered = look.try_wait().unwrap().is_some();
                std::thread::sleep(Duration::from_millis(5));
            }
            (!answered).then_some(())
        });
    }

    fn go_on(&self) {
        signal_process(self.server(), libc::SIGUSR2);
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // With it the mount ends, and whoever waits for it.
        if let Some(pid) = fs::read_to_string(self.local("server"))
            .ok()
            .and_then(|it| it.parse().ok())
        {
            signal_process(pid, libc::SIGKILL);
        }
    }
}

/// Writes a file on the mount as it is seen by segue.
fn write(segue: &Segue, path: &Path, text: &str) {
    fs::write(format!("/proc/{}/root{}", segue.pid(), path.display()), text).unwrap();
}

fn stops_within(segue: &mut Segue, limit: Duration) {
    let begin = Instant::now();
    segue.signal(libc::SIGTERM);
    segue.wait();
    assert!(begin.elapsed() < limit * wait::slowness(), "{:?}", begin.elapsed());
}

#[test]
fn a_watched_mount_that_hangs() {
    for how in BOTH {
        let Some(mount) = Mount::with(&[("file", "one")]) else {
            return;
        };
        let desk = Desk::new();
        let recipe = Recipe::new(how, ["sleep", "1000"])
            .set("SEGUE_WATCH", mount.at.path())
            .set("SEGUE_WATCH_DEBOUNCE", "50ms")
            .set("SEGUE_WATCH_POLL_INTERVAL", "200ms")
            .set("SEGUE_PROBATION", "0")
            .set("SEGUE_STOP_TIMEOUT", "4s")
            .set("SEGUE_CONTROL", desk.path());
        let mut segue = mount.recipe(recipe).start();
        segue.line("watching files", 1);
        write(&segue, &mount.path("file"), "another");
        segue.line("restart succeeded", 1);
        mount.hang();
        let told = "a watched file system does not answer: changes are not seen until it does";
        segue.line(told, 1);
        assert_eq!(desk.status()["generation"], 2);
        assert_eq!(desk.tell(&["restart"]).code, 0);
        assert_eq!(segue.restart()["message"], "restart succeeded");
        mount.go_on();
        segue.line("the watched file system answers again", 1);
        write(&segue, &mount.path("file"), "the last one");
        segue.line("restart succeeded", 4);
        mount.hang();
        if how == As::Subreaper {
            stops_within(&mut segue, Duration::from_secs(4));
        } else {
            // The kernel keeps PID 1 until every process of its namespace is gone, also one that cannot be killed.
            segue.signal(libc::SIGTERM);
            wait::until("nothing is left to do", || {
                let gone = segue.lines("generation is gone");
                gone.iter().any(|line| line["after"] == "ended").then_some(())
            });
            mount.go_on();
            segue.wait();
        }
    }
}

/// The old generation goes on; the restart tells why it does not come about.
#[test]
fn an_environment_file_on_a_mount_that_hangs() {
    for pre_start in [None, Some("true")] {
        let Some(mount) = Mount::with(&[("env", "COLOUR=red\nOTHER=a=b\n")]) else {
            return;
        };
        let desk = Desk::new();
        let mut recipe = Recipe::new(As::Subreaper, ["sh", "-c", "echo $COLOUR $OTHER; exec sleep 1000"])
            .set("SEGUE_ENV_FILES", mount.path("env"))
            .set("SEGUE_STOP_TIMEOUT", "4s")
            .set("SEGUE_CONTROL", desk.path());
        if let Some(command) = pre_start {
            recipe = recipe.set("SEGUE_PRE_START", command);
        }
        let mut segue = mount.recipe(recipe).start();
        wait::until("the files were read", || (segue.stdout() == "red a=b\n").then_some(()));
        write(&segue, &mount.path("env"), "COLOUR=blue\n");
        assert_eq!(segue.restart()["message"], "restart succeeded");
        wait::until("they were read again", || {
            segue.stdout().ends_with("blue\n").then_some(())
        });
        mount.hang();
        let begin = Instant::now();
        segue.signal(libc::SIGHUP);
        segue.line("restart requested", 2);
        // Meanwhile it answers.
        assert_eq!(desk.status()["generation"], 2);
        let told = segue.line("restart rolled back", 1);
        let why = told["why"].as_str().unwrap();
        assert!(
            why.contains("SEGUE_ENV_FILES") && why.contains("does their file system answer?"),
            "{why}"
        );
        assert!(begin.elapsed() < Duration::from_secs(14) * wait::slowness());
        // And while it waits again, it stops.
        segue.signal(libc::SIGHUP);
        segue.line("restart requested", 3);
        stops_within(&mut segue, Duration::from_secs(7));
        assert!(!segue.lines("restart rolled back").is_empty());
    }
}

#[test]
fn an_environment_file_that_is_wrong_is_told_by_the_helper_as_well() {
    let Some(mount) = Mount::with(&[("env", "A=1\nsecret secret\n")]) else {
        return;
    };
    let recipe = Recipe::new(As::Init, ["true"]).set("SEGUE_ENV_FILES", mount.path("env"));
    let mut segue = mount.recipe(recipe).run();
    assert_eq!(segue.wait(), 78, "{}", segue.stderr());
    assert!(segue.stderr().contains("line 2"), "{}", segue.stderr());
}

#[test]
fn a_pid_file_and_a_termination_log_on_a_mount_that_hangs() {
    let Some(mount) = Mount::with(&[]) else { return };
    let recipe = Recipe::new(As::Subreaper, ["sleep", "1000"])
        .set("SEGUE_PID_FILE", mount.path("pid"))
        .set("SEGUE_TERMINATION_LOG", mount.path("log"))
        .set("SEGUE_STOP_TIMEOUT", "3s");
    let mut segue = mount.recipe(recipe).start();
    segue.ready(1);
    let seen = |name: &str| PathBuf::from(format!("/proc/{}/root{}", mount.server(), mount.path(name).display()));
    assert_eq!(fs::read_to_string(seen("pid")).unwrap(), format!("{}\n", segue.pid()));
    stops_within(&mut segue, Duration::from_secs(3));
    assert!(!seen("pid").exists(), "it was removed");
    assert!(fs::read_to_string(seen("log")).unwrap().contains("stopped by SIGTERM"));

    let Some(mount) = Mount::with(&[]) else { return };
    let recipe = Recipe::new(As::Subreaper, ["sleep", "1000"])
        .set("SEGUE_PID_FILE", mount.path("pid"))
        .set("SEGUE_TERMINATION_LOG", mount.path("log"))
        .set("SEGUE_STOP_TIMEOUT", "3s");
    let mut segue = mount.recipe(recipe).start();
    segue.ready(1);
    mount.hang();
    assert_eq!(segue.restart()["message"], "restart succeeded");
    stops_within(&mut segue, Duration::from_secs(6));
}

/// Whoever looks at the memory of such a process waits for as long.
#[test]
fn a_process_that_waits_for_a_mount_with_its_memory_locked() {
    let Some(mount) = Mount::with(&[("data", "0123456789")]) else {
        return;
    };
    let (desk, go) = (Desk::new(), mount.local("go"));
    let stuck = mount.local("stuck");
    let built = Command::new("cc")
        .args(["-O2", "-pthread", "-o"])
        .args([&stuck, &program("stuck.c")])
        .status();
    assert!(built.unwrap().success());
    // Left behind by the main process, in a session of its own: whose it is only its environment tells.
    let main = format!(
        "(setsid {} {} {} &); exec sleep 1000",
        stuck.display(),
        mount.path("data").display(),
        go.display()
    );
    let recipe = Recipe::new(As::Subreaper, ["sh", "-c", &main])
        .set("SEGUE_PROBATION", "100ms")
        .set("SEGUE_STOP_TIMEOUT", "4s")
        .set("SEGUE_RESTART_MODE", "overlap")
        .set("SEGUE_CONTROL", desk.path());
    let mut segue = mount.recipe(recipe).start();
    wait::until("it has mapped the file", || segue.stdout().contains("up").then_some(()));
    let is_it = |pid: &i32| fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|it| it == "stuck\n");
    let pid = wait::until("it is there", || children(segue.pid()).into_iter().find(is_it));
    mount.hang();
    fs::write(&go, "").unwrap();
    let reads = || {
        Command::new("timeout")
            .args(["-s", "KILL", "1", "cat", &format!("/proc/{pid}/environ")])
            .output()
            .unwrap()
    };
    wait::until("its environment cannot be read", || {
        (!reads().status.success()).then_some(())
    });
    assert_eq!(desk.status()["generation"], 1);
    assert_eq!(segue.restart()["message"], "restart succeeded");
    assert_eq!(desk.tell(&["restart"]).code, 0);
    let begin = Instant::now();
    while desk.status()["generation"] != 3 {
        assert!(begin.elapsed() < Duration::from_secs(2));
    }
    let begin = Instant::now();
    assert_eq!(desk.tell(&["stop"]).code, 0);
    segue.wait();
    assert!(
        begin.elapsed() < Duration::from_secs(9) * wait::slowness(),
        "{:?}",
        begin.elapsed()
    );
    mount.go_on();
    for left in descendants(segue.child_id()) {
        signal_process(left, libc::SIGKILL);
    }
    wait::until("the stuck one is gone", || {
        (!Path::new(&format!("/proc/{pid}/exe")).exists()).then_some(())
    });
}
