//! RECEIVES every call the moment it is made, and lets those pass at once that are no business of segue's: what decides is
//! looked at first that costs the least.
//!
//! Two threads take turns: one receives. When it has received a call of which a copy is needed, the other receives from then
//! on, and it makes the copy itself, so that no call waits for a thread to be woken up but for the one that receives it.

use std::{
    io,
    os::fd::AsFd,
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
};

use nix::sys::{
    epoll::{EpollEvent, EpollFlags, EpollTimeout},
    prctl,
};
use tokio::sync::mpsc::UnboundedSender;

use super::{
    Heard, Shared,
    address::{PORT_KNOWN, port_of},
    arguments,
    copier::{Copier, Job},
    filter::NATIVE,
    notification::{Call, Notifications},
    path_calls, probes,
    task::{self, Kind, Task},
};
use crate::process::sigset;

/// What the first look says.
enum Look {
    /// The program does it.
    Pass,
    /// The loop is asked, with a copy of the socket.
    Ask,
    /// The program does it, and the loop hears that it listens on what could not be looked at.
    Unseen(io::Error),
}

/// Enough for a thread that keeps nothing on its stack.
const STACK: usize = 128 * 1024;

/// Who receives, and who copies: at any time one thread at most each.
#[derive(Debug, Default)]
struct Roles {
    receiving: Mutex<()>,
    copier: Copier,
}

/// Begins both threads. Signals are the loop's.
pub(super) fn begin(shared: &Arc<Shared>, heard: &UnboundedSender<Heard>) -> io::Result<()> {
    let roles = Arc::new(Roles::default());
    // The first is told to go on when there is a second, and ends if there is none.
    let (go_on, may_go_on) = mpsc::sync_channel(1);
    let thread = || thread::Builder::new().name("calls".into()).stack_size(STACK);
    let parts = || (Arc::clone(&roles), Arc::clone(shared), heard.clone());
    let (of_first, of_second) = (parts(), parts());
    thread().spawn(move || {
        sigset::block_all();
        if may_go_on.recv().is_ok() {
            run(&of_first.0, &of_first.1, &of_first.2);
        }
    })?;
    thread().spawn(move || {
        sigset::block_all();
        run(&of_second.0, &of_second.1, &of_second.2);
    })?;
    // The first has ended if this fails; the second does all then.
    go_on.send(()).ok();
    Ok(())
}

fn run(roles: &Roles, shared: &Shared, heard: &UnboundedSender<Heard>) {
    // The pauses of `tracer` are much shorter than the 50 µs by which the kernel may lengthen each.
    let exact = prctl::set_timerslack(1);
    tracing::trace!(?exact, "a thread for the program's calls begins");
    loop {
        let receives = roles.receiving.lock().unwrap_or_else(PoisonError::into_inner);
        let job = next_job(shared, heard);
        // The other one receives while this one copies. If the other one copies, it takes this job, too.
        drop(receives);
        if let Some(job) = job {
            roles.copier.add(job, shared, heard);
        }
    }
}

/// Lets calls pass until one comes that is not to.
fn next_job(shared: &Shared, heard: &UnboundedSender<Heard>) -> Option<Job> {
    loop {
        let (generation, notifications, call) = next_call(shared, EpollTimeout::NONE)?;
        let looked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| look(shared, generation, call)));
        match looked.unwrap_or(Look::Pass) {
            Look::Pass => let_pass(&notifications, call),
            Look::Unseen(error) => {
                let_pass(&notifications, call);
                // The loop outlives its threads.
                heard.send(Heard::Unseen(generation, error.to_string())).ok();
            }
            Look::Ask => {
                return Some(Job {
                    generation,
                    notifications,
                    call,
                });
            }
        }
    }
}

/// Without threads: nothing is looked at.
pub(super) fn let_all_pass(shared: &Shared) {
    while let Some((_, notifications, call)) = next_call(shared, EpollTimeout::ZERO) {
        let_pass(&notifications, call);
    }
}

fn let_pass(notifications: &Notifications, call: Call) {
    if let Err(error) = notifications.let_pass(call) {
        tracing::debug!(thread = call.thread, %error, "a call was over before it was answered");
    }
}

