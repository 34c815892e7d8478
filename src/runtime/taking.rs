//! SEES where generations take datagrams: who is ready by it, what of it cannot be handed over, and when an old one has read what
//! came for it. Lets go of what is a client's: closed, or connected.

use std::{
    collections::HashSet,
    time::{Duration, Instant, SystemTime},
};

use super::{Supervisor, draining, own_sockets::Listens};
use crate::{
    handover::{datagrams::table, listener::Place},
    machine::Role,
};

/// A program that has bound UDP ports may be about to listen, which is what its readiness is then: so long nothing else is to
/// happen for UDP alone to count.
const SETTLE: Duration = Duration::from_secs(2);
/// A socket that was bound so long after the program was ready is one of many for a while, not of where it is found.
const LATE: Duration = Duration::from_millis(1_500);
impl Supervisor {
    /// When that is to be looked at again.
    pub(super) fn next_look_at_datagrams(&self) -> Option<Instant> {
        let starting = self.state.generations().iter().filter(|it| it.role == Role::Starting);
        let settles = starting.filter_map(|it| self.generations.get(&it.number)?.settles);
        let looks = self
            .sockets
            .datagrams
            .next_look()
            .into_iter()
            .chain(self.look_at_passed);
        looks.chain(settles).min()
    }

    /// Looks at UDP sockets a while after their bind: a client's is connected by then, or closed, and no business of segue's.
    pub(super) fn look_at_datagrams(&mut self, now: Instant) {
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if due(self.sockets.datagrams.next_look()) || due(self.look_at_passed) {
            self.see_bound_datagrams();
            self.sockets.datagrams.look(Some(now));
            let held = self.sockets.datagrams.held(None);
            self.let_go_of(held);
            self.look_at_passed = self.look_at_passed.filter(|at| *at > now);
            self.note_where_datagrams_come();
            self.tell_ports();
            self.watch_queues();
        }
        for it in self.generations.values_mut().filter(|it| due(it.settles)) {
            it.settles = None;
            self.takes_only_datagrams |= it.listens.iter().all(|it| matches!(it, Listens::Udp(_)));
        }
        self.see_who_is_ready();
    }

    /// Brings up to date where generations take datagrams.
    fn note_where_datagrams_come(&mut self) {
        let rows = table::read().unwrap_or_default();
        self.sockets.datagrams.compare(&rows);
        let numbers: Vec<u64> = self.generations.keys().copied().collect();
        for generation in numbers {
            let served = self.datagrams_of(generation, &rows);
            let Some(it) = self.generations.get_mut(&generation) else {
                continue;
            };
            it.listens.retain(|listens| match listens {
                Listens::Udp(place) => served.iter().any(|(served, _)| served == place),
                Listens::Tcp(_) | Listens::Passed(_) | Listens::Unix(_) | Listens::Somewhere => true,
            });
            let late = it.ready.is_some_and(|at| at.ago(SystemTime::now()) > LATE);
            for (place, why) in served {
                let listens = Listens::Udp(place.clone());
                let new = self
                    .generations
                    .get_mut(&generation)
                    .filter(|it| !it.listens.contains(&listens));
                let Some(it) = new else { continue };
                if late {
                    it.late_datagrams.insert(place.clone());
                }
                self.on_listens(generation, listens);
                if let Some(why) = why.filter(|_| self.are_datagrams_expected(generation, &place)) {
                    self.pass(generation, format!("udp:{place}: {why}"));
                }
            }
        }
    }

    /// Is the next generation to be expected there, too? Not at a port that was chosen by trying, or long after the start.
    fn are_datagrams_expected(&self, generation: u64, place: &Place) -> bool {
        let late = |it: &super::Generation| it.late_datagrams.contains(place);
        let calls = self.calls.as_ref();
        let by_trying = calls.is_some_and(|calls| calls.trapped.is_ephemeral(place.address.port()))
            || self.generations.get(&generation).is_some_and(late);
        !by_trying || self.listened_twice.contains(place)
    }

    /// Each place where the generation takes datagrams, and why it cannot be handed over, if it cannot.
    fn datagrams_of(&self, generation: u64, rows: &[table::Row]) -> Vec<(Place, Option<String>)> {
        let served = self
            .sockets
            .datagrams
            .served_by(generation)
            .into_iter()
            .map(|it| (it, None));
        let passed = self.generations.get(&generation).map(|it| it.passed_datagrams.iter());
        let bound = |inode: u64, place: &Place| {
            let mut rows = rows.iter().filter(|row| row.inode == inode);
            rows.any(|row| row.is_at(place) && !row.connected)
        };
        let passed = passed.into_iter().flatten().filter(|it| bound(it.0, &it.1));
        served
            .chain(passed.map(|it| (it.1.clone(), Some(it.2.clone()))))
            .collect()
    }

