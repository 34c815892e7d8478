//! HEARS every signal that can be caught, and tells who sent it. Never decides what it means.
//!
//! Two ways in. What people ask of segue itself comes through signal-hook, whose handlers keep the sender. Until there is
//! time to install those, and always for the others, signals stay blocked and are read from a signalfd: what is passed on,
//! because a handler and its pipe are two more calls on the way; SIGCHLD, because 100,000 exits must cost a few reads and
//! not 100,000 handler runs; real-time signals, because they queue and handlers would merge them; the faults, because a
//! handler would hide a real one (blocked, a real one still ends the process, as it must); the terminal's stop signals,
//! because blocked ones let a background process write.
#![expect(unsafe_code, reason = "signalfd for signals that nix has no names for")]

use std::{
    io,
    mem::{self, ManuallyDrop},
    os::fd::{AsFd, AsRawFd, OwnedFd},
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_core::Stream;
use signal_hook::iterator::exfiltrator::WithRawSiginfo;
use signal_hook_tokio::SignalsInfo;
use tokio::io::unix::AsyncFd;

use super::{
    files,
    sigset::{self, SignalSet},
};

/// Those that signal-hook handles: what people ask of segue itself. What is only passed on takes the shorter way.
const HANDLED: [i32; 4] = [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM];

/// A signal that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// Its number.
    pub signal: i32,
    /// Who sent it: a process's number in our namespace; 0 = one outside of it, or the kernel.
    pub sender: i32,
    /// The sender's user; 0 for the kernel.
    pub user: u32,
    /// Did the kernel send it, and not a process?
    pub from_kernel: bool,
    /// The value that came along (sigqueue(3)), if one did.
    pub value: Option<usize>,
}

/// The stream of them.
pub struct Signals {
    /// Never dropped. To take the handlers back costs more than the rest of segue's end, and signal-hook closes its pipe
    /// first: a signal in between is written to a pipe without a reader, and the SIGPIPE of that again, for ever.
    handled: Option<ManuallyDrop<SignalsInfo<WithRawSiginfo>>>,
    blocked: AsyncFd<OwnedFd>,
    own_pid: i32,
}

impl std::fmt::Debug for Signals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signals").finish_non_exhaustive()
    }
}

/// Signals whose disposition [`Signals::handle`] changes.
#[must_use]
pub fn handled() -> SignalSet {
    SignalSet::of(HANDLED)
}

impl Signals {
    /// Hears all of them, those too that have come since the start of segue: they were blocked, and stay so. Needs a tokio
    /// runtime.
    pub fn hear() -> io::Result<Signals> {
        Ok(Signals {
            handled: None,
            blocked: files::watch(files::made(read_from(-1, SignalSet::ALL)?))?,
            own_pid: nix::unistd::getpid().as_raw(),
        })
    }

    /// Installs the handlers and lets the handled signals in. A signal that comes meanwhile stays blocked until its handler
    /// is there. Needs a tokio runtime; after a failure all goes on as before.
    pub fn handle(&mut self) -> io::Result<()> {
        if self.handled.is_none() {
            let handled = ManuallyDrop::new(SignalsInfo::<WithRawSiginfo>::new(HANDLED)?);
            let rest = SignalSet(SignalSet::ALL.0 & !self::handled().0);
            read_from(self.blocked.as_raw_fd(), rest)?;
            self.handled = Some(handled);
            sigset::set_mask(rest);
        }
        Ok(())
    }

    /// The next signal. SIGPIPE and its like that segue's own writes cause are swallowed here.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Received> {
        loop {
            let handled = self.handled.as_mut();
            let received = match handled.map(|signals| Pin::new(&mut **signals).poll_next(context)) {
                Some(Poll::Ready(Some(info))) => from_siginfo(&info),
                // A closed stream is impossible while the handle lives; silence is the safe answer.
                Some(Poll::Ready(None) | Poll::Pending) | None => ready!(self.poll_blocked(context)),
            };
            if received.sender != self.own_pid || received.signal == libc::SIGCHLD {
                return Poll::Ready(received);
            }
        }
    }

    fn poll_blocked(&mut self, context: &mut Context<'_>) -> Poll<Received> {
        loop {
            let Ok(mut guard) = ready!(self.blocked.poll_read_ready(context)) else {
                return Poll::Pending;
            };
            let mut info = mem::MaybeUninit::<libc::signalfd_siginfo>::zeroed();
            let size = size_of::<libc::signalfd_siginfo>();
            let file = guard.get_inner().as_fd().as_raw_fd();
            // SAFETY: `info` has that many writable bytes.
            let read = unsafe { libc::read(file, info.as_mut_ptr().cast(), size) };
            if usize::try_from(read) == Ok(size) {
                // SAFETY: all of it was written, and any bytes are a valid signalfd_siginfo.
                return Poll::Ready(from_signalfd(&unsafe { info.assume_init() }));
            }
            // Only an empty file is to be waited for: what it tells it tells once.
            if io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
                guard.clear_ready();
            }
        }
    }
}

impl Drop for Signals {
    /// Nothing is heard any more.
    fn drop(&mut self) {
        sigset::set_mask(SignalSet::ALL);
    }
}

/// Makes a signalfd of -1, or changes which signals a signalfd reads.
fn read_from(file: i32, signals: SignalSet) -> io::Result<i32> {
    let flags = libc::SFD_CLOEXEC | libc::SFD_NONBLOCK;
    // SAFETY: the mask is a live u64, the size the kernel's sigset has.
    let file = unsafe { libc::syscall(libc::SYS_signalfd4, file, &raw const signals.0, size_of::<u64>(), flags) };
    let file = i32::try_from(file).ok().filter(|file| *file >= 0);
    file.ok_or_else(io::Error::last_os_error)
}

fn from_siginfo(info: &libc::siginfo_t) -> Received {
    let from_kernel = info.si_code > 0;
    let (sender, user) = if from_kernel {
        (0, 0)
    } else {
        // SAFETY: for a code of 0 or below the sender's fields of the union are the ones that are filled.
        unsafe { (info.si_pid(), info.si_uid()) }
    };
    // SAFETY: sigqueue fills the value.
    let value = (info.si_code == libc::SI_QUEUE).then(|| unsafe { info.si_value() }.sival_ptr as usize);
    Received {
        signal: info.si_signo,
        sender,
        user,
        from_kernel,
        value,
    }
}

fn from_signalfd(info: &libc::signalfd_siginfo) -> Received {
    let signal = i32::try_from(info.ssi_signo).unwrap_or_default();
    let from_kernel = info.ssi_code > 0;
    let (sender, user) = if from_kernel {
        (0, 0)
    } else {
        (i32::try_from(info.ssi_pid).unwrap_or(0), info.ssi_uid)
    };
    let value = (info.ssi_code == libc::SI_QUEUE).then_some(usize::try_from(info.ssi_ptr).unwrap_or(0));
    Received {
        signal,
        sender,
        user,
        from_kernel,
        value,
    }
}
