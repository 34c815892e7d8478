//! SEES by a program's listening when it is ready.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use tokio::sync::mpsc;

use super::{Supervisor, generation::Generation, own_sockets::Listens, probing::Message};
use crate::{
    machine::{Event, LATE, Outcome, Report, Role},
    settings::value::{Ready, ReadyTimeout},
};

/// How long a program may take to listen before the log says what it is waited for.
const PATIENCE: Duration = Duration::from_secs(30);
/// A program that closes and opens a socket again and again has said it once.
const MOST: usize = 1_000;

impl Listens {
    /// As the log and the status have it.
    pub(super) fn text(&self) -> String {
        match self {
            Listens::Tcp(place) | Listens::Passed(place) => place.to_string(),
            Listens::Udp(place) => format!("udp:{place}"),
            Listens::Unix(path) => format!("unix:{}", String::from_utf8_lossy(path).replace('\0', "@")),
            Listens::Somewhere => "a port of the kernel's choice, or a socket that was passed".to_owned(),
        }
    }
}

impl Supervisor {
    pub(super) fn on_listens(&mut self, generation: u64, listens: Listens) {
        let address = listens.text();
        // Then it is ready soon, be it everywhere or not.
        let by_listening = matches!(self.settings.ready, Ready::Auto | Ready::Listening);
        self.takes_only_datagrams &= matches!(listens, Listens::Udp(_));
        let Some(it) = self.generations.get_mut(&generation) else {
            return;
        };
        if it.listens.len() < MOST && it.listens.insert(listens) {
            if it.first_listen.is_none() {
                it.first_listen = Some(Instant::now());
                if by_listening {
                    self.events.push_back(Event::BeganToListen { generation });
                }
            }
            tracing::info!(generation, address, "listening");
        }
        self.see_whether_ready(generation);
    }

    /// A new generation is about to be measured by where the serving one listens: what that has closed since is no measure,
    /// and refuses connections from now on, as it would have without segue.
    pub(super) fn forget_closed_listeners(&mut self) {
        let Some(serving) = self.state.current() else { return };
        let seen = self.hears(serving);
        self.forget_closed_datagrams(serving);
        let Some(it) = self.generations.get(&serving).filter(|_| seen) else {
            return;
        };
        // With one address there is nothing to compare; and to look costs something where connections are many.
        if it.listens.len() < 2 {
            return;
        }
        self.let_go_of_all_closed(serving);
        let sockets = &mut self.sockets;
        if let Some(it) = self.generations.get_mut(&serving) {
            it.listens.retain(|listens| match listens {
                Listens::Tcp(place) => sockets.listens(serving, place),
                Listens::Passed(_) | Listens::Udp(_) | Listens::Unix(_) | Listens::Somewhere => true,
            });
        }
    }

    /// A generation that listens wherever the serving one does is ready; without a serving one, that listens at all.
    pub(super) fn see_whether_ready(&mut self, generation: u64) {
        let by_listening = matches!(self.settings.ready, Ready::Auto | Ready::Listening);
        let starting = |it: &&crate::machine::Generation| it.number == generation && it.role == Role::Starting;
        if !by_listening || self.state.generations().iter().find(starting).is_none() {
            return;
        }
        self.begin_to_settle(generation);
        let Some(own) = self.generations.get(&generation).map(|it| &it.listens) else {
            return;
        };
        let event = Event::BecameReady { generation };
        let begins = !own.is_empty() && (listens_somewhere(own) || self.is_ready_by_datagrams(generation));
        if begins && self.missing(generation).is_empty() && !self.events.contains(&event) {
            self.became_ready(generation);
        }
    }

    /// A generation is ready. It may have said so, or been found so, before it listens everywhere its predecessor does, which is kept
    /// until then: what the old one takes away at its end could be what the new one is about to make.
    pub(super) fn became_ready(&mut self, generation: u64) {
        if self.state.predecessor(generation).is_some() {
            let missing = self.missing(generation);
            if !missing.is_empty() && !self.state.awaits_addresses(generation) {
                tracing::info!(
                    generation,
                    missing = missing.join(", "),
                    "ready, but does not listen everywhere its predecessor does: keep the predecessor for now"
                );
                self.events.push_back(Event::AddressesAwaited {
                    generation,
                    awaited: true,
                });
            }
        }
        self.events.push_back(Event::BecameReady { generation });
    }

    /// Whether it listens everywhere by now.
    fn see_whether_addresses_are_awaited(&mut self) {
        let awaits = |it: &&crate::machine::Generation| self.state.awaits_addresses(it.number);
        let Some(generation) = self.state.generations().iter().find(awaits).map(|it| it.number) else {
            return;
        };
        let event = Event::AddressesAwaited {
            generation,
            awaited: false,
        };
        if self.missing(generation).is_empty() && !self.events.contains(&event) {
            self.events.push_back(event);
        }
    }

    /// Where the serving generation listens and this one does not yet, as far as it can be expected to. Where none serves it is what
    /// the last one served, for so long as a program may take to come to rest.
    pub(super) fn missing(&self, generation: u64) -> Vec<String> {
        let Some(it) = self.generations.get(&generation) else {
            return Vec::new();
        };
        let serving = self.state.current().filter(|serving| *serving != generation);
        let serving = self.state.predecessor(generation).or(serving);
        let measure = match serving {
            Some(serving) => self.generations.get(&serving).map(|serving| &serving.listens),
            None => (!self.has_had_its_time(it)).then_some(&self.expected),
        };
        let own = &it.listens;
        let has = |listens: &Listens| match listens {
            Listens::Tcp(place) | Listens::Passed(place) => {
                own.contains(&Listens::Tcp(place.clone())) || own.contains(&Listens::Passed(place.clone()))
            }
            Listens::Udp(_) | Listens::Unix(_) | Listens::Somewhere => own.contains(listens),
        };
        let expected = measure
            .into_iter()
            .flatten()
            .filter(|it| self.can_be_expected(it, serving));
        let mut missing: Vec<String> = expected.filter(|listens| !has(listens)).map(Listens::text).collect();
        missing.sort_unstable();
        missing
    }

