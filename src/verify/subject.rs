//! RUNS the segue under test: starts this very binary with the program, reads its log, sends it signals, notices its end.
//! Nothing of it is left when it has been ended.

use std::{
    ffi::OsString,
    fs::OpenOptions,
    io,
    os::fd::{AsFd, AsRawFd, OwnedFd},
};

use nix::{fcntl::OFlag, unistd::Pid};
use tokio::net::unix::pipe::Receiver;

use crate::process::{
    again::Again,
    inherited::Inherited,
    reaper::{self, Look},
    send,
    signals::Signals,
    sigset::SignalSet,
    tree::{self, Known, Markers, Unmarked},
};

/// A line that is longer is cut.
const LONGEST_LINE: usize = 1 << 20;

/// What there is to hear of it.
pub(super) enum Happening {
    /// A line of its stderr.
    Line(String),
    /// It has ended, and these were its last lines.
    Ended(Vec<String>),
    /// A signal asks this process to end.
    Signal(i32),
}

/// The segue under test.
pub(super) struct Subject {
    pid: Pid,
    pidfd: Option<OwnedFd>,
    log: Receiver,
    /// What was read and is no whole line yet.
    unread: Vec<u8>,
    open: bool,
    /// Its exit code, once it has ended.
    pub(super) ended: Option<u8>,
    signals: Signals,
}

impl Subject {
    /// Starts `segue run -- PROGRAM…` with this environment. Orphans of it come to this process.
    pub(super) fn start(
        program: &[OsString],
        environment: &[(OsString, OsString)],
        inherited: &Inherited,
    ) -> io::Result<Subject> {
        send::become_subreaper()?;
        let signals = Signals::hear()?;
        let (log, log_end) = nix::unistd::pipe2(OFlag::O_CLOEXEC)?;
        // The program is no terminal's: it must not read what is typed here, nor mix its words with the report.
        let null = OpenOptions::new().read(true).open("/dev/null")?;
        let again = Again {
            program,
            environment,
            inherited,
            changed: SignalSet::of([libc::SIGCHLD]),
            streams: [
                Some(null.as_raw_fd()),
                Some(io::stderr().as_raw_fd()),
                Some(log_end.as_raw_fd()),
            ],
            session: false,
        };
        let (pid, pidfd) = again.start()?;
        Ok(Subject {
            pid,
            pidfd,
            log: Receiver::from_owned_fd(log)?,
            unread: Vec::new(),
            open: true,
            ended: None,
            signals,
        })
    }

    /// The next thing to hear. May be given up at any time.
    pub(super) async fn next(&mut self) -> Happening {
        loop {
            if let Some(line) = self.whole_line() {
                return Happening::Line(line);
            }
            let Subject { log, signals, open, .. } = self;
            let signal = tokio::select! {
                biased;
                received = std::future::poll_fn(|context| signals.poll_next(context)) => Some(received.signal),
                // What is wrong with it, reading tells.
                _ = log.readable(), if *open => None,
            };
            match signal {
                None => self.read(),
                Some(libc::SIGCHLD) if self.reap() => return Happening::Ended(self.last_lines()),
                Some(signal @ (libc::SIGINT | libc::SIGTERM | libc::SIGQUIT | libc::SIGHUP)) => {
                    return Happening::Signal(signal);
                }
                Some(_) => {}
            }
        }
    }

    fn read(&mut self) {
        let mut part = [0; 16 * 1024];
        match self.log.try_read(&mut part) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Ok(count) => self.take(part.get(..count).unwrap_or_default()),
            Err(_) => self.take(&[]),
        }
    }

    /// What is left of its stderr once it has ended.
    fn last_lines(&mut self) -> Vec<String> {
        let mut part = [0; 16 * 1024];
        while let Ok(count @ 1..) = nix::unistd::read(self.log.as_fd(), &mut part) {
            self.take(part.get(..count).unwrap_or_default());
        }
        std::iter::from_fn(|| self.whole_line()).collect()
    }

    fn take(&mut self, bytes: &[u8]) {
        self.open = !bytes.is_empty();
        self.unread.extend(bytes);
    }

    fn whole_line(&mut self) -> Option<String> {
        let end = self.unread.iter().position(|byte| *byte == b'\n').map(|at| at + 1);
        let rest = (!self.open || self.unread.len() > LONGEST_LINE).then_some(self.unread.len());
        let end = end.or(rest).filter(|end| *end > 0)?;
        let line: Vec<u8> = self.unread.drain(..end).collect();
        let line = line.strip_suffix(b"\n").unwrap_or(&line);
        Some(String::from_utf8_lossy(line).into_owned())
    }

    /// Has the subject ended just now?
    fn reap(&mut self) -> bool {
        let before = self.ended;
        while let Look::Dead(dead) = reaper::look() {
            if dead.pid == self.pid {
                self.ended = Some(dead.ending.code());
            }
        }
        self.ended != before
    }

    /// Sends it a signal; one that is gone needs none.
    pub(super) fn signal(&self, signal: i32) -> io::Result<()> {
        if self.ended.is_some() {
            return Ok(());
        }
        send::to_child(self.pid, self.pidfd.as_ref().map(AsFd::as_fd), signal, None)
    }

    /// Ends it and everything that it has started, without asking. To be repeated until nothing is left.
    pub(super) fn kill(&mut self) -> bool {
        let known = [Known {
            generation: 0,
            main: self.pid.as_raw(),
            alive: self.ended.is_none(),
            began: 0,
        }];
        // First itself, which would replace what goes.
        self.signal(libc::SIGKILL).ok();
        let ask = |pids: &[i32]| pids.iter().map(|pid| (*pid, tree::marker(*pid))).collect();
        let own = nix::unistd::getpid();
        for process in tree::members(0, &known, own, Unmarked::Program, &mut Markers::new(), ask) {
            let pid = Pid::from_raw(process.pid);
            send::to_held(pid, send::hold(pid).as_ref(), libc::SIGKILL).ok();
        }
        self.reap();
        reaper::look() == Look::NoChildren
    }
}
