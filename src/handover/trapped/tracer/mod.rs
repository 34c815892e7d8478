//! TAKES a copy of a socket out of a thread that waits in a trapped call, by ptrace(2): where pidfd_getfd(2) is refused, as
//! in Docker's default profile, a tracer is not. Knows nothing of generations, and decides nothing.
//!
//! The thread is stopped on its way out of the call, all its signals blocked, and made to do a few calls: map a page for what
//! a call points to (never its stack: a goroutine's is a piece of the heap), pass the socket over a socket pair, unmap, close.
//! Then it does its own call again, let through by a cookie, or returns the result that segue sets. Afterwards no register but the
//! call's result, no byte of its memory, no file and no signal is other than before.
//!
//! Nothing here waits in wait(2), so that the reaper and the tracer cannot take each other's news: a stopped thread answers
//! PTRACE_GETSIGINFO, a running one ESRCH. All requests come from one thread, as ptrace(2) wants. What kernels
//! before 5.19 do otherwise is in docs/handover.md.

#[cfg_attr(target_arch = "x86_64", path = "x86_64.rs")]
#[cfg_attr(target_arch = "aarch64", path = "aarch64.rs")]
mod machine;
pub mod message;
mod request;

use std::{
    io,
    os::fd::{AsFd, OwnedFd, RawFd},
    time::{Duration, Instant},
};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};

use self::{
    machine::Registers,
    message::Message,
    request::{Beside, Stop, Tracee},
};
use super::notification::{Call, Notifications};

/// A thread that is on its way to a stop arrives within microseconds. One that has not after so long is logged, and waited
/// for as long as it lives: it cannot be let go of before.
const LATE: Duration = Duration::from_secs(5);
/// The page for what calls point to.
const PAGE: u64 = 4096;
/// Every signal.
const ALL_SIGNALS: u64 = u64::MAX;

/// A thread that is stopped on its way out of a trapped call. Dropped, it does the call by itself.
#[derive(Debug)]
pub struct Stopped {
    tracee: Tracee,
    call: Call,
    repeat: Repeat,
    registers: Registers,
    mask: u64,
    /// Our end of the socket pair, and the number of the thread's.
    pair: Option<(OwnedFd, RawFd)>,
    /// Where the page is.
    page: Option<u64>,
    finished: bool,
    /// As long as it is stopped.
    _beside: Option<Beside>,
}

/// How the filter knows a call that is repeated for segue's sake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repeat {
    /// This value,
    pub cookie: u64,
    /// in this argument, which the call does not use.
    pub argument: usize,
}

/// Why a thread was not stopped.
#[derive(Debug)]
pub enum Refusal {
    /// The thread is gone, or its call is over.
    Gone,
    /// This was refused, and the call still waits for its answer.
    Waiting(io::Error),
    /// This was refused, and the thread has done its call by itself.
    Passed(io::Error),
}