/// The next call of any generation; `None`: there is none yet. One thread asks at a time: RECV waits if there is nothing, and
/// what the epoll says must still be true then.
fn next_call(shared: &Shared, patience: EpollTimeout) -> Option<(u64, Arc<Notifications>, Call)> {
    loop {
        // One event, so that generations take turns.
        let mut events = [EpollEvent::empty(); 1];
        shared
            .epoll
            .wait(&mut events, patience)
            .ok()
            .filter(|count| *count > 0)?;
        let [event] = events;
        let generation = event.data();
        let Some(notifications) = shared.notifications(generation) else {
            continue;
        };
        if !event.events().contains(EpollFlags::EPOLLIN) {
            // No process is left that could make a call.
            let removed = shared.epoll.delete(notifications.as_fd());
            tracing::trace!(?removed, generation, "its calls are over");
            if probes::is_command(generation) {
                shared.forget(generation);
            }
            continue;
        }
        match notifications.receive() {
            Ok(call) => return Some((generation, notifications, call)),
            // It died, or a signal ended its call.
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {}
            Err(error) => tracing::warn!(%error, "cannot read a notification of the program's calls"),
        }
    }
}

fn look(shared: &Shared, generation: u64, call: Call) -> Look {
    let Some(calls) = NATIVE else { return Look::Pass };
    if probes::is_command(generation) {
        return Look::Ask;
    }
    if path_calls::names_only(calls, call.number) || call.number == calls.bind {
        if path_calls::may_matter(shared, call) {
            return Look::Ask;
        }
        if call.number != calls.bind {
            return Look::Pass;
        }
    }
    let Some(file) = arguments::file(call.arguments) else {
        return Look::Pass;
    };
    let kind = || {
        let kind = task::kind(call.thread, file);
        kind.or_else(|error| match error.raw_os_error() {
            Some(libc::EACCES) => Task::new(call.thread).ok_or(error)?.kind(file),
            _ => Err(error),
        })
    };
    if call.number == calls.landlock_restrict_self {
        return Look::Ask;
    }
    if call.number == calls.bind {
        if shared.exchanges {
            // There is no second chance, and a socket that the kernel binds is one that cannot be exchanged.
            return match kind() {
                Ok(Kind::Tcp) => Look::Ask,
                Ok(Kind::Udp) => look_at_datagrams(shared, generation, port(call)),
                _ => Look::Pass,
            };
        }
        let Some(port) = port(call) else { return Look::Pass };
        let (known, ephemeral) = (shared.ports.has(port), shared.is_ephemeral(port));
        match kind() {
            Ok(Kind::Tcp) if known || ephemeral => {}
            Ok(Kind::Udp) => return look_at_datagrams(shared, generation, Some(port)),
            _ => return Look::Pass,
        }
        if ephemeral {
            // It is a server's if it listens later.
            let inode = Task::new(call.thread).and_then(|task| task.inode(file).ok());
            inode.into_iter().for_each(|inode| shared.note_chosen(inode));
        }
        return if known { Look::Ask } else { Look::Pass };
    }
    match kind() {
        Ok(Kind::Tcp) => Look::Ask,
        Ok(Kind::Udp) if call.number == calls.setsockopt && !shared.exchanges => Look::Ask,
        Ok(Kind::Unix) if call.number == calls.listen => Look::Ask,
        Err(error) if call.number == calls.listen && error.kind() != io::ErrorKind::NotFound => Look::Unseen(error),
        Ok(Kind::Udp | Kind::Unix | Kind::Other) | Err(_) => Look::Pass,
    }
}

/// UDP sockets are members of a group from their bind on, so the first of a port is asked about, too; but not without end: a
/// program that asks others from a port of its own choice each time (a resolver) is not kept waiting.
fn look_at_datagrams(shared: &Shared, generation: u64, port: Option<u16>) -> Look {
    match port {
        Some(port) if shared.left.has(port) => Look::Pass,
        Some(port) if shared.ports.has(port) || shared.may_ask_about(generation, port) => Look::Ask,
        Some(_) | None => Look::Pass,
    }
}

/// The port of a bind; `None` if it is no internet address, or leaves the port to the kernel.
fn port(call: Call) -> Option<u16> {
    let whole = arguments::bind(call.arguments)?;
    let mut bytes = [0; PORT_KNOWN];
    match task::read_memory(call.thread, whole.address, &mut bytes) {
        Ok(()) => {}
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => {
            let read = Task::new(call.thread)?.read(whole.address, PORT_KNOWN).ok()?;
            bytes.iter_mut().zip(read).for_each(|(to, from)| *to = from);
        }
        Err(_) => return None,
    }
    port_of(&bytes)
}
