//! STARTS a process: fork, set up, exec, and tell what went wrong. The only place in segue that makes a process.
//!
//! `std::process::Command` is of no use here: it changes dispositions, knows the environment only before the fork
//! (`LISTEN_PID` is the child's own pid), and waits for the exec. Here the outcome of the exec comes later, over a pipe
//! that closes itself when the exec succeeds ([`Verdict`]).
#![expect(unsafe_code, reason = "fork, and what is allowed between fork and exec")]

use std::{
    ffi::{CStr, CString, c_char},
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
    ptr,
};

use nix::unistd::Pid;

pub use super::verdict::{ExecFault, Step, Verdict};
use super::{
    attribute::{self, Attribute},
    identity::{self, Identity},
    inherited::Inherited,
    sigset,
    sigset::SignalSet,
    trap::{self, Channel, Sprung, Trap},
};

/// What to start, and how. All memory that the child needs is laid out before the fork.
#[derive(Debug)]
pub struct Plan<'a> {
    /// What segue was started with, and the child gets back.
    pub inherited: &'a Inherited,
    /// Signals whose disposition segue has changed since.
    pub changed: SignalSet,
    /// Where the program may be: tried in this order, as execvp(3) does.
    pub candidates: Vec<CString>,
    /// Its arguments, the zeroth included.
    pub arguments: Vec<CString>,
    /// Its environment, `NAME=value` each. A `LISTEN_PID=` with room for a number is stamped by the child.
    pub environment: Vec<CString>,
    /// What becomes its stdin, stdout and stderr where that is not segue's own; put there in this order.
    pub streams: [Option<RawFd>; 3],
    /// What becomes its file 3, 4, ….
    pub files: Vec<RawFd>,
    /// Does its process group become the terminal's foreground group?
    pub foreground: bool,
    /// Does it begin a session of its own, without a terminal?
    pub session: bool,
    /// Start it on this process's memory, which waits until it is executed: quicker, and right where there is nothing
    /// that a program on a hung file system could keep waiting. Else it gets a copy.
    pub at_once: bool,
    /// Is it a command of segue's own (hook, probe)? Then it must not read the program's input.
    pub no_input: bool,
    /// Which of its calls segue wants to be told of.
    pub trap: Option<Trap<'a>>,
    /// Is it the first to go when memory is short (`oom_score_adj`, proc(5)), before any that is there already?
    pub expendable: bool,
    /// Attributes other than segue's own.
    pub attributes: &'a [Attribute],
    /// Who it becomes; `None`: it stays who segue is.
    pub identity: Option<Identity>,
    /// Its own directory, entered as that user.
    pub directory: Option<CString>,
    /// Is it killed when segue is?
    pub dies_with_us: bool,
}

/// The environment entry that the child stamps with its pid.
pub const LISTEN_PID: &str = "LISTEN_PID=0000000000";

/// A process that was forked, and is about to be the program.
#[derive(Debug)]
pub struct Launch {
    /// The process, which is also its process group.
    pub pid: Pid,
    /// To signal it by; `None` on kernels before 5.2.
    pub pidfd: Option<OwnedFd>,
    /// Where the child tells what became of its trap; see [`trap::outcome`].
    pub channel: Option<OwnedFd>,
    verdict: OwnedFd,
}

