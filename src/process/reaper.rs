//! WAITS for children: the only place in segue that does, because two waiters steal each other's statuses.
#![expect(
    unsafe_code,
    reason = "nix fails on a child that a real-time signal ended, and has reaped it by then"
)]

use nix::unistd::Pid;

use crate::machine::Ending;

/// A child that is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reaped {
    /// Who it was.
    pub pid: Pid,
    /// How it ended.
    pub ending: Ending,
}

/// What one look for dead children found.
#[derive(Debug, PartialEq, Eq)]
pub enum Look {
    /// One was dead.
    Dead(Reaped),
    /// One was stopped by this signal, and is alive.
    Stopped(Pid, i32),
    /// There are children, and none is dead.
    AllAlive,
    /// There are no children at all: nothing that segue started, and nothing that was left to it, is alive.
    NoChildren,
}

/// Reaps one child, without waiting for it.
#[must_use]
pub fn look() -> Look {
    let mut status = 0;
    loop {
        // SAFETY: `status` is writable.
        match unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG | libc::WUNTRACED | libc::__WNOTHREAD) } {
            0 => return Look::AllAlive,
            -1 if std::io::Error::last_os_error().kind() == std::io::ErrorKind::Interrupted => {}
            -1 => return Look::NoChildren,
            // By a signal; or for a tracer of our own (`handover/trapped/tracer`), which does not wait for it.
            pid if libc::WIFSTOPPED(status) => return Look::Stopped(Pid::from_raw(pid), libc::WSTOPSIG(status)),
            pid => {
                return Look::Dead(Reaped {
                    pid: Pid::from_raw(pid),
                    ending: ending(status),
                });
            }
        }
    }
}

fn ending(status: i32) -> Ending {
    if libc::WIFSIGNALED(status) {
        Ending::Signal(libc::WTERMSIG(status))
    } else {
        Ending::Code(u8::try_from(libc::WEXITSTATUS(status)).unwrap_or(u8::MAX))
    }
}
