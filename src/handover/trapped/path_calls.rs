//! LOOKS at calls that name a unix socket's path: binds, and for generations that come after another one unlinks and connects, too.
//! Those that name no path on which a program listens pass at the first look; of the others the loop is asked.

use std::{
    ffi::OsStr,
    io,
    os::{
        fd::{AsRawFd, OwnedFd, RawFd},
        unix::{ffi::OsStrExt, fs::MetadataExt},
    },
    path::Path,
    sync::{PoisonError, mpsc},
};

use nix::sys::socket::{UnixAddr, bind, getsockname};
use tokio::sync::mpsc::UnboundedSender;

use super::{
    Bound, Heard, Request, Shared, Verdict, Want, arguments,
    copier::{Job, hear},
    filter::{Calls, NATIVE},
    notification::Call,
    pidfd, repeat,
    task::{self, Task},
    tracer::{Refusal, Stopped},
};
use crate::handover::paths::{
    Target,
    directory::Directory,
    established,
    names::{self, Name},
};

/// Longer than any name of a socket, with room for a way to it that is none of the shortest.
const LONGEST: usize = 1024;
/// What is read in one go stays within a page.
const PAGE: u64 = 4096;
const PART: u64 = 128;

/// What is named, and how.
struct Named {
    does: Does,
    /// The directory from which a relative path begins; `None`: the thread's.
    from: Option<RawFd>,
    path: Vec<u8>,
}

enum Does {
    Bind,
    Unlink,
    Connect,
    /// From this path, and from this directory.
    Rename(Option<RawFd>, Vec<u8>),
}

/// Is the call one of those that are trapped because they name paths, and only for that?
pub(super) fn names_only(calls: Calls, number: u32) -> bool {
    calls.connect == number || calls.of_paths().any(|it| it == number)
}

/// May the call be about a path on which a program listens, as far as the last part of the name tells?
pub(super) fn may_matter(shared: &Shared, call: Call) -> bool {
    let known = shared.paths.lock().unwrap_or_else(PoisonError::into_inner);
    if known.is_empty() {
        return false;
    }
    let named = named(call);
    let name = named.as_ref().and_then(|it| names::split(&it.path));
    name.is_some_and(|(_, name)| known.iter().any(|it| it == name))
}

fn named(call: Call) -> Option<Named> {
    let calls = NATIVE?;
    let address = || {
        let bytes = arguments::bind(call.arguments)?;
        match names::parse(&read(call.thread, bytes.address, bytes.length).ok()?)? {
            Name::Path(path) => Some(path),
            Name::Abstract(_) | Name::Nothing => None,
        }
    };
    let (does, from, path) = if call.number == calls.bind {
        (Does::Bind, None, address()?)
    } else if call.number == calls.connect {
        (Does::Connect, None, address()?)
    } else if call.number == calls.unlinkat {
        let (from, name) = arguments::unlinkat(call.arguments)?;
        (Does::Unlink, from, text(call.thread, name)?)
    } else if calls.unlink == Some(call.number) {
        (
            Does::Unlink,
            None,
            text(call.thread, arguments::unlink(call.arguments))?,
        )
    } else {
        let ((old_from, old), (from, new)) = if calls.rename == Some(call.number) {
            arguments::rename(call.arguments)
        } else if call.number == calls.renameat {
            arguments::renameat(call.arguments)
        } else if call.number == calls.renameat2 {
            arguments::renameat2(call.arguments)?
        } else {
            return None;
        };
        (
            Does::Rename(old_from, text(call.thread, old)?),
            from,
            text(call.thread, new)?,
        )
    };
    Some(Named { does, from, path })
}

fn read(thread: i32, address: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    match task::read_memory(thread, address, &mut bytes) {
        Ok(()) => Ok(bytes),
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => {
            Task::new(thread).ok_or(error)?.read(address, length)
        }
        Err(error) => Err(error),
    }
}

