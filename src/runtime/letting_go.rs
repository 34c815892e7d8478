//! NOTICES that a program has let go of a listening socket of which segue has a copy: no process accepts there any more, and the
//! copy alone would keep connections coming. While nothing comes, nothing is looked at.

use std::{
    collections::{HashMap, HashSet},
    io,
    os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use nix::{
    sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout},
    unistd::Pid,
};
use tokio::io::unix::AsyncFd;

use super::Supervisor;
use crate::{
    handover::{
        group::Held,
        holders::{self, Holders},
        listener::Place,
        refuser::Refuser,
    },
    process::{files, send, tree},
};

/// Between two looks at a queue in which connections wait.
const INTERVAL: Duration = Duration::from_millis(100);
/// The longest pause between two looks at a queue that its holder does not empty: a program that is busy.
const LONGEST: Duration = Duration::from_secs(5);

/// What tells a process from an inode, which is smaller.
const OF_PROCESS: u64 = 1 << 63;

/// Between a bind and the listen that follows. It mostly follows at once.
const REOPENS_WITHIN: Duration = Duration::from_millis(300);

/// The queues of the programs' own sockets.
#[derive(Debug, Default)]
pub(super) struct Queues {
    epoll: Option<AsyncFd<Own>>,
    /// Those that the epoll knows, by inode, with the number of segue's copy.
    armed: HashMap<u64, RawFd>,
    /// Processes that listen.
    holders: HashMap<i32, OwnedFd>,
    /// Those in which connections were seen to wait.
    suspects: HashMap<u64, Suspect>,
    /// Closed ones whose address is being bound again, and how long connections wait there for that.
    reopening: Vec<(u64, Instant)>,
    /// How many sockets have joined since the last look at what was closed, and how many there were then.
    joined: usize,
    there_were: usize,
}

/// The least number of sockets that join between two looks at what was closed.
const SWEEP: usize = 64;

#[derive(Debug)]
struct Suspect {
    queued: u32,
    next_look: Instant,
    pause: Duration,
}

/// A one-shot watch each; tokio would watch for ever.
#[derive(Debug)]
struct Own(Epoll);

impl AsRawFd for Own {
    fn as_raw_fd(&self) -> RawFd {
        self.0.0.as_raw_fd()
    }
}

impl Queues {
    fn watch(&mut self, inode: u64, socket: BorrowedFd<'_>) {
        let known = self.armed.get(&inode) == Some(&socket.as_raw_fd()) || self.suspects.contains_key(&inode);
        if !known && let Err(error) = self.arm(inode, socket) {
            tracing::warn!(%error, "cannot watch the queue of a listening socket");
        }
    }

    fn arm(&mut self, inode: u64, socket: BorrowedFd<'_>) -> io::Result<()> {
        if self.epoll.is_none() {
            self.epoll = Some(files::watch(Own(Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?))?);
        }
        let Some(epoll) = &self.epoll else { return Ok(()) };
        let mut once = EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLONESHOT, inode);
        match epoll.get_ref().0.add(socket, once) {
            Err(nix::Error::EEXIST) => epoll.get_ref().0.modify(socket, &mut once)?,
            added => added?,
        }
        self.armed.insert(inode, socket.as_raw_fd());
        Ok(())
    }
}

impl Supervisor {
    /// Watches the queues of this address, too. (Programs may have very many others.)
    pub(super) fn watch_queues_at(&mut self, place: &Place) {
        for (inode, socket) in self.sockets.watched_at(place) {
            self.queues.watch(inode, socket);
        }
    }

    /// Watches the queues of those who get connections, and no others.
    pub(super) fn watch_queues(&mut self) {
        let queues = &mut self.queues;
        let mut wanted = HashSet::new();
        for (inode, socket) in self.sockets.watched().chain(self.paths.watched()) {
            wanted.insert(inode);
            queues.watch(inode, socket);
        }
        queues.armed.retain(|inode, _| wanted.contains(inode));
        queues.suspects.retain(|inode, _| wanted.contains(inode));
    }

    /// The end of a process that listens is heard of at once.
    pub(super) fn watch_holder(&mut self, process: i32) {
        let queues = &mut self.queues;
        let (Some(epoll), false) = (&queues.epoll, queues.holders.contains_key(&process)) else {
            return;
        };
        // Where processes cannot be held (before Linux 5.3), traffic shows it.
        let Some(held) = send::hold(Pid::from_raw(process)) else {
            return;
        };
        let event = EpollEvent::new(EpollFlags::EPOLLIN, OF_PROCESS | u64::from(process.unsigned_abs()));
        match epoll.get_ref().0.add(&held, event) {
            Ok(()) => drop(queues.holders.insert(process, held)),
            Err(error) => tracing::debug!(%error, "cannot watch a process that listens"),
        }
    }

