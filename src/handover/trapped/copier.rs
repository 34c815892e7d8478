//! TAKES a copy of a socket by the best method that is permitted, asks the loop what to do with its call, and does it. Not in the
//! loop's thread: a program that makes the copier wait must not make the loop wait. One call is one thread's from its beginning to
//! its end, as ptrace(2) wants it.

use std::{
    cell::Cell,
    collections::VecDeque,
    io,
    os::fd::OwnedFd,
    sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, atomic::Ordering, mpsc},
    time::{Duration, Instant},
};

use nix::sys::stat::fstat;
use tokio::sync::mpsc::UnboundedSender;

use super::{
    Bound, Heard, Known, Method, Request, Shared, Verdict, Want,
    address::{Family, PORT_KNOWN, port_of},
    arguments,
    filter::{NATIVE, SHARING},
    notification::{Call, Notifications},
    path_calls, pidfd, probes,
    record::{Recorded, Records, SocketOption},
    repeat,
    task::{Kind, Task},
    tracer::{Refusal, Stopped},
};
use crate::{handover::facts, process::status::NET_BIND_SERVICE};

/// A call that is not to pass at once.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) generation: u64,
    pub(super) notifications: Arc<Notifications>,
    pub(super) call: Call,
}

/// How long the loop may take for a verdict, before the call passes. It answers within a turn.
const PATIENCE: Duration = Duration::from_secs(2);

/// A bind that was let pass is over after some µs, on a machine that is not too busy.
const BIND: Duration = Duration::from_millis(10);
/// Between two looks whether it is.
const PAUSE: Duration = Duration::from_micros(20);

/// How a copy was come by.
enum Copied {
    /// The call waits in the kernel.
    ByPidfd(OwnedFd),
    /// The thread is stopped.
    ByTracer(Box<Stopped>, OwnedFd),
    /// There is none; the call waits in the kernel.
    Not(String),
    /// There is none, and the thread has gone on.
    Over(Option<String>),
}

/// What is to be copied, in the order in which it was received: one thread at a time, as listeners are numbered by it.
#[derive(Debug, Default)]
pub(super) struct Copier {
    jobs: Mutex<VecDeque<Job>>,
    /// Held by the thread that copies.
    records: Mutex<Records>,
}

