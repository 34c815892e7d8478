//! MAKES the requests of ptrace(2) to one thread. Each returns at once; what waits here is a look without waiting, and only
//! for a thread that has died while it was traced.
#![expect(unsafe_code, reason = "ptrace, whose arguments differ with the request")]

use std::{
    cell::Cell,
    io,
    mem::MaybeUninit,
    time::{Duration, Instant},
};

use super::machine::Registers;

/// A thread that is traced, or about to be.
#[derive(Debug)]
pub(super) struct Tracee {
    thread: libc::pid_t,
    /// A signal that was about to be delivered.
    kept: Cell<i32>,
    /// Is it seized, and not let go of?
    seized: Cell<bool>,
}

/// This thread on the processor of a tracee: while both take turns, neither has to wake another processor for each step. It may
/// run anywhere again once this is dropped.
#[derive(Debug)]
pub(super) struct Beside(libc::cpu_set_t);

impl Beside {
    /// `None`: the system does not let us, which costs nothing but time.
    pub(super) fn tracee(thread: i32) -> Option<Beside> {
        let processor = crate::process::tree::processor(thread)?;
        let size = size_of::<libc::cpu_set_t>();
        let mut before = MaybeUninit::<libc::cpu_set_t>::zeroed();
        // SAFETY: the set is writable, and as large as is said.
        if unsafe { libc::sched_getaffinity(0, size, before.as_mut_ptr()) } != 0 {
            return None;
        }
        // SAFETY: zeroed bytes are a valid set, and the kernel has written one.
        let (before, mut there) = unsafe {
            (
                before.assume_init(),
                MaybeUninit::<libc::cpu_set_t>::zeroed().assume_init(),
            )
        };
        // SAFETY: libc ignores numbers beyond the set.
        unsafe { libc::CPU_SET(processor, &mut there) };
        // SAFETY: the set is readable, and as large as is said.
        let moved = unsafe { libc::sched_setaffinity(0, size, &raw const there) } == 0;
        moved.then_some(Beside(before))
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        // SAFETY: the set is readable, and as large as is said.
        let moved = unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const self.0) };
        tracing::trace!(moved, "the tracer may run anywhere again");
    }
}

/// A seized thread is always detached: as soon as it stops, or dies.
impl Drop for Tracee {
    fn drop(&mut self) {
        let begin = Instant::now();
        while self.seized.get() && self.detach().is_err() {
            if self.is_gone() {
                return;
            }
            Tracee::pause(begin.elapsed());
        }
    }
}

/// Where a traced thread has stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// It was interrupted, or its process is stopped.
    Event,
    /// On its way into a call, or out of it.
    Call,
    /// This signal is about to be delivered.
    Signal(i32),
}