    /// Notices connections that begin to wait, and processes that end.
    pub(super) fn poll_queues(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let (mut any, mut ended) = (false, Vec::new());
        while let Some(epoll) = &self.queues.epoll
            && let Poll::Ready(Ok(mut guard)) = epoll.poll_read_ready(context)
        {
            let mut events = [EpollEvent::empty(); 16];
            let count = epoll.get_ref().0.wait(&mut events, EpollTimeout::ZERO).unwrap_or(0);
            if count == 0 {
                guard.clear_ready();
                continue;
            }
            for event in events.iter().take(count) {
                let data = event.data();
                if data & OF_PROCESS != 0 {
                    let process = i32::try_from(data & !OF_PROCESS).unwrap_or(0);
                    if let Some(held) = self.queues.holders.remove(&process) {
                        let removed = epoll.get_ref().0.delete(&held);
                        tracing::trace!(?removed, "a process that listened has ended");
                    }
                    ended.push(process);
                } else if self.queues.armed.contains_key(&data) {
                    any = true;
                    self.queues.suspects.entry(data).or_insert(Suspect {
                        queued: 0,
                        next_look: Instant::now() + INTERVAL,
                        pause: INTERVAL,
                    });
                }
            }
        }
        any |= !ended.is_empty();
        for process in ended {
            self.look_at_sockets_of(process);
        }
        if any { Poll::Ready(()) } else { Poll::Pending }
    }

    /// When a queue is to be looked at again.
    pub(super) fn next_look_at_queues(&self) -> Option<Instant> {
        let of_suspects = self.queues.suspects.values().map(|suspect| suspect.next_look);
        let of_closed = self.queues.reopening.iter().map(|it| it.1);
        of_suspects.chain(of_closed).chain(self.next_look_at_datagrams()).min()
    }

    /// Looks at the queues that are due: one that stands still, and that no process holds, is abandoned.
    pub(super) fn look_at_queues(&mut self) {
        let now = Instant::now();
        if self.next_look_at_queues().is_none_or(|at| at > now) {
            return;
        }
        self.look_at_datagrams(now);
        self.stop_waiting_for_reopening(now);
        let held: HashMap<u64, Held> = self.held().into_iter().map(|it| (it.inode, it)).collect();
        let mut stagnant = Vec::new();
        let mut moving = Vec::new();
        for (inode, suspect) in &mut self.queues.suspects {
            let waiting = || {
                self.sockets
                    .waiting_in(*inode)
                    .or_else(|| self.paths.waiting_in(*inode))
            };
            let (Some(it), Some(queued)) = (held.get(inode), waiting()) else {
                moving.push(*inode);
                continue;
            };
            // All are looked at in one go, so that very many make no more wake-ups than one.
            if queued == 0 {
                moving.push(*inode);
            } else if suspect.next_look <= now {
                let stands = suspect.queued > 0 && queued >= suspect.queued;
                suspect.queued = queued;
                if stands {
                    stagnant.push(*it);
                    suspect.pause = (suspect.pause * 2).min(LONGEST);
                } else {
                    suspect.pause = INTERVAL;
                }
                suspect.next_look = now + suspect.pause;
            }
        }
        for inode in moving {
            self.queues.suspects.remove(&inode);
            self.queues.armed.remove(&inode);
        }
        self.let_go_of(stagnant);
        self.watch_queues();
    }

    /// A process has ended: what it alone held is abandoned.
    pub(super) fn look_at_sockets_of(&mut self, ended: i32) {
        if !self.sockets.is_holder(ended) && !self.paths.is_holder(ended) {
            return;
        }
        let held = self.held();
        let its: Vec<Held> = held.into_iter().filter(|it| it.holder.0 == ended).collect();
        // A generation that is over as a whole leaves its sockets to the next one. (It may not be reaped yet.)
        let over = |it: &Held| {
            let main = self.generations.get(&it.generation).and_then(|own| own.living());
            main.is_none_or(|main| main.pid.as_raw() == ended)
        };
        let its: Vec<Held> = its.into_iter().filter(|it| !over(it)).collect();
        if !its.is_empty() {
            self.let_go_of(its);
            self.watch_queues();
        }
    }

    /// Before this generation's bind of an address: what it has closed there must not be in the way.
    pub(super) fn let_go_of_closed(&mut self, generation: u64, place: &Place) {
        let held = self.sockets.held(Some(place));
        let own: Vec<Held> = held.into_iter().filter(|it| it.generation == generation).collect();
        for closed in self.closed_among(own) {
            // It closes and opens it again: who comes meanwhile waits for that.
            // (With no connection waiting, and no listener replaced, it is left alone, as without segue.)
            let waits = self.sockets.waiting_in(closed.inode).unwrap_or(0) > 0;
            let matters = waits || self.generations.len() > 1 || self.has_just_replaced(generation);
            if matters && self.sockets.keep_waiting(closed.inode, Some(place)) {
                self.reopens(closed.inode);
            } else {
                self.abandon(closed);
            }
        }
    }

