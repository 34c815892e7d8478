//! COUNTS connections for whoever asks, a piece at a time between the turns, so that the loop is never kept by many of them.
//! What was counted a moment ago is told again; counting takes a tenth of the time at most.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use super::Supervisor;
use crate::{
    control::{
        protocol::Answer,
        status::{Connections, Status},
    },
    handover::census::{Census, Taking},
};

/// So long a count is told again.
const FRESH: Duration = Duration::from_millis(100);
/// Of the time that passes, counting takes one part in so many.
const SHARE: u32 = 10;

/// Who waits for a count.
#[derive(Debug)]
pub(super) enum Asker {
    /// A client of the control socket.
    Control(oneshot::Sender<Answer>),
    /// Anybody.
    Status(oneshot::Sender<Box<Status>>),
    /// A scraper of metrics.
    Metrics(oneshot::Sender<String>),
}

/// The count under way, and the last one.
#[derive(Debug, Default)]
pub(super) struct Counting {
    taking: Option<Under>,
    askers: Vec<Asker>,
    last: Option<Counted>,
}

#[derive(Debug)]
struct Under {
    taking: Taking,
    spent: Duration,
}

#[derive(Debug)]
struct Counted {
    at: Instant,
    spent: Duration,
    by_generation: Option<BTreeMap<u64, Connections>>,
    tells_idle: Option<bool>,
}

impl Counting {
    /// Is there more to count?
    pub(super) fn is_under_way(&self) -> bool {
        self.taking.is_some()
    }
}

impl Supervisor {
    /// Answers with the numbers of connections, now or when they are counted.
    pub(super) fn answer_with_connections(&mut self, asker: Asker) {
        if let Some(front) = &self.front {
            let by_generation = Some(self.counts_of_front(front));
            self.desk.counting.last = Some(Counted {
                at: Instant::now(),
                spent: Duration::ZERO,
                by_generation,
                tells_idle: Some(true),
            });
            return self.answer(asker);
        }
        let counting = &mut self.desk.counting;
        let fresh = |last: &Counted| last.at.elapsed() < FRESH.max(last.spent.saturating_mul(SHARE));
        if counting.taking.is_none() && counting.last.as_ref().is_some_and(fresh) {
            return self.answer(asker);
        }
        counting.askers.push(asker);
        if self.desk.counting.taking.is_none() {
            let begin = Instant::now();
            let generation = self.state.current().unwrap_or_default();
            let taking = Taking::begin(self.ports(generation));
            self.desk.counting.taking = Some(Under {
                taking,
                spent: begin.elapsed(),
            });
        }
    }

    /// Goes on counting; answers whoever waits once it is done.
    pub(super) fn count(&mut self) {
        let begin = Instant::now();
        let Some(under) = self.desk.counting.taking.as_mut() else {
            return;
        };
        let told = under.taking.step();
        under.spent += begin.elapsed();
        let spent = under.spent;
        let Some(told) = told else { return };
        if let Err(error) = &told {
            tracing::debug!(%error, "cannot count connections");
        }
        let tells_idle = told.as_ref().ok().map(|census| census.tells_idle);
        let by_generation = told.ok().map(|census| self.by_generation(&census));
        let counting = &mut self.desk.counting;
        counting.taking = None;
        counting.last = Some(Counted {
            at: Instant::now(),
            spent,
            by_generation,
            tells_idle,
        });
        for asker in std::mem::take(&mut counting.askers) {
            self.answer(asker);
        }
    }

    fn answer(&mut self, asker: Asker) {
        let mut status = Box::new(self.status());
        let counted = self
            .desk
            .counting
            .last
            .as_ref()
            .and_then(|it| it.by_generation.as_ref());
        for it in &mut status.generations {
            it.connections = counted.map(|counted| counted.get(&it.number).copied().unwrap_or_default());
        }
        status.tells_idle = self.desk.counting.last.as_ref().and_then(|it| it.tells_idle);
        // Whoever asked may be gone.
        match asker {
            Asker::Control(answer) => drop(answer.send(Answer::Status(status))),
            Asker::Metrics(answer) => drop(answer.send(self.desk.tally.metrics().openmetrics(&status))),
            Asker::Status(answer) => drop(answer.send(self.without_arguments(status))),
        }
    }

    /// Whose they are: those of a replaced generation are known, the rest is of the one that has the service.
    fn by_generation(&mut self, census: &Census) -> BTreeMap<u64, Connections> {
        let idle = self.settings.drain_idle;
        let mut counted = BTreeMap::<u64, Connections>::new();
        let current = self.state.current().unwrap_or_default();
        for it in census.connections.iter().filter(|it| it.inode != 0) {
            let owner = self
                .generations
                .iter()
                .find(|(_, generation)| generation.replaced.as_ref().is_some_and(|replaced| replaced.owns(it)));
            let counts = counted.entry(owner.map_or(current, |(number, _)| *number)).or_default();
            if it.is_busy(idle) {
                counts.busy += 1;
            } else {
                counts.idle += 1;
            }
        }
        let waiting = census.connections.iter().filter(|it| it.inode == 0).count();
        let numbers: Vec<u64> = self.generations.keys().copied().collect();
        let in_groups = !self.sockets.places().is_empty();
        for number in numbers {
            let queued = if in_groups {
                self.sockets.queued(number).into()
            } else if number == current {
                u64::try_from(waiting).unwrap_or(u64::MAX)
            } else {
                0
            };
            counted.entry(number).or_default().queued = queued;
        }
        counted
    }
}