/// The pause between two looks for a stop: no longer than it is waited for already. The thread runs meanwhile, on the same
/// processor, and mostly stops within the first one.
const SHORTEST_PAUSE: Duration = Duration::from_nanos(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(1);

impl Tracee {
    pub(super) fn new(thread: i32) -> Tracee {
        Tracee {
            thread,
            kept: Cell::new(0),
            seized: Cell::new(false),
        }
    }

    fn request(&self, request: libc::c_uint, address: usize, data: usize) -> io::Result<()> {
        // SAFETY: no request that comes here makes the kernel write to `data`.
        let returned = unsafe { libc::ptrace(request, self.thread, address, data) };
        if returned == -1 {
            Err(io::Error::last_os_error())
        } else {
            Ok(())
        }
    }

    pub(super) fn seize(&self) -> io::Result<()> {
        let tells_calls_apart = usize::try_from(libc::PTRACE_O_TRACESYSGOOD).unwrap_or(1);
        self.request(libc::PTRACE_SEIZE, 0, tells_calls_apart)?;
        self.seized.set(true);
        Ok(())
    }

    pub(super) fn interrupt(&self) -> io::Result<()> {
        self.request(libc::PTRACE_INTERRUPT, 0, 0)
    }

    pub(super) fn go_on_to_next_stop(&self) -> io::Result<()> {
        self.request(libc::PTRACE_SYSCALL, 0, 0)
    }

    /// The kept signal is delivered now.
    pub(super) fn detach(&self) -> io::Result<()> {
        let signal = usize::try_from(self.kept.get()).unwrap_or(0);
        self.request(libc::PTRACE_DETACH, 0, signal)?;
        self.seized.set(false);
        Ok(())
    }

    /// Delivers the signal of this stop, if it is one, when the thread is let go.
    pub(super) fn keep(&self, stop: Stop) {
        if let Stop::Signal(signal) = stop {
            self.kept.set(signal);
        }
    }

    /// Where it has stopped; ESRCH while it runs, and after its end.
    pub(super) fn stop(&self) -> io::Result<Stop> {
        let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
        // SAFETY: `info` is writable, and what the request writes.
        let returned = unsafe { libc::ptrace(libc::PTRACE_GETSIGINFO, self.thread, 0_usize, info.as_mut_ptr()) };
        if returned == -1 {
            let error = io::Error::last_os_error();
            // A process that is stopped as a whole has no signal to tell of.
            return if error.raw_os_error() == Some(libc::EINVAL) {
                Ok(Stop::Event)
            } else {
                Err(error)
            };
        }
        // SAFETY: zeroed bytes are a valid siginfo_t, and the kernel has written one.
        let info = unsafe { info.assume_init() };
        const OF_CALL: i32 = libc::SIGTRAP | 0x80;
        const EVENT_STOP: i32 = 128;
        Ok(match (info.si_signo, info.si_code) {
            (libc::SIGTRAP, OF_CALL) => Stop::Call,
            (_, code) if code >> 8 == EVENT_STOP => Stop::Event,
            (signal, _) => Stop::Signal(signal),
        })
    }

    pub(super) fn registers(&self) -> io::Result<Registers> {
        let mut registers = MaybeUninit::<Registers>::zeroed();
        self.register_set(libc::PTRACE_GETREGSET, registers.as_mut_ptr())?;
        // SAFETY: zeroed bytes are valid registers, and the kernel has written some.
        Ok(unsafe { registers.assume_init() })
    }

    pub(super) fn set_registers(&self, registers: &Registers) -> io::Result<()> {
        let mut registers = *registers;
        self.register_set(libc::PTRACE_SETREGSET, &raw mut registers)?;
        super::machine::set_call_number(self.thread, &registers)
    }

    fn register_set(&self, request: libc::c_uint, registers: *mut Registers) -> io::Result<()> {
        const GENERAL: usize = 1;
        let mut part = libc::iovec {
            iov_base: registers.cast(),
            iov_len: size_of::<Registers>(),
        };
        // SAFETY: the part names as many bytes as it says, readable and writable, which live until the call returns.
        let returned = unsafe { libc::ptrace(request, self.thread, GENERAL, &raw mut part) };
        if returned == -1 {
            Err(io::Error::last_os_error())
        } else {
            Ok(())
        }
    }

    pub(super) fn signal_mask(&self) -> io::Result<u64> {
        let mut mask = 0_u64;
        // SAFETY: the kernel writes as many bytes as the address argument says.
        let returned = unsafe { libc::ptrace(libc::PTRACE_GETSIGMASK, self.thread, size_of::<u64>(), &raw mut mask) };
        if returned == -1 {
            Err(io::Error::last_os_error())
        } else {
            Ok(mask)
        }
    }

    pub(super) fn set_signal_mask(&self, mask: u64) -> io::Result<()> {
        // SAFETY: the kernel reads as many bytes as the address argument says.
        let returned = unsafe { libc::ptrace(libc::PTRACE_SETSIGMASK, self.thread, size_of::<u64>(), &raw const mask) };
        if returned == -1 {
            Err(io::Error::last_os_error())
        } else {
            Ok(())
        }
    }

    pub(super) fn poke(&self, address: u64, word: u64) -> io::Result<()> {
        let address = usize::try_from(address).map_err(io::Error::other)?;
        let word = usize::try_from(word).map_err(io::Error::other)?;
        self.request(libc::PTRACE_POKEDATA, address, word)
    }

    pub(super) fn peek(&self, address: u64) -> io::Result<u64> {
        let mut word = 0_u64;
        // SAFETY: as a system call, and not as libc wraps it, the request writes a word to where `data` points.
        let returned = unsafe {
            libc::syscall(
                libc::SYS_ptrace,
                libc::PTRACE_PEEKDATA,
                self.thread,
                address,
                &raw mut word,
            )
        };
        if returned == -1 {
            Err(io::Error::last_os_error())
        } else {
            Ok(word)
        }
    }

    pub(super) fn thread(&self) -> i32 {
        self.thread
    }

    /// Is it gone: dead, or no more the thread that was seized? (After an exec in another thread its number may be that one's.)
    ///
    /// One that dies while it is traced stays until its tracer has waited for it, and keeps its process's parent waiting, too.
    /// A child of segue's own is the reaper's all the same, and left to it.
    pub(super) fn is_gone(&self) -> bool {
        let Some(status) = crate::process::status::of_traced(self.thread) else {
            return true;
        };
        let own = i32::try_from(std::process::id()).unwrap_or(0);
        if status.parent == own && status.process == self.thread {
            return status.is_dead || !status.is_traced;
        }
        let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
        let dead_only = libc::WEXITED | libc::WNOHANG | libc::__WALL | libc::__WNOTHREAD;
        let thread = self.thread.unsigned_abs();
        // SAFETY: `info` is writable.
        let waited = unsafe { libc::waitid(libc::P_PID, thread, info.as_mut_ptr(), dead_only) };
        // SAFETY: zeroed bytes are a valid siginfo_t, whether or not the call has written one.
        let code = unsafe { info.assume_init() }.si_code;
        // A tracer sees stops, too, whichever events it asked for.
        let ends = [libc::CLD_EXITED, libc::CLD_KILLED, libc::CLD_DUMPED];
        let reaped = waited == 0 && ends.contains(&code);
        reaped || !status.is_traced
    }

    /// Before the next look at a thread that has been waited for so long. Never sched_yield(2), which gives away so much time
    /// (a slice each, which later counts as a debt) that on a busy machine the thread would stay stopped for seconds.
    #[expect(
        clippy::disallowed_methods,
        reason = "a thread of its own, which nothing but its calls waits for"
    )]
    pub(super) fn pause(waited: Duration) {
        std::thread::sleep((waited / 2).clamp(SHORTEST_PAUSE, LONGEST_PAUSE));
    }
}