    /// A new generation is about to be measured by where this one takes datagrams.
    pub(super) fn forget_closed_datagrams(&mut self, serving: u64) {
        let known = self.generations.get(&serving).map(|it| &it.listens);
        let held = self.sockets.datagrams.held(None);
        let any = |listens: &HashSet<Listens>| listens.iter().any(|it| matches!(it, Listens::Udp(_)));
        if held.is_empty() && !known.is_some_and(any) {
            return;
        }
        self.let_go_of(held);
        self.sockets.datagrams.look(None);
        self.note_where_datagrams_come();
        self.tell_ports();
    }

    /// The program has closed a UDP socket, and segue its copy.
    pub(super) fn note_closed_datagrams(&mut self, generation: u64, place: Place) {
        let still = self.sockets.datagrams.served_by(generation).contains(&place);
        let address = place.to_string();
        let listened = self
            .generations
            .get_mut(&generation)
            .is_some_and(|it| !still && it.listens.remove(&Listens::Udp(place)));
        if listened {
            tracing::info!(
                generation,
                address,
                "the program has closed a UDP socket, which gets no datagrams any more"
            );
        }
        self.tell_ports();
    }

    /// Others among the members of a group make their numbers unknown.
    pub(super) fn look_for_strangers_with_datagrams(&mut self) {
        if self.sockets.datagrams.ports().next().is_some()
            && let Ok(rows) = table::read()
        {
            self.sockets.datagrams.compare(&rows);
        }
    }

    /// Does the generation take datagrams at a port of its choice?
    pub(super) fn takes_datagrams(&self, generation: u64) -> bool {
        !self.sockets.datagrams.served_by(generation).is_empty()
    }

    /// A UDP socket of the generation that cannot be handed over, and why.
    pub(super) fn datagrams_in_the_way(&mut self, generation: u64) -> Option<String> {
        let passed = self.generations.get(&generation).map(|it| it.passed_datagrams.len());
        if passed == Some(0) && self.sockets.datagrams.ports().next().is_none() {
            return None;
        }
        let rows = table::read().unwrap_or_default();
        self.sockets.datagrams.look(None);
        self.sockets.datagrams.compare(&rows);
        let passed = self.datagrams_of(generation, &rows);
        let expected = passed
            .into_iter()
            .filter(|(place, _)| self.are_datagrams_expected(generation, place));
        let passed = expected.into_iter().find_map(|(place, why)| Some((place, why?)));
        let unsteered = self.sockets.datagrams.unsteered(generation);
        let mut unsteered = unsteered.map(|(place, why)| (place.clone(), why.why().to_owned()));
        let in_the_way = passed.or_else(|| unsteered.next());
        in_the_way.map(|(place, why)| format!("udp:{place}: {why}"))
    }

    /// A program that has bound UDP ports and listens nowhere is given time to.
    pub(super) fn begin_to_settle(&mut self, generation: u64) {
        let known = self.takes_only_datagrams;
        if let Some(it) = self.generations.get_mut(&generation) {
            let only_datagrams = !it.listens.is_empty() && it.listens.iter().all(|it| matches!(it, Listens::Udp(_)));
            if only_datagrams && !known {
                it.settles.get_or_insert(Instant::now() + SETTLE);
            }
        }
    }

    /// Is a generation ready that takes datagrams, and listens nowhere? If its predecessor was no other, or if it has had time.
    pub(super) fn is_ready_by_datagrams(&self, generation: u64) -> bool {
        let serving = self.state.current().filter(|serving| *serving != generation);
        let serving = serving.and_then(|serving| self.generations.get(&serving));
        let of_serving = serving.is_some_and(|it| it.listens.iter().any(|it| matches!(it, Listens::Udp(_))));
        self.takes_only_datagrams || of_serving
    }

    /// Has a generation that was replaced read what came for it? Segue cannot see whether it has answered: where segue is to wait for that, no
    /// datagram has come for SEGUE_DRAIN_IDLE then.
    pub(super) fn have_datagrams_settled(&mut self, generation: u64) -> bool {
        if self.state.current() == Some(generation) || !self.takes_datagrams(generation) {
            return true;
        }
        let waits = self.sockets.datagrams.wait_for(generation);
        if waits {
            // Nobody may be left to read them.
            let held = self.sockets.datagrams.held(None).into_iter();
            self.let_go_of(held.filter(|it| it.generation == generation).collect());
        }
        let patient = !self.drains_itself(generation) && !self.is_last_part(generation);
        let quiet = if patient {
            self.settings.drain_idle
        } else {
            draining::INTERVAL
        };
        let it = self.generations.get_mut(&generation);
        let Some(draining) = it.and_then(|it| it.draining.as_mut()) else {
            return true;
        };
        if waits && self.sockets.datagrams.wait_for(generation) {
            draining.no_datagrams_since = None;
            return false;
        }
        let since = *draining.no_datagrams_since.get_or_insert(Instant::now());
        since.elapsed() >= quiet
    }
}