/// Forks. An error means that there is no child (`EAGAIN`: a limit on processes; `EMFILE`: on files).
pub fn spawn(plan: &Plan<'_>) -> io::Result<Launch> {
    let (verdict, report) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC | nix::fcntl::OFlag::O_NONBLOCK)?;
    let channel = plan.trap.map(|_| Channel::open()).transpose()?;
    let mut environment: Vec<Vec<u8>> = plan
        .environment
        .iter()
        .map(|entry| entry.as_bytes_with_nul().to_vec())
        .collect();
    let stamp = environment
        .iter_mut()
        .find(|entry| entry.strip_suffix(b"\0") == Some(LISTEN_PID.as_bytes()));
    let stamp = stamp.map_or(ptr::null_mut(), |entry| entry.as_mut_ptr());
    let environment_pointers = pointers(environment.iter().map(|entry| entry.as_ptr().cast()));
    let argument_pointers = pointers(plan.arguments.iter().map(|argument| argument.as_ptr()));
    let shell_pointers = shell(plan);
    let mut child = Child {
        plan,
        parent: nix::unistd::getpid().as_raw(),
        report: report.as_raw_fd(),
        channel: channel.as_ref().map_or(-1, |channel| channel.child.as_raw_fd()),
        stamp,
        argument_pointers,
        shell_pointers,
        environment_pointers,
    };

    // Not filled, so that only what is used of it costs anything.
    let mut stack = Vec::<u8>::with_capacity(STACK);
    // A process that has become another user must not do so on this one's memory: whoever may look at it may look at ours.
    let sharing = if plan.at_once && plan.identity.is_none() {
        libc::CLONE_VM | libc::CLONE_VFORK
    } else {
        0
    };
    let mut pidfd: RawFd = -1;
    let mut clone = |flags| {
        let top = stack.spare_capacity_mut().as_mut_ptr_range().end.cast();
        let argument: *mut Child<'_> = &raw mut child;
        // SAFETY: `top` is the aligned end of a stack that nobody else uses, and `argument` lives until the call
        // returns. Without CLONE_VM the child has its own copy of both; with it CLONE_VFORK holds this thread, the
        // only one, until the child has executed the program or ended. `run` makes system calls only.
        unsafe {
            libc::clone(
                child_main,
                aligned(top).cast(),
                flags | sharing | libc::SIGCHLD,
                argument.cast(),
                &raw mut pidfd,
            )
        }
    };
    // The child has segue's handlers until it gives them back: a signal for it that came before would be lost in one.
    let mask = sigset::set_mask(SignalSet::ALL);
    let mut pid = clone(libc::CLONE_PIDFD);
    if pid == -1 && errno() == libc::EINVAL {
        // Kernels before 5.2 have no CLONE_PIDFD.
        pid = clone(0);
    }
    let cloned = if pid == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    };
    sigset::set_mask(mask);
    cloned?;
    Ok(Launch {
        pid: Pid::from_raw(pid),
        // SAFETY: the kernel has just made it for us, if it made one.
        pidfd: (pidfd >= 0).then(|| unsafe { OwnedFd::from_raw_fd(pidfd) }),
        channel: channel.map(|channel| channel.ours),
        verdict,
    })
}

/// What the child needs at most: a few frames, and libc's own.
const STACK: usize = 64 * 1024;

/// The ABIs of x86-64 and aarch64 want stacks at multiples of 16.
fn aligned(top: *mut u8) -> *mut u8 {
    top.map_addr(|address| address & !15)
}

extern "C" fn child_main(child: *mut libc::c_void) -> libc::c_int {
    // SAFETY: `spawn` passes its own `Child`, which lives and is nobody else's until the child is a program or gone.
    let child = unsafe { &mut *child.cast::<Child<'_>>() };
    child.run()
}

fn pointers(items: impl Iterator<Item = *const c_char>) -> Vec<*const c_char> {
    items.chain([ptr::null()]).collect()
}

/// The highest `oom_score_adj`.
pub const EXPENDABLE: &str = "1000";

/// `sh CANDIDATE ARG…`: what execvp(3) does with a text that names no interpreter. The candidate is put in later.
fn shell(plan: &Plan<'_>) -> Vec<*const c_char> {
    let arguments = plan.arguments.iter().skip(1).map(|argument| argument.as_ptr());
    pointers([c"/bin/sh".as_ptr(), ptr::null()].into_iter().chain(arguments))
}

impl Launch {
    /// The process, the channel of its trap, and the pipe that tells how the exec came out.
    #[must_use]
    pub fn into_parts(self) -> (Pid, Option<OwnedFd>, Option<OwnedFd>, Verdict) {
        (self.pid, self.pidfd, self.channel, Verdict(self.verdict))
    }
}

/// What the child needs, all of it allocated before the fork: between fork and exec nothing may allocate, lock or
/// panic.
struct Child<'a> {
    plan: &'a Plan<'a>,
    parent: libc::pid_t,
    report: RawFd,
    channel: RawFd,
    stamp: *mut u8,
    argument_pointers: Vec<*const c_char>,
    shell_pointers: Vec<*const c_char>,
    environment_pointers: Vec<*const c_char>,
}

