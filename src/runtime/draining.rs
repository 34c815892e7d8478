//! WAITS until the connections of a generation are finished: those in its accept queues, half-open ones, and where the
//! program does not do so itself, those that are busy. Refuses new ones when nobody comes after it.

use std::{
    collections::{BTreeSet, HashSet},
    net::SocketAddr,
    time::{Duration, Instant},
};

use super::Supervisor;
use crate::{
    handover::{
        census::{self, Census, Connection},
        listening,
        paths::quiet::Quiet,
    },
    machine::Event,
    process::status,
    settings::value::DrainMode,
};

/// Time between two looks at the connections.
pub(super) const INTERVAL: Duration = Duration::from_millis(20);
/// With so many connections that a look takes long, looking takes one part in so many of the time; and in the last part of it, when a
/// moment counts that is soon over.
const SHARE: u32 = 10;
const LAST_SHARE: u32 = 2;
/// Where half-open connections cannot be seen: how long one may take to end up in the old queue, which is a round trip.
const SETTLE: Duration = Duration::from_millis(250);

/// In the last part of the time, one of so many, a moment at which nothing is under way is enough: connections that are never
/// quiet for long are closed between two requests then, and not at the deadline, within one.
const LAST_PART: u32 = 3;

/// In the final stop that part begins after so long at the latest, unless `SEGUE_DRAIN_TIMEOUT` is set. A stream without end (server-sent
/// events) is never quiet, and `docker stop` kills after ten seconds: what is left of them is the program's, for its own cleanup.
const LAST_PART_OF_THE_FINAL_STOP: Duration = Duration::from_secs(5);

/// So long busy connections are believed to be the generation's, before it is looked who holds them, which costs more.
const BELIEVED: Duration = Duration::from_secs(1);

/// Which connections were the generation's when new ones began to go elsewhere.
#[derive(Debug)]
pub(super) struct Replaced {
    at: Instant,
    /// Handshakes under way, which end up in its queue; `None` = they cannot be seen.
    pub(super) half_open: Option<HashSet<(SocketAddr, SocketAddr)>>,
    /// What tells its connections from all others, if they can be told.
    pub(super) connections: Option<HashSet<u64>>,
    /// Is segue to wait for them?
    waits: bool,
}

impl Draining {
    pub(super) fn begin() -> Draining {
        Draining {
            since: Instant::now(),
            last_part_at: None,
            next_look: Instant::now(),
            quiet: false,
            no_datagrams_since: None,
            ask_whose_at: Some(Instant::now() + BELIEVED),
        }
    }
}

/// A wait under way.
#[derive(Debug)]
pub(super) struct Draining {
    since: Instant,
    /// When its last part begins at the latest.
    last_part_at: Option<Instant>,
    next_look: Instant,
    /// Was nobody busy at the last look?
    quiet: bool,
    /// Since when no datagram waits for it.
    pub(super) no_datagrams_since: Option<Instant>,
    /// When it is looked whose the busy ones really are; `None` once that was done.
    pub(super) ask_whose_at: Option<Instant>,
}

impl Replaced {
    /// Is it one of them?
    pub(super) fn owns(&self, connection: &Connection) -> bool {
        let ends = (connection.local, connection.remote);
        let completed = self
            .half_open
            .as_ref()
            .is_some_and(|handshakes| handshakes.contains(&ends));
        let known = self
            .connections
            .as_ref()
            .is_some_and(|known| known.contains(&connection.cookie));
        known || completed
    }
}

impl Supervisor {
    /// Does the program finish its connections itself when it gets the stop signal?
    pub(super) fn drains_itself(&self, generation: u64) -> bool {
        match self.settings.drain {
            DrainMode::Signal => true,
            DrainMode::Connections => false,
            DrainMode::Auto => {
                let main = self.generations.get(&generation).and_then(|it| it.living());
                let status = main.and_then(|main| status::of(main.pid.as_raw()));
                status.is_none_or(|status| status.handles(self.settings.stop_signal().number()))
            }
        }
    }

    /// The local ports whose connections count: those of the groups, or where there are none, those that the program
    /// listens on by itself. A program that closes its listeners to finish its connections has them still.
    pub(super) fn ports(&mut self, generation: u64) -> BTreeSet<u16> {
        let mut ports = BTreeSet::new();
        ports.extend(self.sockets.places().iter().map(|place| place.address.port()));
        if ports.is_empty() {
            ports.extend(listening::ports(&self.program_processes(generation)));
            ports.extend(&self.known_ports);
        }
        self.known_ports.clone_from(&ports);
        ports
    }