impl Stopped {
    /// Stops the thread. `seize` does what it is given in the name of the thread's user, where that is needed.
    pub fn stop(
        call: Call,
        notifications: &Notifications,
        repeat: Repeat,
        seize: impl FnOnce(&dyn Fn() -> io::Result<()>) -> io::Result<()>,
    ) -> Result<Stopped, Refusal> {
        let flags = SockFlag::SOCK_CLOEXEC;
        let pair = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags);
        let (ours, theirs) = pair.map_err(|error| Refusal::Waiting(error.into()))?;
        let tracee = Tracee::new(call.thread);
        match seize(&|| tracee.seize()) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => return Err(Refusal::Gone),
            Err(error) => return Err(Refusal::Waiting(error)),
        }
        let beside = Beside::tracee(call.thread);
        // Before the interruption, which ends the wait on kernels before 5.19.
        let number = notifications.add(call, theirs.as_fd());
        let interrupted = tracee.interrupt();
        // Since 5.19 only an answer ends it. One that is the kernel's own "no such call" would be seen if all else failed.
        let answered = if number.is_ok() && interrupted.is_ok() {
            notifications.answer(call, Err(libc::ENOSYS))
        } else {
            notifications.let_pass(call)
        };
        let ended_before = answered.is_err();
        let stop = wait_for(&tracee, |stop| matches!(stop, Stop::Event));
        let stopped = stop.and_then(|()| Ok((tracee.registers()?, tracee.signal_mask()?)));
        let Ok((registers, mask)) = stopped else {
            return Err(Refusal::Gone);
        };
        let mut stopped = Stopped {
            tracee,
            call,
            repeat,
            registers,
            mask,
            pair: None,
            page: None,
            finished: false,
            _beside: beside,
        };
        match number {
            Ok(number) => {
                stopped.pair = Some((ours, number));
                if stopped.is_where_expected() && stopped.tracee.set_signal_mask(ALL_SIGNALS).is_ok() {
                    return Ok(stopped);
                }
                Err(Refusal::Passed(io::Error::other(
                    "the thread is not where its call was made",
                )))
            }
            // It was let pass, and has done its call, or it is to do it now.
            Err(error) => {
                stopped.finished = !ended_before;
                if stopped.finished {
                    stopped.detach(None);
                }
                Err(Refusal::Passed(error))
            }
        }
    }

    /// Is the thread right after its call, or (its wait was ended) right before it, and is that a call?
    fn is_where_expected(&self) -> bool {
        let at = self.registers.instruction();
        let before = self.call.returns_to.wrapping_sub(machine::CALL_LENGTH);
        (at == self.call.returns_to || at == before) && self.tracee.peek(before).is_ok_and(machine::is_call_instruction)
    }

    /// A copy of the thread's file of this number.
    pub fn copy(&mut self, file: RawFd) -> io::Result<OwnedFd> {
        let page = self.page()?;
        let (_, number) = self.pair()?;
        let message = Message::with_file(page, file);
        self.write(page, message.bytes())?;
        let flags = (libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT).unsigned_abs();
        self.make_call(libc::SYS_sendmsg, [number, page, flags.into(), 0, 0, 0])?;
        let (ours, _) = self.pair.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        message::receive(ours.as_fd())
    }

    /// Puts a file of ours in the place of the thread's file of this number.
    pub fn replace(&mut self, file: RawFd, by: impl AsFd, close_on_exec: bool) -> io::Result<()> {
        let page = self.page()?;
        let (ours, number) = self.pair()?;
        message::send(ours, by.as_fd())?;
        let message = Message::with_room(page);
        self.write(page, message.bytes())?;
        let flags = (libc::MSG_CMSG_CLOEXEC | libc::MSG_DONTWAIT).unsigned_abs();
        self.make_call(libc::SYS_recvmsg, [number, page, flags.into(), 0, 0, 0])?;
        let received = self.tracee.peek(message.file_at())? as u32;
        let flags = if close_on_exec {
            libc::O_CLOEXEC.unsigned_abs()
        } else {
            0
        };
        let file = u64::from(file.unsigned_abs());
        let placed = self.make_call(libc::SYS_dup3, [received.into(), file, flags.into(), 0, 0, 0]);
        let closed = self.make_call(libc::SYS_close, [received.into(), 0, 0, 0, 0, 0]);
        placed.and(closed).map(drop)
    }

    /// The thread binds its file of this number to this address, in the place of the one that its call names; what came of it.
    pub fn bind_to(&mut self, file: RawFd, address: &[u8]) -> Result<(), i32> {
        let bind = |stopped: &mut Stopped| {
            let page = stopped.page()?;
            stopped.write(page, address)?;
            let mut arguments = [file.unsigned_abs().into(), page, address.len() as u64, 0, 0, 0];
            if let Some(argument) = arguments.get_mut(stopped.repeat.argument) {
                *argument = stopped.repeat.cookie;
            }
            stopped.make_call(libc::SYS_bind, arguments).map(drop)
        };
        bind(self).map_err(|error: io::Error| error.raw_os_error().unwrap_or(libc::EADDRINUSE))
    }

    /// The thread does its own call, with its own arguments, and goes on with whatever comes of it.
    pub fn call_by_itself(mut self) {
        self.finish_by_call();
    }

    /// The call has returned 0, or this error.
    pub fn return_with(mut self, outcome: Result<(), i32>) {
        self.clean_up();
        let value = outcome.err().map_or(0, |errno| -i64::from(errno));
        self.detach(Some(value));
    }

    fn finish_by_call(&mut self) {
        self.clean_up();
        let mut arguments = self.call.arguments;
        if let Some(argument) = arguments.get_mut(self.repeat.argument) {
            *argument = self.repeat.cookie;
        }
        let value = match self.make_call(libc::c_long::from(self.call.number), arguments) {
            Ok(value) => value.cast_signed(),
            Err(error) => -i64::from(error.raw_os_error().unwrap_or(libc::EINVAL)),
        };
        self.detach(Some(value));
    }

    /// Leaves nothing of ours in the program.
    fn clean_up(&mut self) {
        if let Some(page) = self.page.take() {
            let unmapped = self.make_call(libc::SYS_munmap, [page, PAGE, 0, 0, 0, 0]);
            tracing::trace!(?unmapped, "the page is gone");
        }
        if let Some((_, number)) = self.pair.take() {
            let number = u64::from(number.unsigned_abs());
            let closed = self.make_call(libc::SYS_close, [number, 0, 0, 0, 0, 0]);
            tracing::trace!(?closed, "the socket pair is gone");
        }
    }

    /// Lets the thread go on, with its registers, its signals and the result.
    fn detach(&mut self, result: Option<i64>) {
        self.finished = true;
        let registers = match result {
            Some(value) => self.registers.returning(value, self.call.returns_to),
            None => self.registers,
        };
        let set = self.tracee.set_registers(&registers);
        let unblocked = self.tracee.set_signal_mask(self.mask);
        let detached = self.tracee.detach();
        tracing::trace!(?set, ?unblocked, ?detached, "the thread goes on");
    }

    fn pair(&self) -> io::Result<(&OwnedFd, u64)> {
        let (ours, number) = self.pair.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        Ok((ours, number.unsigned_abs().into()))
    }

    /// A page of its own, mapped at the first need.
    fn page(&mut self) -> io::Result<u64> {
        if let Some(page) = self.page {
            return Ok(page);
        }
        let (protection, flags) = (
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
        );
        let none = u64::MAX;
        let (protection, flags) = (protection.unsigned_abs().into(), flags.unsigned_abs().into());
        let page = self.make_call(libc::SYS_mmap, [0, PAGE, protection, flags, none, 0])?;
        self.page = Some(page);
        Ok(page)
    }

    fn write(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        for (offset, word) in (0..).step_by(8).zip(bytes.chunks(8)) {
            let mut padded = [0; 8];
            padded.iter_mut().zip(word).for_each(|(to, from)| *to = *from);
            self.tracee.poke(at + offset, u64::from_ne_bytes(padded))?;
        }
        Ok(())
    }

    /// Makes the thread do a call; what it returned.
    fn make_call(&mut self, number: libc::c_long, arguments: [u64; 6]) -> io::Result<u64> {
        let at = self.call.returns_to.wrapping_sub(machine::CALL_LENGTH);
        let number = u64::try_from(number).map_err(io::Error::other)?;
        self.tracee
            .set_registers(&self.registers.calling(at, number, arguments))?;
        for _ in ["into the call", "out of it"] {
            self.tracee.go_on_to_next_stop()?;
            wait_for(&self.tracee, |stop| matches!(stop, Stop::Call))?;
        }
        let returned = self.tracee.registers()?.result();
        // Errors are numbers of at most 4095, negative.
        match returned {
            -4095..=-1 => Err(io::Error::from_raw_os_error(i32::try_from(-returned).unwrap_or(0))),
            value => Ok(value.cast_unsigned()),
        }
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        if !self.finished {
            self.finish_by_call();
        }
    }
}

