//! KEEPS what belongs to one generation: its process, its notification socket, its readiness task, its leftovers.

use std::{collections::HashSet, os::fd::OwnedFd, time::Instant};

use nix::unistd::Pid;
use tokio::task::AbortHandle;

use super::{
    draining::{Draining, Replaced},
    port::Port,
};
use crate::{
    control::status::Moment,
    handover::broker::Listens,
    process::{send, tree::Known},
    readiness::notify::NotifySocket,
};

/// A generation's things. Dropped when the machine releases it.
#[derive(Debug)]
pub(super) struct Generation {
    pub(super) main: Option<Main>,
    /// When it was ready.
    pub(super) ready: Option<Moment>,
    /// When it began, in clock ticks since boot.
    pub(super) began: u64,
    pub(super) notify: Option<NotifySocket>,
    /// Where its program is to listen, in proxy mode.
    pub(super) port: Option<Port>,
    pub(super) probing: Option<AbortHandle>,
    /// Where the child tells what became of its trap, until that was read.
    pub(super) channel: Option<OwnedFd>,
    /// Where it was seen to begin to listen.
    pub(super) listens: HashSet<Listens>,
    /// Which connections were its own when new ones began to go elsewhere.
    pub(super) replaced: Option<Replaced>,
    /// Since when it drains.
    pub(super) drains_since: Option<Instant>,
    /// Has it had SIGKILL?
    pub(super) killed: bool,
    /// Does the machine want to hear when its connections are finished?
    pub(super) draining: Option<Draining>,
    /// What its main process left behind and segue has told to go; `None` before that.
    pub(super) leftovers: Option<HashSet<i32>>,
}

/// The main process: the program, or before it the pre-start command.
#[derive(Debug)]
pub(super) struct Main {
    pub(super) pid: Pid,
    pub(super) pidfd: Option<OwnedFd>,
    /// Is it not reaped yet?
    pub(super) alive: bool,
}

impl Generation {
    pub(super) fn new() -> Generation {
        Generation {
            main: None,
            ready: None,
            began: send::ticks_since_boot(),
            notify: None,
            port: None,
            probing: None,
            channel: None,
            listens: HashSet::new(),
            replaced: None,
            drains_since: None,
            killed: false,
            draining: None,
            leftovers: None,
        }
    }

    /// The main process while it can be signalled.
    pub(super) fn living(&self) -> Option<&Main> {
        self.main.as_ref().filter(|main| main.alive)
    }

    /// Where its program is to listen, in proxy mode.
    pub(super) fn port(&self) -> Option<u16> {
        self.port.as_ref().map(|it| it.number)
    }

    pub(super) fn known(&self, generation: u64) -> Known {
        Known {
            generation,
            main: self.main.as_ref().map_or(0, |main| main.pid.as_raw()),
            alive: self.living().is_some(),
            began: self.began,
        }
    }

    pub(super) fn stop_probing(&mut self) {
        if let Some(task) = self.probing.take() {
            task.abort();
        }
    }
}

impl Drop for Generation {
    fn drop(&mut self) {
        self.stop_probing();
    }
}