    fn has_had_its_time(&self, it: &Generation) -> bool {
        let until = it.first_listen.map(|at| at + self.settings.stable_delay);
        until.is_some_and(|until| until <= Instant::now())
    }

    /// When a generation that nobody else serves beside is ready, wherever it does not listen.
    pub(super) fn next_look_at_listening(&self) -> Option<Instant> {
        let starting = |it: &&crate::machine::Generation| it.role == Role::Starting;
        let starting = self.state.generations().iter().filter(starting);
        let first = starting.filter_map(|it| self.generations.get(&it.number)?.first_listen);
        let due = first.map(|at| at + self.settings.stable_delay);
        due.filter(|at| *at > Instant::now()).min()
    }

    /// Can the next generation be expected to listen where this one does?
    pub(super) fn can_be_expected(&self, listens: &Listens, by_number: Option<u64>) -> bool {
        let by = by_number.and_then(|number| self.generations.get(&number));
        let late = |listens: &Listens| matches!((listens, by), (Listens::Udp(place), Some(by)) if by.late_datagrams.contains(place));
        match listens {
            Listens::Tcp(place) | Listens::Passed(place) | Listens::Udp(place) => {
                // A port that the kernel might have chosen is chosen by trying: it may be another one the next time.
                let by_trying = self
                    .calls
                    .as_ref()
                    .is_some_and(|calls| calls.trapped.is_ephemeral(place.address.port()));
                (!by_trying && !late(listens)) || self.listened_twice.contains(place)
            }
            Listens::Unix(path) => by_number.is_none_or(|number| self.paths.is_expected(number, path)),
            Listens::Somewhere => false,
        }
    }

    /// A generation that was late has not listened where it was waited for: the report names that.
    pub(super) fn with_what_is_missing(&self, report: &Report) -> Report {
        let mut report = report.clone();
        let by_listening = matches!(self.settings.ready, Ready::Auto | Ready::Listening);
        if let (Outcome::RolledBack { why }, Some(generation)) = (&mut report.outcome, report.generation)
            && why == LATE
        {
            if let (ReadyTimeout::Auto, Some(took)) = (self.settings.ready_timeout, self.desk.first_took) {
                let seconds = |wait: Duration| wait.as_secs_f64().ceil();
                let limit = seconds(self.limits.ready_timeout.unwrap_or_default());
                *why = format!(
                    "{why}=auto, {limit}s, where the first generation took {}s",
                    seconds(took)
                );
            }
            let missing = self.missing(generation);
            if by_listening && !missing.is_empty() {
                *why = format!("{why}; missing: {}", missing.join(", "));
            }
        }
        report
    }

    /// A generation is over, or serves: an address that it has in common with another can be expected again.
    pub(super) fn note_listened_twice(&mut self) {
        let places = |it: &super::Generation| -> HashSet<_> {
            let tcp = it.listens.iter().filter_map(|listens| match listens {
                Listens::Tcp(place) | Listens::Passed(place) | Listens::Udp(place) => Some(place.clone()),
                Listens::Unix(_) | Listens::Somewhere => None,
            });
            tcp.collect()
        };
        let mut all = self.generations.values().map(places);
        let Some(mut seen) = all.next() else { return };
        for others in all {
            self.listened_twice
                .extend(others.intersection(&seen).take(MOST).cloned());
            seen.extend(others);
        }
        if self.listened_twice.len() > MOST {
            self.listened_twice.clear();
        }
    }

    /// The old generation may be gone meanwhile, so that less is asked of the new one.
    pub(super) fn see_who_is_ready(&mut self) {
        let starting = |it: &&crate::machine::Generation| it.role == Role::Starting;
        let starting = self.state.generations().iter().filter(starting);
        let starting: Vec<u64> = starting.map(|it| it.number).collect();
        starting.into_iter().for_each(|number| self.see_whether_ready(number));
        self.see_whether_addresses_are_awaited();
    }

    /// The program has not listened for a while: says what is waited for.
    pub(super) fn tell_what_is_waited_for(&self, generation: u64) {
        let starting = |it: &&crate::machine::Generation| it.number == generation && it.role == Role::Starting;
        let waits = self.state.generations().iter().find(starting).is_some();
        let Some(it) = self.generations.get(&generation).filter(|_| waits) else {
            return;
        };
        let missing = if self.front.is_some() {
            "it does not accept connections on its PORT".to_owned()
        } else if it.listens.is_empty() {
            return;
        } else {
            format!(
                "it does not listen on {} yet, as its predecessor does",
                self.missing(generation).join(", ")
            )
        };
        tracing::warn!(
            generation,
            missing,
            remedy = "SEGUE_READY=started for a program that never will",
            "not ready yet"
        );
    }
}

/// Is there more than UDP among them?
fn listens_somewhere(listens: &HashSet<Listens>) -> bool {
    listens.iter().any(|it| !matches!(it, Listens::Udp(_)))
}

/// Sends a word when the program has had enough time to listen.
pub(super) async fn wait_for_listening(generation: u64, sender: mpsc::UnboundedSender<Message>) {
    tokio::time::sleep(PATIENCE).await;
    // The loop outlives its tasks.
    sender.send(Message::Waiting(generation)).ok();
}
