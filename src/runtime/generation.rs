//! KEEPS what belongs to one generation: its process, its notification socket, its readiness task, its leftovers.

use std::{
    collections::{HashSet, VecDeque},
    os::fd::OwnedFd,
    time::{Instant, SystemTime},
};

use nix::unistd::Pid;
use tokio::task::AbortHandle;

use super::{
    draining::{Draining, Replaced},
    own_sockets::Listens,
    port::Port,
};
use crate::{
    control::status::Moment,
    handover::{listener::Place, paths::quiet::Quiet, trapped::Method},
    machine::Ending,
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
    /// The same, as files tell when they were made.
    pub(super) began_at: SystemTime,
    pub(super) notify: Option<NotifySocket>,
    /// Where its program is to listen, in proxy mode.
    pub(super) port: Option<Port>,
    pub(super) probing: Option<AbortHandle>,
    /// Where the child tells what became of its trap, until that was read.
    pub(super) channel: Option<OwnedFd>,
    /// The same, of its readiness command.
    pub(super) probe_channel: Option<OwnedFd>,
    /// How many of its listeners were looked at for whether another socket could take their place.
    pub(super) exchange_looks: u32,
    /// For one of them, none could.
    pub(super) hinders_exchange: bool,
    /// Where it was seen to begin to listen.
    pub(super) listens: HashSet<Listens>,
    /// When it was last looked whether it listens unseen.
    pub(super) looked_at: Option<Instant>,
    /// When it first began to.
    pub(super) first_listen: Option<Instant>,
    /// How segue came by its listening sockets.
    pub(super) method: Option<Method>,
    /// Why a socket of its program cannot be handed over.
    pub(super) passed: Option<String>,
    /// Sockets that segue has allowed to share their address, without their program's having asked for it; by inode.
    pub(super) opened: VecDeque<u64>,
    /// Why sockets that were bound could not be exchanged; by inode.
    pub(super) not_exchanged: VecDeque<(u64, String)>,
    /// UDP sockets that cannot be handed over, by inode: where they were bound, and why.
    pub(super) passed_datagrams: VecDeque<(u64, Place, String)>,
    /// Places where it was seen to take datagrams long after it was ready.
    pub(super) late_datagrams: HashSet<Place>,
    /// When it is ready by taking datagrams alone.
    pub(super) settles: Option<Instant>,
    /// Sockets that have a steering program of the program's own.
    pub(super) steers_itself: HashSet<u64>,
    /// Which connections were its own when new ones began to go elsewhere.
    pub(super) replaced: Option<Replaced>,
    /// When it was ready, in clock ticks since boot.
    pub(super) ready_at: Option<u64>,
    /// Connections that one of its processes serves alone, once that was looked at in its drain.
    pub(super) sessions: Option<HashSet<u64>>,
    /// Since when it drains.
    pub(super) drains_since: Option<Instant>,
    /// When it got the stop signal.
    pub(super) told_to_end: Option<Instant>,
    /// How its program ended.
    pub(super) ending: Option<Ending>,
    /// Is it the first to go when memory is short?
    pub(super) expendable: bool,
    /// Has it had SIGKILL?
    pub(super) killed: bool,
    /// What was seen of its connections on unix sockets.
    pub(super) quiet: Quiet,
    /// Does the machine want to hear when its connections are finished?
    pub(super) draining: Option<Draining>,
    /// What its main process left behind and segue has told to go; `None` before that.
    pub(super) leftovers: Option<HashSet<i32>>,
    /// Had some of that to be caught, because it forked faster than it was looked for?
    pub(super) caught: bool,
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
            began_at: SystemTime::now(),
            notify: None,
            port: None,
            probing: None,
            channel: None,
            probe_channel: None,
            exchange_looks: 0,
            hinders_exchange: false,
            listens: HashSet::new(),
            looked_at: None,
            first_listen: None,
            method: None,
            passed: None,
            opened: VecDeque::new(),
            not_exchanged: VecDeque::new(),
            passed_datagrams: VecDeque::new(),
            late_datagrams: HashSet::new(),
            settles: None,
            steers_itself: HashSet::new(),
            replaced: None,
            ready_at: None,
            sessions: None,
            drains_since: None,
            told_to_end: None,
            ending: None,
            expendable: false,
            killed: false,
            quiet: Quiet::default(),
            draining: None,
            leftovers: None,
            caught: false,
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
