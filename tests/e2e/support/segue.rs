//! Segue under test: started with an environment of its own, watched by its log, killed with the test.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, File},
    os::unix::process::{CommandExt, ExitStatusExt},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
};

use serde_json::Value;

use super::wait;

/// How segue is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum As {
    /// An ordinary process, which makes itself a subreaper.
    Subreaper,
    /// PID 1 of a PID namespace of its own (needs root).
    Init,
}

/// Both ways, for tests that are to hold in both.
pub const BOTH: [As; 2] = [As::Subreaper, As::Init];

/// What to run.
pub struct Recipe {
    how: As,
    variables: Vec<(OsString, OsString)>,
    words: Vec<OsString>,
    around: Vec<OsString>,
    directory: Option<PathBuf>,
    stdout: bool,
}

/// Segue while it runs.
pub struct Segue {
    /// Segue, or the `unshare` around it.
    child: Child,
    how: As,
    files: tempfile::TempDir,
    ended: Option<ExitStatus>,
    /// Are faults of segue's own, which it survives, no failure of the test?
    pub may_fault: bool,
}

impl Recipe {
    /// `segue -- PROGRAM ARG…`
    pub fn new<S: AsRef<OsStr>>(how: As, words: impl IntoIterator<Item = S>) -> Recipe {
        let words = words.into_iter().map(|word| word.as_ref().to_owned()).collect();
        Recipe {
            how,
            variables: Vec::new(),
            words,
            around: Vec::new(),
            directory: None,
            stdout: true,
        }
        .set("SEGUE_LOG", "debug")
        // Most programs of the tests listen on nothing.
        .set("SEGUE_READY", "started")
    }

    /// As `new`, with nothing set that changes how segue behaves.
    pub fn plain<S: AsRef<OsStr>>(how: As, words: impl IntoIterator<Item = S>) -> Recipe {
        let mut recipe = Recipe::new(how, words);
        recipe.variables.retain(|(name, _)| name != "SEGUE_READY");
        recipe
    }