    /// A generation that has begun a moment ago, and whose predecessor's clients come to it.
    fn has_just_replaced(&self, generation: u64) -> bool {
        let ready = self.generations.get(&generation).and_then(|it| it.ready);
        let young = ready.is_none_or(|at| at.ago(std::time::SystemTime::now()) < self.settings.stable_delay);
        generation > 1 && young
    }

    fn reopens(&mut self, inode: u64) {
        self.note_reopened(inode);
        self.queues.reopening.push((inode, Instant::now() + REOPENS_WITHIN));
    }

    /// The program listens there again.
    pub(super) fn note_reopened(&mut self, inode: u64) {
        self.queues.reopening.retain(|it| it.0 != inode);
    }

    /// A program that has bound an address again does not listen there: who waits for that has waited long enough.
    fn stop_waiting_for_reopening(&mut self, now: Instant) {
        let (due, later): (Vec<_>, Vec<_>) = self.queues.reopening.iter().copied().partition(|it| it.1 <= now);
        self.queues.reopening = later;
        for (inode, _) in due {
            if !self.sockets.is_waiting(inode) {
                continue;
            }
            let generation = self.state.current().unwrap_or_default();
            self.abandon(Held {
                inode,
                generation,
                holder: (0, -1),
            });
        }
    }

    /// With so many sockets, some are likely to be closed: a program that opens and closes them without end.
    pub(super) fn sweep(&mut self, generation: u64) {
        self.queues.joined += 1;
        if self.queues.joined >= self.queues.there_were.max(SWEEP) {
            self.let_go_of_all_closed(generation);
            let there_are = self.sockets.bound_by(generation) + self.paths.listeners(generation).len();
            (self.queues.joined, self.queues.there_were) = (0, there_are);
        }
    }

    /// The same for all of its addresses.
    pub(super) fn let_go_of_all_closed(&mut self, generation: u64) {
        let own = self
            .held()
            .into_iter()
            .filter(|it| it.generation == generation)
            .collect();
        self.let_go_of(own);
        self.watch_queues();
    }

    /// Drops those among these sockets that no process holds any more.
    pub(super) fn let_go_of(&mut self, sockets: Vec<Held>) {
        for closed in self.closed_among(sockets) {
            // A program that has just begun may be about to open it again.
            let young = self.has_just_replaced(closed.generation);
            if young && self.sockets.keep_waiting(closed.inode, None) {
                self.reopens(closed.inode);
            } else {
                self.abandon(closed);
            }
        }
    }

    /// Those among these sockets that no process holds any more.
    pub(super) fn closed_among(&mut self, sockets: Vec<Held>) -> Vec<Held> {
        let mut doubtful = Vec::new();
        for it in sockets {
            // The one that had it last is asked first; mostly it has it still, under the same number.
            match holders::has(it.holder.0, it.holder.1, it.inode) {
                Some(true) => {}
                // It lives, and is closed to segue: it changed its user, say.
                None => {}
                Some(false) => doubtful.push(it),
            }
        }
        if doubtful.is_empty() {
            return Vec::new();
        }
        let generations: HashSet<u64> = doubtful.iter().map(|it| it.generation).collect();
        let processes: Vec<i32> = generations.iter().flat_map(|it| self.program_processes(*it)).collect();
        let mut holders = Holders::among(processes.iter().copied());
        let is_found = |holders: &Holders| doubtful.iter().all(|it| holders.found.contains_key(&it.inode));
        if !is_found(&holders) {
            // A socket may have been passed on to a process that segue cannot recognise as the program's.
            let own = nix::unistd::getpid().as_raw();
            let others = tree::all().into_iter();
            let others = others.filter(|process| *process != own && !processes.contains(process));
            holders.found.extend(Holders::among(others).found);
        }
        let (held, closed): (Vec<Held>, Vec<Held>) = doubtful
            .into_iter()
            .partition(|it| holders.found.contains_key(&it.inode));
        for it in held {
            if let Some(holder) = holders.found.get(&it.inode) {
                self.sockets.note_holder(it.inode, *holder);
                self.paths.note_holder(it.inode, *holder);
            }
        }
        closed
    }

    pub(super) fn abandon(&mut self, it: Held) {
        if let Some(place) = self.sockets.datagrams.abandon(it.inode) {
            return self.note_closed_datagrams(it.generation, place);
        }
        let Some((place, reset)) = self.sockets.abandon(it.inode) else {
            return self.abandon_path(it);
        };
        self.refusers.retain(Refuser::listens);
        let (reset, error) = match reset {
            Ok(reset) => (reset, None),
            Err(error) => (0, Some(error.to_string())),
        };
        tracing::info!(
            generation = it.generation,
            address = %place,
            reset,
            error,
            "the program has closed a listening socket, which gets no connections any more"
        );
        self.tell_ports();
    }

    /// From now on binds of our groups' ports, and no others, are asked about.
    pub(super) fn tell_ports(&self) {
        if let Some(calls) = &self.calls {
            calls.trapped.set_ports(self.sockets.ports());
            calls.trapped.leave_ports(self.sockets.datagrams.left());
        }
    }
}