    /// Looks at the connections of generations that have just been replaced: after the steering, which waits for nothing,
    /// and after the turn was told, because a look at very many takes its time.
    pub(super) fn note_what_is_due(&mut self) {
        for generation in std::mem::take(&mut self.to_note) {
            self.note_connections(generation);
        }
    }

    /// New connections have just begun to go elsewhere: those that exist are the generation's.
    pub(super) fn note_connections(&mut self, generation: u64) {
        let waits = !self.drains_itself(generation);
        let ports = self.ports(generation);
        let at = Instant::now();
        // Those that are not waited for are told apart too, so that they can be shown and what is cut of them counted.
        let replaced = census::connections(&ports).map(|census| {
            let others = self.of_others(generation);
            let own = census.connections.iter().map(|it| it.cookie);
            let own = own.filter(|cookie| !others.contains(cookie)).collect();
            (Some(census.half_open), Some(own))
        });
        let (half_open, connections) = replaced.unwrap_or_else(|error| {
            tracing::warn!(%error, "cannot count connections, so they are not waited for");
            (None, None)
        });
        if let Some(it) = self.generations.get_mut(&generation) {
            it.replaced = Some(Replaced {
                at,
                half_open,
                connections,
                waits,
            });
        }
    }

    /// Connections of older generations, which are waited for by themselves.
    pub(super) fn of_others(&self, generation: u64) -> HashSet<u64> {
        let others = self.generations.iter().filter(|(number, _)| **number != generation);
        let replaced = others.filter_map(|(_, it)| it.replaced.as_ref()?.connections.as_ref());
        replaced.flatten().copied().collect()
    }

    /// Begins to wait.
    pub(super) fn drain(&mut self, generation: u64, last: bool) {
        if self.front.is_some() {
            return self.drain_front(generation, last);
        }
        let itself = self.drains_itself(generation);
        let places = !self.sockets.places().is_empty() || !self.paths.is_empty();
        let nothing_to_see = !last && !places && !self.takes_datagrams(generation);
        if (last && itself) || nothing_to_see {
            return self.events.push_back(Event::Drained { generation });
        }
        if last {
            self.refuse();
            self.to_note.push(generation);
        }
        self.note_what_is_due();
        if let Some(it) = self.generations.get_mut(&generation) {
            let mut draining = Draining::begin();
            let at = draining.since + LAST_PART_OF_THE_FINAL_STOP;
            draining.last_part_at = (last && self.settings.drain_timeout.is_none()).then_some(at);
            it.draining = Some(draining);
            it.quiet = Quiet::default();
        }
        if last {
            self.tell_who_is_waited_for(generation);
        }
        self.look_at_connections();
    }

    /// When the connections are to be looked at next, if anybody waits for them.
    pub(super) fn next_look(&self) -> Option<Instant> {
        let of_drains = self
            .generations
            .values()
            .filter_map(|it| Some(it.draining.as_ref()?.next_look));
        let others = [
            self.next_look_at_queues(),
            self.next_confirmation(),
            self.next_look_at_listening(),
        ];
        of_drains.chain(others.into_iter().flatten()).min()
    }

    /// Looks at whatever is due.
    pub(super) fn look_again(&mut self) {
        self.look_at_connections();
        self.see_who_is_ready();
        self.confirm();
    }

    pub(super) fn look_at_connections(&mut self) {
        let begin = Instant::now();
        let due = |it: &super::Generation| it.draining.as_ref().is_some_and(|it| it.next_look <= begin);
        let due = self
            .generations
            .iter()
            .filter(|(_, it)| due(it))
            .map(|(number, _)| *number);
        let due: Vec<u64> = due.collect();
        self.sockets.tidy();
        self.look_at_queues();
        for generation in due {
            // A moment between two requests is short: where that is enough, it is confirmed at once.
            let confirms = |it: &Supervisor| it.is_last_part(generation) && it.seems_quiet(generation);
            if self.is_drained(generation) || (confirms(self) && self.is_drained(generation)) {
                if let Some(it) = self.generations.get_mut(&generation) {
                    it.draining = None;
                }
                self.events.push_back(Event::Drained { generation });
                continue;
            }
            let share = if self.is_last_part(generation) {
                LAST_SHARE
            } else {
                SHARE
            };
            if let Some(draining) = self
                .generations
                .get_mut(&generation)
                .and_then(|it| it.draining.as_mut())
            {
                let cost = begin.elapsed();
                draining.next_look = Instant::now() + INTERVAL.max(cost.saturating_mul(share));
            }
        }
    }

