//! STARTS this very binary again, as `segue run -- PROGRAM…`: in the background, or to be tested.

use std::{
    ffi::{CString, OsStr, OsString},
    io,
    os::{
        fd::{OwnedFd, RawFd},
        unix::ffi::OsStrExt,
    },
};

use nix::unistd::Pid;

use super::{
    inherited::Inherited,
    program,
    sigset::SignalSet,
    spawn::{self, Plan},
};

/// How it is started.
#[derive(Debug)]
pub struct Again<'a> {
    /// What to run.
    pub program: &'a [OsString],
    /// Its whole environment.
    pub environment: &'a [(OsString, OsString)],
    /// What this process was started with.
    pub inherited: &'a Inherited,
    /// Signals whose disposition this process has changed.
    pub changed: SignalSet,
    /// What becomes its stdin, stdout and stderr.
    pub streams: [Option<RawFd>; 3],
    /// Does it begin a session of its own, without a terminal?
    pub session: bool,
}

impl Again<'_> {
    /// Starts it; when this returns it is executed.
    ///
    /// # Errors
    ///
    /// It cannot be forked or executed.
    pub fn start(&self) -> io::Result<(Pid, Option<OwnedFd>)> {
        let words = ["segue", "run", "--"].map(OsStr::new).into_iter();
        let plan = Plan {
            inherited: self.inherited,
            changed: self.changed,
            candidates: vec![c"/proc/self/exe".into()],
            arguments: words
                .chain(self.program.iter().map(OsString::as_os_str))
                .filter_map(program::c_string)
                .collect(),
            environment: self
                .environment
                .iter()
                .filter_map(|(name, value)| entry(name, value))
                .collect(),
            streams: self.streams,
            files: Vec::new(),
            foreground: false,
            session: self.session,
            at_once: true,
            no_input: false,
            trap: None,
            expendable: false,
            attributes: &[],
            identity: None,
            directory: None,
            dies_with_us: false,
        };
        let (pid, pidfd, _, verdict) = spawn::spawn(&plan)?.into_parts();
        // With `at_once` it has been executed, or could not be, by the time that spawn returns.
        match verdict.read() {
            Some(Err(fault)) => Err(io::Error::from_raw_os_error(fault.errno)),
            Some(Ok(())) | None => Ok((pid, pidfd)),
        }
    }
}

fn entry(name: &OsStr, value: &OsStr) -> Option<CString> {
    CString::new([name.as_bytes(), b"=", value.as_bytes()].concat()).ok()
}
