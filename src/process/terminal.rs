//! PASSES the terminal on: the program's process group is the foreground group, so that Ctrl-C, Ctrl-Z and window size
//! reach it from the kernel and not through segue. Failures are no faults: not every stdin is a terminal of ours.

use std::os::fd::BorrowedFd;

use nix::unistd::{Pid, getpgrp, tcgetpgrp, tcsetpgrp};

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

/// Is stderr a terminal?
#[must_use]
pub fn is_stderr() -> bool {
    nix::unistd::isatty(super::files::stream(2)).unwrap_or(false)
}