    fn is_drained(&mut self, generation: u64) -> bool {
        if let Some(front) = &self.front {
            return self.is_front_drained(front, generation);
        }
        if !self.have_datagrams_settled(generation) {
            return false;
        }
        let queued = |it: &mut Supervisor| it.sockets.queued(generation) > 0 || it.paths.are_waiting(generation);
        if queued(self) {
            // Nobody may be left to empty it.
            self.let_go_of_all_closed(generation);
            if queued(self) {
                return false;
            }
        }
        if !self.drains_itself(generation) && self.busy_on_paths(generation) > 0 {
            return false;
        }
        let ports = self.ports(generation);
        let Some(replaced) = self.generations.get(&generation).and_then(|it| it.replaced.as_ref()) else {
            return true;
        };
        let settled = |now: &HashSet<(SocketAddr, SocketAddr)>| match &replaced.half_open {
            Some(then) => now.is_disjoint(then),
            None => replaced.at.elapsed() >= SETTLE,
        };
        if !replaced.waits || replaced.connections.is_none() {
            let settled = match &replaced.half_open {
                Some(then) if !then.is_empty() => census::half_open(&ports).is_ok_and(|now| settled(&now)),
                Some(_) | None => settled(&HashSet::new()),
            };
            if !settled || !self.may_have_sessions(generation) {
                return settled;
            }
            return census::connections(&ports).is_ok_and(|census| !self.has_sessions(generation, &census));
        }
        let Ok(census) = census::connections(&ports) else {
            return false;
        };
        let idle = if self.is_last_part(generation) {
            Duration::ZERO
        } else {
            self.settings.drain_idle
        };
        let quiet = settled(&census.half_open) && self.busy_of(generation, &census, idle) == 0;
        let quiet = quiet && !(self.may_have_sessions(generation) && self.has_sessions(generation, &census));
        if !quiet {
            self.disown(generation, &census);
        }
        let nobody = census.connections.is_empty();
        // A census is taken while connections change, and may miss one: two that say the same are believed.
        let draining = self
            .generations
            .get_mut(&generation)
            .and_then(|it| it.draining.as_mut());
        let was_quiet = draining.is_none_or(|it| std::mem::replace(&mut it.quiet, quiet));
        quiet && (nobody || was_quiet)
    }

    /// How many connections of the generation are busy; `None` = it cannot be told.
    pub(super) fn busy(&mut self, generation: u64) -> Option<usize> {
        if let Some(front) = &self.front {
            return Some(front.proxy.load(generation).busy(self.settings.drain_idle));
        }
        let ports = self.ports(generation);
        let census = census::connections(&ports).ok()?;
        let on_paths = self.busy_on_paths(generation);
        Some(on_paths + self.busy_of(generation, &census, self.settings.drain_idle))
    }

    /// Did the last look find nobody busy?
    fn seems_quiet(&self, generation: u64) -> bool {
        let draining = self.generations.get(&generation).and_then(|it| it.draining.as_ref());
        draining.is_some_and(|it| it.quiet)
    }

    /// Is most of the time over that the machine gives it?
    pub(super) fn is_last_part(&self, generation: u64) -> bool {
        let draining = self.generations.get(&generation).and_then(|it| it.draining.as_ref());
        let of_machine = self.state.generations().iter().find(|it| it.number == generation);
        let until = of_machine.and_then(|it| it.until());
        if draining
            .and_then(|it| it.last_part_at)
            .is_some_and(|at| at <= Instant::now())
        {
            return true;
        }
        draining.zip(until).is_some_and(|(draining, until)| {
            let left = until.saturating_duration_since(Instant::now());
            left <= until.saturating_duration_since(draining.since) / LAST_PART
        })
    }

    /// Only what was accepted counts. What waits in the generation's own queues is told by the queues; what waits anywhere
    /// else came when new connections went elsewhere already, and before a look could tell it from the others. (In
    /// `stop-first` it waits for this very generation's end.)
    fn busy_of(&self, generation: u64, census: &Census, idle: Duration) -> usize {
        let others = self.of_others(generation);
        let replaced = self.generations.get(&generation).and_then(|it| it.replaced.as_ref());
        let own = |it: &&Connection| match replaced.filter(|it| it.connections.is_some()) {
            Some(replaced) => replaced.owns(it),
            None => !others.contains(&it.cookie),
        };
        let accepted = census.connections.iter().filter(|it| it.inode != 0);
        let busy = accepted.filter(own).filter(|it| it.is_busy(idle));
        busy.count()
    }
}
