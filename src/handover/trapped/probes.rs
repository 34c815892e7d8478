//! LOOKS at the connects of a command that asks whether a generation is ready (`SEGUE_READY=exec:…`), so that they reach that
//! generation. Never at any other call of it, nor at any of a program.

use std::{
    io,
    os::fd::{OwnedFd, RawFd},
    sync::atomic::Ordering,
};

use super::{
    Trapped, Want, arguments,
    copier::Job,
    path_calls,
    task::{Kind, Task},
};
use crate::handover::paths::names::{self, Name};

/// The number under which a command's notifications are heard: this bit, its own number, and its generation's below.
const COMMAND: u64 = 1 << 63;
const GENERATION: u64 = u32::MAX as u64;

/// Is it a command's?
pub(super) fn is_command(number: u64) -> bool {
    number & COMMAND != 0
}

/// The generation that calls under this number are about.
pub(super) fn generation(number: u64) -> u64 {
    if is_command(number) {
        number & GENERATION
    } else {
        number
    }
}

impl Trapped {
    /// Hears of the connects of a command that asks whether the generation is ready, for as long as a process of it lives.
    pub fn add_command(&mut self, generation: u64, notifications: OwnedFd) -> io::Result<()> {
        let command = self.shared.commands.fetch_add(1, Ordering::Relaxed);
        let number = COMMAND | (command << 32 & !COMMAND) | (generation & GENERATION);
        self.add(number, notifications)
    }

    /// What tells calls that segue makes a thread repeat.
    #[must_use]
    pub fn cookie(&self) -> u64 {
        self.shared.cookie
    }
}

/// What the command wants; `None`: it connects to nothing that a generation could serve.
pub(super) fn look(job: &Job) -> Option<(Task, Want, RawFd, u64)> {
    let task = Task::new(job.call.thread)?;
    let file = arguments::file(job.call.arguments)?;
    let bytes = arguments::bind(job.call.arguments)?;
    let address = task.read(bytes.address, bytes.length).ok()?;
    let inode = task.inode(file).ok()?;
    let want = match task.kind(file).ok()? {
        Kind::Tcp if task.shares_namespace("net").ok()? => Want::Reach(address),
        Kind::Unix => match names::parse(&address)? {
            Name::Path(path) => Want::ReachPath(path_calls::resolve(&task, None, &path).ok()?),
            Name::Abstract(_) | Name::Nothing => return None,
        },
        Kind::Tcp | Kind::Udp | Kind::Other => return None,
    };
    Some((task, want, file, inode))
}