impl Child<'_> {
    fn run(&mut self) -> ! {
        let fault = self.become_program();
        let [a, b, c, d] = fault.errno.to_ne_bytes();
        let message = [fault.step as u8, fault.index, a, b, c, d];
        // SAFETY: `message` is six readable bytes; the report is our own end of the pipe.
        unsafe { libc::write(self.report, message.as_ptr().cast(), message.len()) };
        // SAFETY: no exit handlers run, which belong to the parent.
        unsafe { libc::_exit(127) }
    }

    fn become_program(&mut self) -> ExecFault {
        let fault = |step| ExecFault {
            step,
            index: 0,
            errno: errno(),
        };
        // SAFETY: both are system calls without pointers. A failure (a session leader) leaves the group as it was.
        unsafe {
            if self.plan.session {
                libc::setsid()
            } else {
                libc::setpgid(0, 0)
            }
        };
        if self.plan.foreground {
            // SAFETY: as above; SIGTTOU is blocked here.
            unsafe { libc::tcsetpgrp(0, libc::getpid()) };
        }
        for signal in self.plan.changed.iter() {
            let ignored = self.plan.inherited.ignored.contains(signal);
            sigset::set_disposition(signal, if ignored { libc::SIG_IGN } else { libc::SIG_DFL });
        }
        if !self.enter_directory() {
            return fault(Step::Directory);
        }
        // Before the files take their numbers, of which the channel may have one.
        let sprung = self.plan.trap.map(|it| (trap::spring(it, self.channel), it.required));
        if let Some((Sprung::No, true) | (Sprung::Unheard, _)) = sprung {
            return fault(Step::Trap);
        }
        if !self.place_streams() || !self.place_files() {
            return fault(Step::Files);
        }
        if let Some((rlim_cur, rlim_max)) = self.plan.inherited.files_limit {
            let limit = libc::rlimit { rlim_cur, rlim_max };
            // SAFETY: `limit` lives until the call returns. It only lowers what segue has raised for itself.
            unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
        }
        self.stamp_pid();
        for (index, attribute) in (0..).zip(self.plan.attributes) {
            if !attribute.change.apply() {
                return ExecFault {
                    index,
                    ..fault(Step::Attribute)
                };
            }
        }
        if self.plan.expendable {
            // The kernel kills the process with the highest score. If this fails, it chooses as usual.
            attribute::write_oom_score(EXPENDABLE);
        }
        if let Some(identity) = &self.plan.identity
            && !identity.take_on()
        {
            return fault(Step::User);
        }
        // After the user, whose change takes it away.
        if self.plan.dies_with_us && !identity::die_with(self.parent) {
            return fault(Step::Exec);
        }
        if let Some(directory) = &self.plan.directory
            && !enter(directory)
        {
            return fault(Step::OwnDirectory);
        }
        sigset::set_mask(self.plan.inherited.mask);
        ExecFault {
            step: Step::Exec,
            index: 0,
            errno: self.exec(),
        }
    }

    /// A directory that cannot be named (it was removed) is still the one that the fork left us in, the first time.
    fn enter_directory(&self) -> bool {
        match &self.plan.inherited.directory {
            Some(directory) => enter(directory),
            None => true,
        }
    }

    fn place_streams(&self) -> bool {
        (0..).zip(&self.plan.streams).all(|(target, source)| match source {
            // SAFETY: numbers only; dup2 clears close-on-exec.
            Some(source) => unsafe { libc::dup2(*source, target) != -1 },
            None => true,
        })
    }

    fn place_files(&mut self) -> bool {
        if self.plan.no_input {
            // SAFETY: a C string constant.
            let null = unsafe { libc::open(c"/dev/null".as_ptr(), libc::O_RDWR | libc::O_CLOEXEC) };
            // SAFETY: numbers only; where there is no /dev/null the stream is closed rather than shared.
            unsafe { if null >= 0 { libc::dup2(null, 0) } else { libc::close(0) } };
        }
        let count = i32::try_from(self.plan.files.len()).unwrap_or(0);
        if count == 0 {
            return true;
        }
        // Out of the way of the numbers to be filled, close-on-exec as they were.
        // SAFETY: numbers only.
        self.report = unsafe { libc::fcntl(self.report, libc::F_DUPFD_CLOEXEC, 3 + count) };
        for (target, source) in (3..).zip(&self.plan.files) {
            // A source that sits on the number of another would be overwritten before its turn: the plan's caller
            // keeps sources above all targets.
            debug_assert!(*source >= 3 + count);
            // SAFETY: numbers only; dup2 clears close-on-exec.
            if unsafe { libc::dup2(*source, target) } == -1 {
                return false;
            }
        }
        true
    }

    /// Writes the pid over the zeros, without leading ones.
    fn stamp_pid(&self) {
        if self.stamp.is_null() {
            return;
        }
        let mut digits = [0_u8; 10];
        let mut count = 0;
        // SAFETY: no pointers.
        let mut rest = unsafe { libc::getpid() };
        while let Some(digit) = digits.get_mut(count).filter(|_| rest > 0) {
            *digit = b'0' + u8::try_from(rest % 10).unwrap_or(0);
            rest /= 10;
            count += 1;
        }
        let value = "LISTEN_PID=".len();
        for (place, digit) in digits.iter().take(count).rev().chain([&0]).enumerate() {
            // SAFETY: the entry has room for ten digits and the final zero after `LISTEN_PID=`.
            unsafe { *self.stamp.add(value + place) = *digit };
        }
    }

    /// Tries the candidates as execvp(3) does; returns only if none became the program.
    fn exec(&mut self) -> i32 {
        let mut denied = false;
        let mut last = libc::ENOENT;
        for candidate in &self.plan.candidates {
            let environment = self.environment_pointers.as_ptr();
            // SAFETY: null-terminated arrays of C strings that live in this frame.
            unsafe { libc::execve(candidate.as_ptr(), self.argument_pointers.as_ptr(), environment) };
            last = errno();
            match last {
                libc::EACCES => denied = true,
                libc::ENOENT | libc::ENOTDIR => {}
                libc::ENOEXEC if is_text(candidate) => {
                    if let Some(script) = self.shell_pointers.get_mut(1) {
                        *script = candidate.as_ptr();
                    }
                    // SAFETY: as above.
                    unsafe { libc::execve(c"/bin/sh".as_ptr(), self.shell_pointers.as_ptr(), environment) };
                    return libc::ENOEXEC;
                }
                other => return other,
            }
        }
        if denied { libc::EACCES } else { last }
    }
}

fn enter(directory: &CStr) -> bool {
    // SAFETY: a C string that outlives the call.
    unsafe { libc::chdir(directory.as_ptr()) == 0 }
}

fn errno() -> i32 {
    // SAFETY: the location is this thread's own.
    unsafe { *libc::__errno_location() }
}

/// Is a file that the kernel would not execute a text, and not a program for another machine?
fn is_text(path: &CStr) -> bool {
    let mut head = [0_u8; 4];
    // SAFETY: a C string that outlives the call.
    let file = unsafe { libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) };
    // SAFETY: `head` has four writable bytes.
    let read = unsafe { libc::read(file, head.as_mut_ptr().cast(), head.len()) };
    read >= 0 && head != *b"\x7fELF"
}