/// Is ptrace refused whatever it is about (a container's profile)?
#[must_use]
pub fn is_refused() -> bool {
    let nobody = Tracee::new(0);
    nobody
        .seize()
        .is_err_and(|error| error.raw_os_error() != Some(libc::ESRCH))
}

/// Waits for a stop of this kind. At others the thread goes on; a signal that was about to be delivered is delivered when it
/// is let go. ESRCH: it is dead.
fn wait_for(tracee: &Tracee, wanted: impl Fn(Stop) -> bool) -> io::Result<()> {
    let begin = Instant::now();
    let (mut looks, mut warned) = (0_u32, false);
    loop {
        match tracee.stop() {
            Ok(stop) if wanted(stop) => return Ok(()),
            Ok(stop) => {
                tracee.keep(stop);
                tracee.go_on_to_next_stop()?;
            }
            Err(error) if error.raw_os_error() != Some(libc::ESRCH) => return Err(error),
            Err(error) => {
                looks = looks.saturating_add(1);
                if looks.is_multiple_of(64) && tracee.is_gone() {
                    return Err(error);
                }
                if begin.elapsed() > LATE && !std::mem::replace(&mut warned, true) {
                    tracing::warn!(
                        thread = tracee.thread(),
                        "a thread of the program does not stop, waiting for it"
                    );
                }
                Tracee::pause(begin.elapsed());
            }
        }
    }
}
