//! TRACES segue as PID 1 of a namespace, from its first call to its end, and makes one of its calls fail. The program itself is
//! never traced: the child that is to become it is let go at its exec.
//!
//! By ptrace(2) of our own, and not by strace: an injection goes by the stretch of life that segue is in, and a filter that
//! notifies can be there once only, which is segue's own.

use std::{
    collections::HashMap,
    os::unix::process::CommandExt,
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use nix::{
    sys::{
        ptrace,
        signal::Signal,
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};

use super::{
    call::{self, Call, Path, Who},
    errors,
    support::{
        segue::{As, Segue},
        wait,
    },
};

/// A call that fails: the so manieth of its label on a path, counted from 1.
#[derive(Debug, Clone)]
pub struct Injection {
    pub call: Call,
    pub occurrence: usize,
    pub errno: i32,
}

/// What is known of the traced segue, from any thread.
pub struct Traced {
    shared: Arc<Shared>,
    tracer: Option<JoinHandle<()>>,
}

struct Shared {
    path: Mutex<Path>,
    calls: Mutex<Vec<Call>>,
    injected: AtomicBool,
    /// Did the child become a program?
    executed: AtomicBool,
    injection: Option<Injection>,
    /// Since when segue has waited for something to happen.
    waits: Mutex<Option<Instant>>,
    /// How it ended: a code, or 128 and the signal.
    end: Mutex<Option<i32>>,
}

/// So long without a call is the end of a path.
const QUIET: Duration = Duration::from_millis(25);

/// Starts a command of [`Recipe::command`](super::support::segue::Recipe::command), as PID 1.
pub fn start(mut command: Command, files: tempfile::TempDir, injection: Option<Injection>) -> (Segue, Traced) {
    let shared = Arc::new(Shared {
        path: Mutex::new(Path::Start),
        calls: Mutex::default(),
        injected: AtomicBool::new(false),
        executed: AtomicBool::new(false),
        injection,
        waits: Mutex::default(),
        end: Mutex::default(),
    });
    let (sender, started) = mpsc::channel();
    let its = Arc::clone(&shared);
    let tracer = thread::spawn(move || {
        // SAFETY: one system call, which allocates nothing.
        #[expect(unsafe_code, reason = "whoever is to be traced says so itself")]
        unsafe {
            command.pre_exec(|| ptrace::traceme().map_err(Into::into));
        }
        let segue = Segue::spawn(As::Init, command, files);
        let init = find_init(Pid::from_raw(segue.child_id()));
        sender.send(segue).unwrap();
        Tracer {
            shared: its,
            init,
            tracees: HashMap::from([(
                init,
                Tracee {
                    inside: true,
                    ..Tracee::of(Who::Segue)
                },
            )]),
            counts: HashMap::new(),
            begun: false,
        }
        .run();
    });
    let traced = Traced {
        shared,
        tracer: Some(tracer),
    };
    (started.recv().unwrap(), traced)
}

impl Traced {
    /// From now on segue is on this path.
    pub fn enter(&self, path: Path) {
        *self.shared.path.lock().unwrap() = path;
    }

    /// Waits until segue does nothing any more, or is gone.
    pub fn quiet(&self) {
        wait::until("segue is at rest", || {
            let waits = *self.shared.waits.lock().unwrap();
            let rests = waits.is_some_and(|since| since.elapsed() > QUIET);
            (rests || self.end().is_some()).then_some(())
        });
    }

    /// Was the call made that was to fail?
    pub fn was_injected(&self) -> bool {
        self.shared.injected.load(Ordering::Relaxed)
    }

    /// Was the program executed?
    pub fn was_executed(&self) -> bool {
        self.shared.executed.load(Ordering::Relaxed)
    }

    /// How segue itself ended, if it has.
    pub fn end(&self) -> Option<i32> {
        *self.shared.end.lock().unwrap()
    }

    /// Every call that was made, once it has ended.
    pub fn calls(mut self) -> Vec<Call> {
        self.tracer.take().unwrap().join().unwrap();
        std::mem::take(&mut *self.shared.calls.lock().unwrap())
    }
}

/// Follows `unshare` to the process that it starts, and that one to its becoming segue.
fn find_init(unshare: Pid) -> Pid {
    let options = ptrace::Options::PTRACE_O_TRACEFORK
        | ptrace::Options::PTRACE_O_TRACEVFORK
        | ptrace::Options::PTRACE_O_TRACECLONE
        | ptrace::Options::PTRACE_O_TRACEEXEC
        | ptrace::Options::PTRACE_O_TRACESYSGOOD
        | ptrace::Options::PTRACE_O_EXITKILL;
    assert!(matches!(waitpid(unshare, None), Ok(WaitStatus::Stopped(..))));
    ptrace::setoptions(unshare, options).unwrap();
    let init = loop {
        ptrace::cont(unshare, None).unwrap();
        match waitpid(unshare, None).unwrap() {
            WaitStatus::PtraceEvent(..) => {
                break Pid::from_raw(i32::try_from(ptrace::getevent(unshare).unwrap()).unwrap());
            }
            WaitStatus::Stopped(..) => {}
            other => panic!("unshare has not forked: {other:?}"),
        }
    };
    assert!(matches!(
        waitpid(init, Some(WaitPidFlag::__WALL)),
        Ok(WaitStatus::Stopped(..))
    ));
    ptrace::detach(unshare, None).unwrap();
    loop {
        ptrace::cont(init, None).unwrap();
        match waitpid(init, Some(WaitPidFlag::__WALL)).unwrap() {
            WaitStatus::PtraceEvent(_, _, libc::PTRACE_EVENT_EXEC) => return init,
            WaitStatus::Stopped(..) => {}
            other => panic!("segue was not executed: {other:?}"),
        }
    }
}

struct Tracee {
    who: Who,
    /// Is it in a call?
    inside: bool,
    /// What the call that it is in is to return.
    fails: Option<i32>,
    /// Has it been seen to stop for the first time?
    known: bool,
}

impl Tracee {
    fn of(who: Who) -> Tracee {
        Tracee {
            who,
            inside: false,
            fails: None,
            known: who == Who::Segue,
        }
    }
}

struct Tracer {
    shared: Arc<Shared>,
    init: Pid,
    tracees: HashMap<Pid, Tracee>,
    counts: HashMap<Call, usize>,
    /// Has `main` begun?
    begun: bool,
}

impl Tracer {
    fn run(&mut self) {
        self.go_on(self.init, None);
        let ours = WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD;
        while !self.tracees.is_empty() {
            let Ok(status) = waitpid(Pid::from_raw(-1), Some(ours)) else {
                break;
            };
            self.on(status);
        }
    }

    fn on(&mut self, status: WaitStatus) {
        match status {
            WaitStatus::PtraceSyscall(pid) => {
                self.on_call(pid);
                self.go_on(pid, None);
            }
            WaitStatus::PtraceEvent(pid, _, libc::PTRACE_EVENT_EXEC) if pid != self.init => {
                self.tracees.remove(&pid);
                self.shared.executed.store(true, Ordering::Relaxed);
                ptrace::detach(pid, None).ok();
            }
            WaitStatus::PtraceEvent(pid, ..) => self.go_on(pid, None),
            WaitStatus::Stopped(pid, signal) => {
                // A thread of segue's, or a child.
                let is_thread = std::fs::exists(format!("/proc/{}/task/{pid}", self.init)).unwrap_or(false);
                let who = if is_thread { Who::Segue } else { Who::Child };
                let new = || Tracee {
                    known: false,
                    ..Tracee::of(who)
                };
                let tracee = self.tracees.entry(pid).or_insert_with(new);
                let first = !std::mem::replace(&mut tracee.known, true);
                self.go_on(pid, (!first).then_some(signal));
            }
            WaitStatus::Exited(pid, code) => self.on_end(pid, code),
            WaitStatus::Signaled(pid, signal, _) => self.on_end(pid, 128 + signal as i32),
            WaitStatus::Continued(_) | WaitStatus::StillAlive => {}
        }
    }

    fn go_on(&self, pid: Pid, signal: Option<Signal>) {
        // It may have been killed meanwhile, and then its end is reported.
        ptrace::syscall(pid, signal).ok();
    }

    fn on_end(&mut self, pid: Pid, code: i32) {
        self.tracees.remove(&pid);
        if pid == self.init {
            *self.shared.end.lock().unwrap() = Some(code);
        }
    }

    fn on_call(&mut self, pid: Pid) {
        let Some(tracee) = self.tracees.get_mut(&pid) else {
            return;
        };
        let Ok(mut registers) = ptrace::getregs(pid) else {
            return;
        };
        tracee.inside = !tracee.inside;
        if !tracee.inside {
            if let Some(errno) = tracee.fails.take() {
                registers.rax = -i64::from(errno) as u64;
                ptrace::setregs(pid, registers).ok();
            }
            if pid == self.init {
                *self.shared.waits.lock().unwrap() = None;
            }
            return;
        }
        let (path, who) = (*self.shared.path.lock().unwrap(), tracee.who);
        let label = call::label(pid.as_raw(), &registers);
        // Before the first call of `main` there is the C library's own beginning, which is not ours to mend.
        self.begun |= label == "rt_sigprocmask";
        if !self.begun {
            return;
        }
        if pid == self.init && label.starts_with("epoll_") && label.contains("wait") {
            *self.shared.waits.lock().unwrap() = Some(Instant::now());
        }
        let call = Call { path, who, label };
        let count = self.counts.entry(call.clone()).or_insert(0);
        *count += 1;
        let injection = self.shared.injection.as_ref();
        if let Some(injection) = injection.filter(|it| it.call == call && it.occurrence == *count) {
            tracee.fails = Some(injection.errno);
            if !errors::is_done_all_the_same(&call.label) {
                registers.orig_rax = u64::MAX;
                ptrace::setregs(pid, registers).unwrap();
            }
            self.shared.injected.store(true, Ordering::Relaxed);
        }
        self.shared.calls.lock().unwrap().push(call);
    }
}