    /// With this variable.
    pub fn set(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Recipe {
        self.variables
            .push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// With these settings.
    pub fn with(self, settings: &[(&str, &str)]) -> Recipe {
        settings
            .iter()
            .fold(self, |recipe, (name, value)| recipe.set(name, value))
    }

    /// By this program, which executes it.
    pub fn before<S: AsRef<OsStr>>(mut self, words: impl IntoIterator<Item = S>) -> Recipe {
        let words = words.into_iter().map(|word| word.as_ref().to_owned());
        self.words = words.chain(self.words).collect();
        self
    }

    /// All of it, segue too, by this program, which executes it.
    pub fn around<S: AsRef<OsStr>>(mut self, words: impl IntoIterator<Item = S>) -> Recipe {
        self.around = words.into_iter().map(|word| word.as_ref().to_owned()).collect();
        self
    }

    /// In this directory.
    pub fn within(mut self, directory: &Path) -> Recipe {
        self.directory = Some(directory.to_owned());
        self
    }

    /// The command, to be changed further: stderr goes to `log` and stdout to `out` in the directory.
    pub fn command(&self, files: &Path) -> Command {
        let unshare: &[&str] = match self.how {
            As::Subreaper => &[],
            // The namespace goes with unshare, so that a failed test leaves nothing behind.
            As::Init => &["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"],
        };
        let words = unshare.iter().chain(&[env!("CARGO_BIN_EXE_segue")]).map(OsString::from);
        let mut words = self.around.iter().cloned().chain(words);
        let mut command = Command::new(words.next().unwrap());
        command.args(words).arg("--").args(&self.words).env_clear();
        command
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("LANG", "C.UTF-8")
            .env("SEGUE_LOG", "info,segue::runtime::story=debug");
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        command
            .stdin(Stdio::null())
            .stderr(File::create(files.join("log")).unwrap());
        if self.stdout {
            command.stdout(File::create(files.join("out")).unwrap());
        }
        command
    }

    /// Starts it.
    pub fn start(&self) -> Segue {
        let files = super::directory();
        let command = self.command(files.path());
        Segue::spawn(self.how, command, files)
    }

    /// Runs it to its end; segue with what it wrote, and how it ended.
    pub fn run(&self) -> Segue {
        let mut segue = self.start();
        segue.wait();
        segue
    }
}

impl Segue {
    /// Starts a command that [`Recipe::command`] made.
    pub fn spawn(how: As, mut command: Command, files: tempfile::TempDir) -> Segue {
        // A group of its own, so that nothing that the terminal sends to the test reaches it.
        let child = command.process_group(0).spawn().expect("segue can be started");
        Segue {
            child,
            how,
            files,
            ended: None,
            may_fault: false,
        }
    }

    /// The number of what was started: segue, or the `unshare` around it.
    pub fn child_id(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    /// Segue's own number, as seen from here.
    pub fn pid(&self) -> i32 {
        let child = i32::try_from(self.child.id()).unwrap();
        match self.how {
            As::Subreaper => child,
            As::Init => wait::until("unshare has a child", || children(child).first().copied()),
        }
    }

    /// Sends segue a signal.
    pub fn signal(&self, signal: i32) {
        signal_process(self.pid(), signal);
    }

    /// Waits for the end; the exit code.
    pub fn wait(&mut self) -> i32 {
        let status = wait::until("segue ends", || self.try_wait());
        status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
    }

    /// How it ended, if it has.
    pub fn try_wait(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().unwrap();
        }
        self.ended
    }

    /// What the program and segue wrote to stderr, in lines.
    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.files.path().join("log")).unwrap_or_default()).into_owned()
    }

    /// What the program wrote to stdout.
    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.files.path().join("out")).unwrap_or_default()).into_owned()
    }

    /// The log's lines so far.
    pub fn log(&self) -> Vec<Value> {
        self.stderr()
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    /// The lines with this message.
    pub fn lines(&self, message: &str) -> Vec<Value> {
        self.log()
            .into_iter()
            .filter(|line| line["message"] == message)
            .collect()
    }

    /// Waits for the `count`th line with this message, and returns it.
    pub fn line(&mut self, message: &str, count: usize) -> Value {
        let what = format!("line {message:?} number {count}");
        let begin = std::time::Instant::now();
        loop {
            if let Some(line) = self.lines(message).get(count - 1) {
                return line.clone();
            }
            let ended = self.try_wait().is_some() && self.lines(message).len() < count;
            assert!(
                !ended && begin.elapsed() < wait::PATIENCE,
                "{what} does not come; the log:\n{}",
                self.stderr()
            );
            std::thread::sleep(std::time::Duration::from_millis(3));
        }
    }

    /// Waits until this generation is ready.
    pub fn ready(&mut self, generation: u64) {
        let begin = std::time::Instant::now();
        while !self
            .lines("generation became ready")
            .iter()
            .any(|line| line["generation"] == generation)
        {
            assert!(
                begin.elapsed() < wait::PATIENCE,
                "generation {generation} is not ready:\n{}",
                self.stderr()
            );
            std::thread::sleep(std::time::Duration::from_millis(3));
        }
    }

    /// Restarts by HUP and waits until the restart has come out; the line that tells how.
    pub fn restart(&mut self) -> Value {
        let messages = ["restart succeeded", "restart rolled back", "restart failed"];
        let told = |segue: &Segue| -> Vec<Value> {
            segue
                .log()
                .into_iter()
                .filter(|line| messages.iter().any(|it| line["message"] == *it))
                .collect()
        };
        let before = told(self).len();
        self.signal(libc::SIGHUP);
        wait::until("the restart comes out", || told(self).get(before).cloned())
    }
}

impl Drop for Segue {
    fn drop(&mut self) {
        if self.try_wait().is_none() {
            for child in descendants(i32::try_from(self.child.id()).unwrap()) {
                signal_process(child, libc::SIGKILL);
            }
            self.child.kill().ok();
            self.child.wait().ok();
        }
        if std::thread::panicking() {
            eprintln!("--- log of segue\n{}", self.stderr());
            return;
        }
        let faults = self.lines("a fault of segue's own");
        assert!(faults.is_empty() || self.may_fault, "{faults:?}");
    }
}

/// Sends a signal to a process that the test has started.
pub fn signal_process(pid: i32, signal: i32) {
    assert!(pid > 1, "no process: {pid}");
    // SAFETY: numbers only.
    #[expect(unsafe_code, reason = "real-time signals, which std and nix have no names for")]
    unsafe {
        libc::kill(pid, signal);
    }
}

/// The children of a process.
pub fn children(pid: i32) -> Vec<i32> {
    let mut children = Vec::new();
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return children;
    };
    for thread in threads.flatten() {
        let listed = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
        children.extend(listed.split_whitespace().filter_map(|pid| pid.parse::<i32>().ok()));
    }
    children
}

/// Every process below this one.
pub fn descendants(pid: i32) -> Vec<i32> {
    let mut found = children(pid);
    let mut next = 0;
    while next < found.len() {
        found.extend(children(found[next]));
        next += 1;
    }
    found
}
