//! LOOKS on which addresses a generation is served, by the kernel's word and /proc's: what it was seen to listen on counts only as
//! long as a process of it holds that socket.

use std::collections::HashSet;

use super::{Supervisor, own_sockets::Listens};
use crate::handover::{census, datagrams::table, group::Held, holders::Holders, listener::Place};

impl Supervisor {
    /// Where the generation is served now.
    pub(super) fn served_by(&mut self, generation: u64) -> HashSet<Listens> {
        let Some(it) = self.generations.get(&generation) else {
            return HashSet::new();
        };
        let listens: Vec<Listens> = it.listens.iter().cloned().collect();
        self.sockets.tidy();
        let passed = if listens.iter().any(|it| matches!(it, Listens::Passed(_))) {
            self.listens_itself(generation)
        } else {
            Vec::new()
        };
        let datagrams = if listens.iter().any(|it| matches!(it, Listens::Udp(_))) {
            table::read().unwrap_or_default()
        } else {
            Vec::new()
        };
        let is_served = |listens: &Listens| match listens {
            Listens::Tcp(place) => {
                let held = self.sockets.held(Some(place));
                let own: Vec<Held> = held.into_iter().filter(|it| it.generation == generation).collect();
                let all = own.len();
                all > 0 && self.closed_among(own).len() < all
            }
            Listens::Passed(place) => passed.contains(&place.address),
            Listens::Udp(place) => self.sockets.datagrams.is_steered_to(generation, place, &datagrams),
            Listens::Unix(path) => self.paths.leads(generation, path),
            Listens::Somewhere => false,
        };
        listens.into_iter().filter(is_served).collect()
    }

    /// The addresses of all listening sockets that processes of the generation hold.
    fn listens_itself(&self, generation: u64) -> Vec<std::net::SocketAddr> {
        let holders = Holders::among(self.program_processes(generation));
        let listeners = census::listeners().unwrap_or_default().into_iter();
        listeners
            .filter(|it| holders.found.contains_key(&it.inode))
            .map(|it| it.address)
            .collect()
    }

    /// New connections are about to go to another generation, or to wait for one: where they are to be served then.
    pub(super) fn expect_what_is_served(&mut self, generation: u64) {
        let mut served = self.served_by(generation);
        served.retain(|listens| self.can_be_expected(listens, Some(generation)));
        self.expected = served;
    }

    /// The same; of one that never was ready, more than it serves was expected.
    pub(super) fn expect_what_the_last_served(&mut self, generation: u64) {
        let expected = std::mem::take(&mut self.expected);
        self.expect_what_is_served(generation);
        if self.generations.get(&generation).is_some_and(|it| it.ready.is_none()) {
            self.expected.extend(expected);
        }
    }

    /// The serving program has ended by itself, so its own listens are all there is to go by.
    pub(super) fn expect_what_was_served(&mut self, generation: u64) {
        let Some(it) = self.generations.get(&generation) else {
            return;
        };
        let handed_over = |it: &&Listens| matches!(it, Listens::Tcp(_) | Listens::Udp(_));
        let expected = it
            .listens
            .iter()
            .filter(handed_over)
            .filter(|listens| self.can_be_expected(listens, Some(generation)));
        self.expected = expected.cloned().collect();
    }

    /// Where the predecessor was served, and this generation is not, as far as it can be expected to.
    pub(super) fn not_served_by(&mut self, generation: u64) -> Missing {
        if self.expected.is_empty() {
            return Missing::default();
        }
        let served = self.served_by(generation);
        let own = self
            .generations
            .get(&generation)
            .map(|it| it.listens.clone())
            .unwrap_or_default();
        let missing = self
            .expected
            .iter()
            .filter(|it| !served.iter().any(|own| own.covers(it)));
        let (lost, never): (Vec<&Listens>, Vec<&Listens>) =
            missing.partition(|it| own.iter().any(|own| own.covers(it)));
        let names = |listens: Vec<&Listens>| {
            let mut names: Vec<String> = listens.into_iter().map(Listens::text).collect();
            names.sort_unstable();
            names.dedup();
            names
        };
        Missing {
            lost: names(lost),
            never: names(never),
        }
    }
}

/// Addresses that the predecessor served.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Missing {
    /// The new generation has listened there, and does not any more.
    pub(super) lost: Vec<String>,
    /// It has not listened there.
    pub(super) never: Vec<String>,
}

impl Listens {
    fn place(&self) -> Option<&Place> {
        match self {
            Listens::Tcp(place) | Listens::Passed(place) => Some(place),
            Listens::Udp(_) | Listens::Unix(_) | Listens::Somewhere => None,
        }
    }

    /// Is it a listener for TCP whose clients that place has, too?
    pub(super) fn is_around(&self, place: &Place) -> bool {
        self.place().is_some_and(|own| own.overlaps(place))
    }

    /// Does a listener here serve clients of that address? A wildcard may have become an address, or the other way round.
    fn covers(&self, other: &Listens) -> bool {
        match (self.place(), other.place()) {
            (Some(own), Some(other)) => own.overlaps(other),
            (None, None) => match (self, other) {
                (Listens::Udp(own), Listens::Udp(other)) => own.overlaps(other),
                _ => self == other,
            },
            (Some(_), None) | (None, Some(_)) => false,
        }
    }
}