/// A text that ends with a zero.
fn text(thread: i32, mut address: u64) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    while text.len() < LONGEST {
        let length = PART.min(PAGE - address % PAGE);
        let part = read(thread, address, usize::try_from(length).ok()?).ok()?;
        if let Some(end) = part.iter().position(|byte| *byte == 0) {
            text.extend(part.get(..end)?);
            return Some(text);
        }
        text.extend(part);
        address = address.checked_add(length)?;
    }
    None
}

/// Answers the call, if it is one of these.
pub(super) fn work(shared: &Shared, job: &Job, heard: &UnboundedSender<Heard>) -> bool {
    let Some(calls) = NATIVE.filter(|calls| names_only(*calls, job.call.number) || calls.bind == job.call.number)
    else {
        return false;
    };
    let named = named(job.call);
    if named.is_none() && job.call.number == calls.bind {
        return false;
    }
    if !try_work(shared, job, heard, named).unwrap_or(false) {
        job.notifications.let_pass(job.call).ok();
    }
    true
}

/// `false`: the call is to pass.
fn try_work(shared: &Shared, job: &Job, heard: &UnboundedSender<Heard>, named: Option<Named>) -> Option<bool> {
    let (Named { does, from, path }, task) = (named?, Task::new(job.call.thread)?);
    let target = resolve(&task, from, &path).ok()?;
    if !job.notifications.is_valid(job.call) {
        return None;
    }
    let file = arguments::file(job.call.arguments).unwrap_or(-1);
    let want = match does {
        Does::Bind => Want::BindPath(target),
        Does::Unlink => Want::Unlink(target),
        Does::Connect => Want::Connect(target),
        Does::Rename(from, path) => Want::Rename(resolve(&task, from, &path).ok()?, target),
    };
    let (reply, verdict) = mpsc::sync_channel(1);
    let request = Request {
        generation: job.generation,
        process: task.status.process,
        file,
        inode: 0,
        want,
        copy: Err(String::new()),
        known: None,
        reply,
    };
    heard.send(Heard::Request(Box::new(request))).ok();
    match hear(&verdict) {
        Verdict::Pass | Verdict::PassToBind | Verdict::Replace(_) => None,
        Verdict::Return(outcome) => Some(job.notifications.answer(job.call, outcome).is_ok()),
        Verdict::BindTo(path) => Some(bind_to(shared, job, &task, file, &path)),
    }
}

/// Binds the thread's socket to this path: by the thread itself, so that the file is its user's in every respect. Where it cannot be
/// made to, by segue, with its user and permissions.
fn bind_to(shared: &Shared, job: &Job, task: &Task, file: RawFd, path: &[u8]) -> bool {
    let Some(address) = names::address(path) else {
        return false;
    };
    if task.status.filters <= shared.filters {
        let seize = |seize: &dyn Fn() -> io::Result<()>| task.look(seize);
        match Stopped::stop(job.call, &job.notifications, repeat(shared, job.call.number), seize) {
            Ok(mut stopped) => {
                let bound = stopped.bind_to(file, &address);
                stopped.return_with(bound);
                return true;
            }
            Err(Refusal::Gone | Refusal::Passed(_)) => return true,
            Err(Refusal::Waiting(error)) => tracing::debug!(%error, "the program's thread cannot be made to bind"),
        }
    }
    match bind_for(task, file, path) {
        Ok(()) => job.notifications.answer(job.call, Ok(())).is_ok(),
        Err(error) => {
            tracing::warn!(%error, "cannot bind a unix socket beside the one of the generation before");
            false
        }
    }
}

