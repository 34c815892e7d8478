//! PASSES the terminal on: the program's process group is the foreground group, so that Ctrl-C, Ctrl-Z and window size
//! reach it from the kernel and not through segue. Failures are no faults: not every stdin is a terminal of ours.

use std::os::fd::BorrowedFd;

use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, getpgrp, getpid, tcgetpgrp, tcsetpgrp},
};

fn stdin() -> BorrowedFd<'static> {
    super::files::stream(0)
}

/// Is stdin a terminal whose foreground process group is segue's own?
pub(super) fn is_ours() -> bool {
    tcgetpgrp(stdin()).is_ok_and(|group| group == getpgrp())
}

/// Makes a program's process group the foreground group. SIGTTOU is blocked in segue, so that a background process
/// group (which segue's own is from then on) may do this.
pub fn give_to(group: Pid) {
    if let Err(error) = tcsetpgrp(stdin(), group) {
        tracing::debug!(group = group.as_raw(), %error, "cannot give the terminal to the program");
    }
}

/// The signals by which a terminal stops a job: Ctrl-Z, and what a job in the background gets that reads or writes.
const STOPS: [i32; 3] = [libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU];

/// The program, a process group of its own, was stopped by this signal. Was it the terminal's, so is segue, with all that is in its group,
/// and a shell has its prompt again. This returns when the shell goes on with it, which then goes on with the program. As PID 1 segue has
/// no shell above it, and cannot be stopped.
pub fn stop_with(program: Pid, signal: i32) {
    if !STOPS.contains(&signal) || getpid().as_raw() == 1 || tcgetpgrp(stdin()).is_err() {
        return;
    }
    tracing::debug!(signal, "the terminal has stopped the program: stop, too");
    // Segue itself blocks the one and cannot block the other.
    let own_group = Signal::try_from(signal).and_then(|signal| kill(Pid::from_raw(0), signal));
    if let Err(error) = own_group.and_then(|()| kill(getpid(), Signal::SIGSTOP)) {
        tracing::debug!(signal, %error, "cannot stop with the program");
    }
    if is_ours() {
        give_to(program);
    }
    if let Err(error) = super::send::to_group(program, libc::SIGCONT) {
        tracing::debug!(%error, "cannot go on with the program");
    }
}

/// Is stderr a terminal?
#[must_use]
pub fn is_stderr() -> bool {
    nix::unistd::isatty(super::files::stream(2)).unwrap_or(false)
}