impl Copier {
    /// Does the job, and all that others add meanwhile; or leaves it to the thread that copies already.
    pub(super) fn add(&self, job: Job, shared: &Shared, heard: &UnboundedSender<Heard>) {
        self.jobs().push_back(job);
        // Looked at again after the lock is free: another thread may have added one before that, and gone.
        while !self.jobs().is_empty() {
            let mut records = match self.records.try_lock() {
                Ok(records) => records,
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => return,
            };
            while let Some(job) = self.next() {
                let (notifications, call, records) = (Arc::clone(&job.notifications), job.call, &mut *records);
                let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work(shared, job, heard, records)));
                if done.is_err() {
                    // A thread that is stopped was let go when the stack was unwound.
                    notifications.let_pass(call).ok();
                }
            }
        }
    }

    fn next(&self) -> Option<Job> {
        self.jobs().pop_front()
    }

    fn jobs(&self) -> MutexGuard<'_, VecDeque<Job>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn work(shared: &Shared, job: Job, heard: &UnboundedSender<Heard>, records: &mut Records) {
    let probes = probes::is_command(job.generation);
    if shared.exchanges && !probes && record(shared, &job, records) {
        job.notifications.let_pass(job.call).ok();
        return;
    }
    if !probes && path_calls::work(shared, &job, heard) {
        return;
    }
    let looked = if probes { probes::look(&job) } else { look(&job) };
    let Some((task, want, file, inode)) = looked.filter(|_| job.notifications.is_valid(job.call)) else {
        let is_valid = job.notifications.is_valid(job.call);
        job.notifications.let_pass(job.call).ok();
        if is_valid && NATIVE.is_some_and(|calls| calls.listen == job.call.number) {
            let why = "the thread that listens cannot be looked at".to_owned();
            heard.send(Heard::Unseen(job.generation, why)).ok();
        }
        return;
    };
    let copied = match want {
        Want::Bind(_)
        | Want::BindDatagrams(_)
        | Want::Listen(_)
        | Want::ListenUnix(..)
        | Want::Reach(_)
        | Want::ReachPath(_) => copy(shared, &job, &task, file, inode),
        Want::Share(_)
        | Want::SteerByItself
        | Want::BindPath(_)
        | Want::Unlink(_)
        | Want::Connect(_)
        | Want::Rename(..) => Copied::Not(String::new()),
    };
    let want = match (want, &copied) {
        (Want::ListenUnix(backlog, _), Copied::ByPidfd(copy) | Copied::ByTracer(_, copy)) => {
            Want::ListenUnix(backlog, path_calls::bound(&task, inode, Some(copy)))
        }
        (Want::ListenUnix(backlog, _), _) => Want::ListenUnix(backlog, path_calls::bound(&task, inode, None)),
        (want, _) => want,
    };
    let known = match (&copied, &want) {
        (Copied::Not(_), Want::Bind(_)) if shared.exchanges => known(shared, &task, file, records.take(inode)),
        _ => None,
    };
    let bound_later = match (&copied, &want) {
        (Copied::ByPidfd(copy) | Copied::ByTracer(_, copy), Want::BindDatagrams(_)) => copy.try_clone().ok(),
        _ => None,
    };
    let (reply, verdict) = mpsc::sync_channel(1);
    let request = |copy| Request {
        generation: probes::generation(job.generation),
        process: task.status.process,
        file,
        inode,
        want,
        copy,
        known,
        reply,
    };
    let waits = Cell::new(false);
    let ask = |copy| {
        // Without a loop there is no verdict, and the call passes.
        heard.send(Heard::Request(Box::new(request(copy)))).ok();
        let verdict = hear(&verdict);
        waits.set(matches!(verdict, Verdict::PassToBind));
        verdict
    };
    let generation = job.generation;
    let not_given = |(socket, error): (OwnedFd, io::Error)| {
        let why = format!("it cannot be given the socket in which connections wait: {error}");
        if let Ok(stat) = fstat(&socket) {
            heard.send(Heard::NotGiven(generation, stat.st_ino, why)).ok();
        }
    };
    match copied {
        Copied::ByPidfd(copy) => answer(&job, file, ask(Ok((Method::Pidfd, copy)))).unwrap_or_else(not_given),
        Copied::Not(why) => answer(&job, file, ask(Err(why))).unwrap_or_else(not_given),
        Copied::ByTracer(stopped, copy) => match ask(Ok((Method::Ptrace, copy))) {
            Verdict::Pass | Verdict::PassToBind | Verdict::BindTo(_) => stopped.call_by_itself(),
            Verdict::Return(outcome) => stopped.return_with(outcome),
            Verdict::Replace(by) => {
                let mut stopped = stopped;
                match stopped.replace(file, &by.socket, by.close_on_exec) {
                    Ok(()) if by.calls => stopped.call_by_itself(),
                    Ok(()) => stopped.return_with(Ok(())),
                    Err(error) => {
                        stopped.call_by_itself();
                        not_given((by.socket, error));
                    }
                }
            }
        },
        Copied::Over(Some(why)) => drop(ask(Err(why))),
        Copied::Over(None) => {}
    }
    if let Some(socket) = bound_later.filter(|_| waits.get()) {
        wait_until_bound(&socket);
        drop(socket);
        heard.send(Heard::Bound).ok();
    }
}

/// UDP sockets are numbered by the order of their binds, which the program's thread does itself: the next one waits for this
/// one's. One that fails is not heard of, and is waited for in vain.
#[expect(
    clippy::disallowed_methods,
    reason = "not the supervisor's thread: the one that copies, which has nothing else to do"
)]
fn wait_until_bound(socket: &OwnedFd) {
    let begin = Instant::now();
    while begin.elapsed() < BIND && matches!(facts::name(socket), Ok(None)) {
        std::thread::sleep(PAUSE);
    }
}

/// The loop's verdict.
pub(super) fn hear(verdict: &mpsc::Receiver<Verdict>) -> Verdict {
    verdict.recv_timeout(PATIENCE).unwrap_or(Verdict::Pass)
}

/// Answers a call that waits in the kernel. An error: the program could not be given another socket, and the call has passed.
fn answer(job: &Job, file: i32, verdict: Verdict) -> Result<(), (OwnedFd, io::Error)> {
    let Job {
        notifications, call, ..
    } = job;
    let answered = match verdict {
        Verdict::Pass | Verdict::PassToBind | Verdict::BindTo(_) => notifications.let_pass(*call),
        Verdict::Return(outcome) => notifications.answer(*call, outcome),
        Verdict::Replace(by) => {
            use std::os::fd::AsFd;
            let flags = if by.close_on_exec { libc::O_CLOEXEC } else { 0 };
            let placed = notifications.replace(*call, by.socket.as_fd(), file, flags);
            match placed {
                Ok(()) if by.calls => notifications.let_pass(*call),
                Ok(()) => notifications.answer(*call, Ok(())),
                Err(error) => {
                    notifications.let_pass(*call).ok();
                    return Err((by.socket, error));
                }
            }
        }
    };
    if let Err(error) = answered {
        tracing::debug!(thread = call.thread, %error, "a call was over before it was answered");
    }
    Ok(())
}