fn bind_for(task: &Task, file: RawFd, path: &[u8]) -> io::Result<()> {
    let root = |whose: String| std::fs::metadata(whose).map(|it| (it.dev(), it.ino()));
    let same = task.look(|| root(format!("/proc/{}/root/", task.thread())))? == root("/".to_owned())?;
    if !(same && path.starts_with(b"/")) {
        return Err(io::Error::other("its path is not one of segue's own root"));
    }
    let copy = pidfd::copy(task, file, task.inode(file)?)?;
    let umask = task.umask()?;
    let address = UnixAddr::new(Path::new(OsStr::from_bytes(path)))?;
    crate::process::user::made_by(task.status.user, task.status.group, || {
        Ok(bind(copy.as_raw_fd(), &address)?)
    })?;
    let (parent, name) = names::split(path).ok_or(io::ErrorKind::InvalidInput)?;
    Directory::open(Path::new(OsStr::from_bytes(parent)))?.permit(name, 0o777 & !umask)
}

/// What a socket that is about to listen is bound to. Without a copy of it, the kernel's table tells.
pub(super) fn bound(task: &Task, inode: u64, copy: Option<&OwnedFd>) -> Bound {
    let name = match copy {
        Some(copy) => getsockname::<UnixAddr>(copy.as_raw_fd())
            .ok()
            .map(|it| match (it.path(), it.as_abstract()) {
                (Some(path), _) => Name::Path(path.as_os_str().as_bytes().to_vec()),
                (None, Some(name)) => {
                    let address = [&1_u16.to_ne_bytes()[..], &[0], name].concat();
                    names::parse(&address).unwrap_or(Name::Nothing)
                }
                (None, None) => Name::Nothing,
            }),
        None => name_in_table(inode),
    };
    match name {
        Some(Name::Path(path)) => match resolve(task, None, &path) {
            Ok(target) => Bound::Path(where_it_is(target, inode)),
            Err(_) => Bound::Nothing,
        },
        Some(Name::Abstract(name)) => Bound::Abstract(name),
        Some(Name::Nothing) | None => Bound::Nothing,
    }
}

/// A socket that was bound to one name may have been given another one since.
fn where_it_is(target: Target, inode: u64) -> Target {
    if !matches!(target.directory.look(&target.name), Ok(None)) {
        return target;
    }
    let file = established::file_of(inode).ok().flatten();
    let name = file.and_then(|file| target.directory.find(file));
    let Some(name) = name else { return target };
    let said = target.path.strip_suffix(&target.name[..]).unwrap_or_default();
    Target {
        path: [said, &name].concat(),
        name,
        ..target
    }
}

/// The name of the unix socket with this inode (proc(5), net/unix): `… INODE NAME`, an abstract one with `@` for zeros.
fn name_in_table(inode: u64) -> Option<Name> {
    let table = std::fs::read("/proc/self/net/unix").ok()?;
    let mut lines = table.split(|byte| *byte == b'\n');
    lines.find_map(|line| {
        let mut rest = line;
        let mut field = None;
        for _ in 0..7 {
            let trimmed = rest.trim_ascii_start();
            let end = trimmed.iter().position(|byte| *byte == b' ').unwrap_or(trimmed.len());
            (field, rest) = (trimmed.get(..end), trimmed.get(end..).unwrap_or_default());
        }
        let found = std::str::from_utf8(field?).ok()?.parse::<u64>().ok()? == inode;
        found.then(|| match rest.trim_ascii_start() {
            [] => Name::Nothing,
            [b'@', name @ ..] => Name::Abstract(name.to_vec()),
            path => Name::Path(path.to_vec()),
        })
    })
}

/// The directory that a path of the thread's leads to, and the name there.
pub(super) fn resolve(task: &Task, from: Option<RawFd>, path: &[u8]) -> io::Result<Target> {
    let (directory, name) = names::split(path).ok_or(io::ErrorKind::InvalidInput)?;
    let thread = task.thread();
    let begin = match from {
        _ if path.starts_with(b"/") => format!("/proc/{thread}/root"),
        Some(from) => format!("/proc/{thread}/fd/{from}/"),
        None => format!("/proc/{thread}/cwd/"),
    };
    let whole = [begin.as_bytes(), directory].concat();
    let directory = task.look(|| Directory::open(Path::new(OsStr::from_bytes(&whole))))?;
    Ok(Target {
        directory,
        name: name.to_vec(),
        path: path.to_vec(),
    })
}
