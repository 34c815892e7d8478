//! ASKS a helper for what may hang: this very binary in a process of its own, as `segue-helper JOB DIRECTORY WORD…`, which can be left
//! alone where a thread could not. A process that waits for a file system that has stopped answering cannot always be killed, and
//! with a thread in it PID 1 could not even exit. Its input ends with segue, and then so does it.

use std::{
    ffi::{CString, OsStr, OsString},
    io,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use nix::{
    fcntl::OFlag,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    unistd::{Pid, pipe2, read},
};

use super::{
    inherited::Inherited,
    program, send,
    sigset::SignalSet,
    spawn::{self, Plan},
};

/// The name by which the binary knows that it is to help.
pub const NAME: &str = "segue-helper";

/// What helpers do.
pub mod job {
    /// Reads `SEGUE_ENV_FILES`.
    pub const ENVIRONMENT: &str = "environment";
    /// Watches `SEGUE_WATCH`.
    pub const WATCH: &str = "watch";
    /// Tells which generations processes belong to, by their environments.
    pub const MARKERS: &str = "markers";
    /// Writes the termination log.
    pub const REASON: &str = "reason";
    /// Keeps the pid file.
    pub const PID_FILE: &str = "pid-file";
}

/// The helpers that were not reaped yet: nobody's children but segue's own.
static HELPERS: Mutex<Vec<i32>> = Mutex::new(Vec::new());

/// A helper at work. Dropped, it is killed.
#[derive(Debug)]
pub struct Helper {
    /// Its process.
    pub pid: Pid,
    /// To signal it by.
    pub pidfd: Option<OwnedFd>,
    input: Option<OwnedFd>,
    answers: OwnedFd,
}

impl Helper {
    /// Starts one. Paths among `words` are as seen from the directory that segue was started in.
    ///
    /// # Errors
    ///
    /// It cannot be forked.
    pub fn start(inherited: &Inherited, changed: SignalSet, job: &str, words: &[OsString]) -> io::Result<Helper> {
        let (input, ours) = pipe2(OFlag::O_CLOEXEC)?;
        let (answers, theirs) = pipe2(OFlag::O_CLOEXEC)?;
        nix::fcntl::fcntl(&answers, nix::fcntl::FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        let directory = inherited.directory().unwrap_or_default().into_os_string();
        let first = [NAME.into(), job.into(), directory];
        // It begins wherever segue is: to enter another directory may hang.
        let inherited = Inherited {
            directory: None,
            ..inherited.clone()
        };
        let plan = Plan {
            inherited: &inherited,
            changed,
            candidates: vec![c"/proc/self/exe".into()],
            arguments: first
                .iter()
                .chain(words)
                .filter_map(|it| program::c_string(it))
                .collect(),
            environment: std::env::vars_os().filter_map(entry).collect(),
            streams: [Some(input.as_raw_fd()), Some(theirs.as_raw_fd()), None],
            files: Vec::new(),
            foreground: false,
            session: false,
            at_once: false,
            no_input: false,
            trap: None,
            expendable: false,
            attributes: &[],
            identity: None,
            directory: None,
            dies_with_us: false,
        };
        let (pid, pidfd, _, _) = spawn::spawn(&plan)?.into_parts();
        helpers().push(pid.as_raw());
        Ok(Helper {
            pid,
            pidfd,
            input: Some(ours),
            answers,
        })
    }

    /// What it has to say, once it says something: `None` until then, nothing at the end.
    ///
    /// # Errors
    ///
    /// What read(2) says.
    pub fn hear(&self) -> io::Result<Option<Vec<u8>>> {
        let mut bytes = vec![0; 16 << 10];
        match read(&self.answers, &mut bytes) {
            Ok(length) => {
                bytes.truncate(length);
                Ok(Some(bytes))
            }
            Err(nix::Error::EAGAIN | nix::Error::EINTR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits for what it has to say next, but no longer than until `end`.
    ///
    /// # Errors
    ///
    /// `TimedOut`: it does not answer.
    pub fn wait(&self, end: Instant) -> io::Result<Vec<u8>> {
        loop {
            if let Some(bytes) = self.hear()? {
                return Ok(bytes);
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            let left = PollTimeout::try_from(left.as_millis().saturating_add(1)).unwrap_or(PollTimeout::MAX);
            match poll(&mut [PollFd::new(self.answers.as_fd(), PollFlags::POLLIN)], left) {
                Ok(_) | Err(nix::Error::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Has it end by itself, and waits for that.
    pub fn end(mut self, within: Duration) {
        self.input = None;
        let end = Instant::now() + within;
        while self.wait(end).is_ok_and(|bytes| !bytes.is_empty()) {}
    }
}

impl AsRawFd for Helper {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        self.answers.as_raw_fd()
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        // One that has ended was reaped, or is held by its number until it is.
        if helpers().contains(&self.pid.as_raw()) {
            send::to_held(self.pid, self.pidfd.as_ref(), libc::SIGKILL).ok();
        }
    }
}

/// Is this a process of segue's own, which belongs to no generation?
#[must_use]
pub fn is_one(pid: i32) -> bool {
    helpers().contains(&pid)
}

/// It was reaped; was it one?
pub fn forget(pid: i32) -> bool {
    let mut helpers = helpers();
    let before = helpers.len();
    helpers.retain(|it| *it != pid);
    helpers.len() < before
}

fn helpers() -> std::sync::MutexGuard<'static, Vec<i32>> {
    HELPERS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn entry((name, value): (OsString, OsString)) -> Option<CString> {
    let mut entry = name;
    entry.push(OsStr::new("="));
    entry.push(value);
    program::c_string(&entry)
}