/// What the call is about; `None` if that is for the kernel to judge.
fn look(job: &Job) -> Option<(Task, Want, i32, u64)> {
    let call = job.call;
    let (calls, task) = (NATIVE?, Task::new(call.thread)?);
    let file = arguments::file(call.arguments)?;
    let inode = task.inode(file).ok()?;
    let want = if call.number == calls.bind {
        let bytes = arguments::bind(call.arguments)?;
        let address = task.read(bytes.address, bytes.length).ok()?;
        match task.kind(file) {
            Ok(Kind::Udp) => Want::BindDatagrams(address),
            _ => Want::Bind(address),
        }
    } else if call.number == calls.listen {
        let backlog = arguments::backlog(call.arguments);
        match task.kind(file).ok()? {
            Kind::Unix => Want::ListenUnix(backlog, Bound::Nothing),
            Kind::Tcp | Kind::Udp | Kind::Other => Want::Listen(backlog),
        }
    } else {
        let setting = arguments::option(call.arguments)?;
        if setting.name == libc::SO_REUSEPORT {
            let bytes = task.read(setting.value.address, setting.value.length).ok()?;
            let value = bytes.get(..4)?.try_into().ok().map(i32::from_ne_bytes)?;
            Want::Share(value != 0)
        } else {
            Want::SteerByItself
        }
    };
    Some((task, want, file, inode))
}

/// Records what is set on a socket; `true` if that was all that the call was about.
fn record(shared: &Shared, job: &Job, records: &mut Records) -> bool {
    let (Some(calls), call) = (NATIVE, job.call) else {
        return false;
    };
    if call.number == calls.landlock_restrict_self {
        shared.restricted.store(true, Ordering::Relaxed);
        return true;
    }
    let socket = arguments::file(call.arguments).zip(Task::new(call.thread));
    let Some((file, task)) = socket else { return false };
    let Ok(inode) = task.inode(file) else { return false };
    if call.number == calls.setsockopt {
        let option = arguments::option(call.arguments).and_then(|setting| {
            let value = task.read(setting.value.address, setting.value.length).ok()?;
            Some(SocketOption {
                level: setting.level,
                name: setting.name,
                value,
            })
        });
        let shares = option
            .as_ref()
            .is_some_and(|it| it.level == libc::SOL_SOCKET && SHARING.contains(&it.name));
        match option {
            Some(option) => records.note(inode, option),
            None => records.note_beyond(inode),
        }
        // What decides about sharing is the loop's affair, too.
        return !shares;
    }
    let port = arguments::bind(call.arguments).and_then(|bytes| port_of(&task.read(bytes.address, PORT_KNOWN).ok()?));
    if call.number == calls.bind && port.is_none() {
        // It is bound from now on, to a port of the kernel's choice, or remains what it is.
        records.note_beyond(inode);
        return true;
    }
    false
}

/// What another socket would have to be, to be the same; `None` if that cannot be read.
fn known(shared: &Shared, task: &Task, file: i32, recorded: Recorded) -> Option<Known> {
    let family = match task.protocol(file).ok()?.as_str() {
        "TCP" => Family::Four,
        "TCPv6" => Family::Six,
        _ => return None,
    };
    if shared.restricted.load(Ordering::Relaxed) || !task.shares_namespace("net").ok()? {
        return None;
    }
    let may_bind = task.status.can(NET_BIND_SERVICE) && task.shares_namespace("user").ok()?;
    Some(Known {
        family,
        user: task.status.user,
        recorded,
        flags: task.flags(file).ok()?,
        may_bind,
    })
}

fn copy(shared: &Shared, job: &Job, task: &Task, file: i32, inode: u64) -> Copied {
    let by_pidfd = match pidfd::copy(task, file, inode) {
        Ok(copy) => return Copied::ByPidfd(copy),
        Err(error) => error,
    };
    if task.status.filters > shared.filters {
        return Copied::Not("it has a seccomp filter of its own, which might kill it for what segue made it do".into());
    }
    let seize = |seize: &dyn Fn() -> io::Result<()>| task.look(seize);
    let why = |by_tracer: &io::Error| format!("pidfd_getfd: {by_pidfd}; ptrace: {by_tracer}");
    match Stopped::stop(job.call, &job.notifications, repeat(shared, job.call.number), seize) {
        Ok(mut stopped) => match stopped.copy(file) {
            Ok(copy) => Copied::ByTracer(Box::new(stopped), copy),
            // It has died.
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Copied::Over(None),
            Err(error) => Copied::Over(Some(why(&error))),
        },
        Err(Refusal::Waiting(error)) => Copied::Not(why(&error)),
        Err(Refusal::Passed(error)) => Copied::Over(Some(why(&error))),
        Err(Refusal::Gone) => Copied::Over(None),
    }
}
