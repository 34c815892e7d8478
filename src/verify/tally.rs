//! COUNTS what came of the requests, by kind, and how long they took, while a restart was under way and otherwise.
//! Pure: it is told every time and reads no clock.

use std::{
    collections::BTreeMap,
    fmt,
    time::{Duration, Instant},
};

/// How a request can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Nobody listened.
    Refused,
    /// The connection was cut.
    Reset,
    /// The connection was closed before the whole answer had come.
    Truncated,
    /// The whole answer had not come in time.
    TimedOut,
    /// It was answered with something else than success.
    Not2xx,
    /// Anything else.
    Other,
}

impl Kind {
    /// All of them, in the order of a report.
    pub const ALL: [Kind; 6] = [
        Kind::Refused,
        Kind::Reset,
        Kind::Truncated,
        Kind::TimedOut,
        Kind::Not2xx,
        Kind::Other,
    ];

    /// Its name in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Kind::Refused => "refused",
            Kind::Reset => "reset",
            Kind::Truncated => "truncated",
            Kind::TimedOut => "timed_out",
            Kind::Not2xx => "not_2xx",
            Kind::Other => "other",
        }
    }
}

/// Its name for people.
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::TimedOut => "timed out",
            Kind::Not2xx => "not 2xx",
            Kind::Refused | Kind::Reset | Kind::Truncated | Kind::Other => self.name(),
        })
    }
}

/// Why a request failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// In one word.
    pub kind: Kind,
    /// What the kind does not say: the status, the system's reason.
    pub detail: String,
}

/// One request that is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// When it was due.
    pub begun: Instant,
    /// When its whole answer was there, or its failure.
    pub ended: Instant,
    /// Over a connection of its own?
    pub fresh: bool,
    /// Sent again, because a kept connection was closed under it?
    pub retried: bool,
    /// What came of it.
    pub outcome: Result<(), Failure>,
}

/// Different details that are kept for the report; the rest is only counted.
const DETAILS: usize = 8;

/// What came of all of them.
#[derive(Debug, Default)]
pub struct Tally {
    fresh: u64,
    kept: u64,
    retried: u64,
    failures: BTreeMap<Kind, u64>,
    details: BTreeMap<String, u64>,
    restarting: Latencies,
    steady: Latencies,
    restarts: Vec<(Instant, Option<Instant>)>,
}

impl Tally {
    /// A restart was asked for. One that was under way still is over: the two are told apart by nobody.
    pub fn restart_began(&mut self, at: Instant) {
        self.restart_over(at);
        self.restarts.push((at, None));
    }

    /// The restart is over, if one was under way.
    pub fn restart_over(&mut self, at: Instant) {
        if let Some((_, end @ None)) = self.restarts.last_mut() {
            *end = Some(at);
        }
    }

    /// Counts a request. It belongs to the restarts if one was under way at any moment of it.
    pub fn add(&mut self, sample: &Sample) {
        *(if sample.fresh { &mut self.fresh } else { &mut self.kept }) += 1;
        self.retried += u64::from(sample.retried);
        match &sample.outcome {
            Ok(()) => {
                let latencies = if self.touches_restart(sample) {
                    &mut self.restarting
                } else {
                    &mut self.steady
                };
                latencies.add(sample.ended.saturating_duration_since(sample.begun));
            }
            Err(failure) => self.add_failure(failure),
        }
    }

    fn add_failure(&mut self, failure: &Failure) {
        *self.failures.entry(failure.kind).or_default() += 1;
        if failure.detail.is_empty() {
            return;
        }
        if let Some(count) = self.details.get_mut(&failure.detail) {
            *count += 1;
        } else if self.details.len() < DETAILS {
            self.details.insert(failure.detail.clone(), 1);
        }
    }

    fn touches_restart(&self, sample: &Sample) -> bool {
        let last_begun = self.restarts.iter().rev().find(|(begin, _)| *begin <= sample.ended);
        last_begun.is_some_and(|(_, end)| end.is_none_or(|end| end >= sample.begun))
    }

    /// Requests over connections of their own, and over kept ones.
    #[must_use]
    pub fn requests(&self) -> (u64, u64) {
        (self.fresh, self.kept)
    }

    /// Those of them that were sent a second time.
    #[must_use]
    pub fn retried(&self) -> u64 {
        self.retried
    }

    /// Those that failed.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.failures.values().sum()
    }

    /// Those that failed in this way.
    #[must_use]
    pub fn failures(&self, kind: Kind) -> u64 {
        self.failures.get(&kind).copied().unwrap_or(0)
    }

    /// What else is known of the failures, with how often that was.
    pub fn details(&self) -> impl Iterator<Item = (&str, u64)> {
        self.details.iter().map(|(detail, count)| (detail.as_str(), *count))
    }

    /// How long the successful ones took: all, those during restarts, those outside of them.
    #[must_use]
    pub fn latencies(&self) -> [Option<Quantiles>; 3] {
        let all = self.restarting.0.iter().chain(&self.steady.0).copied().collect();
        [
            Latencies(all).quantiles(),
            self.restarting.quantiles(),
            self.steady.quantiles(),
        ]
    }
}

/// Microseconds, in the order in which they came.
#[derive(Debug, Default)]
struct Latencies(Vec<u32>);

/// Of so many in a thousand none took longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quantiles {
    /// Of half of them.
    pub p50: Duration,
    /// Of 990.
    pub p99: Duration,
    /// Of 999.
    pub p99_9: Duration,
    /// Of all.
    pub max: Duration,
}

impl Latencies {
    fn add(&mut self, latency: Duration) {
        self.0.push(u32::try_from(latency.as_micros()).unwrap_or(u32::MAX));
    }

    fn quantiles(&self) -> Option<Quantiles> {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        // The nearest rank: the smallest value that so many in a thousand do not exceed.
        let quantile = |thousandths: usize| {
            let rank = (sorted.len() * thousandths).div_ceil(1000);
            let micros = sorted.get(rank.checked_sub(1)?)?;
            Some(Duration::from_micros(u64::from(*micros)))
        };
        Some(Quantiles {
            p50: quantile(500)?,
            p99: quantile(990)?,
            p99_9: quantile(999)?,
            max: quantile(1000)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn sample(begin: Instant, from: u64, to: u64) -> Sample {
        Sample {
            begun: begin + Duration::from_millis(from),
            ended: begin + Duration::from_millis(to),
            fresh: true,
            retried: false,
            outcome: Ok(()),
        }
    }

    #[test]
    fn one_that_meets_a_restart_belongs_to_it() {
        let begin = Instant::now();
        let at = |millis| begin + Duration::from_millis(millis);
        for (from, to, restarting) in [
            (0, 9, false),
            (0, 10, true),
            (15, 16, true),
            (20, 30, true),
            (21, 30, false),
            (21, 50, true),
            (60, 70, true),
        ] {
            let mut tally = Tally::default();
            tally.restart_began(at(10));
            tally.restart_over(at(20));
            tally.restart_over(at(25));
            tally.restart_began(at(50));
            tally.add(&sample(begin, from, to));
            assert_eq!(tally.restarting.0.len() == 1, restarting, "{from} to {to}");
        }
    }

    #[test]
    fn a_new_restart_ends_the_one_before() {
        let begin = Instant::now();
        let mut tally = Tally::default();
        tally.restart_began(begin);
        tally.restart_began(begin + Duration::from_millis(5));
        assert_eq!(tally.restarts[0].1, Some(begin + Duration::from_millis(5)));
    }

    #[test]
    fn details_are_few() {
        let mut tally = Tally::default();
        for status in (500..600).chain([500]) {
            let detail = status.to_string();
            tally.add_failure(&Failure {
                kind: Kind::Not2xx,
                detail,
            });
        }
        assert_eq!((tally.failed(), tally.failures(Kind::Not2xx)), (101, 101));
        assert_eq!(
            (tally.details().count(), tally.details().next()),
            (DETAILS, Some(("500", 2)))
        );
    }

    proptest! {
        #[test]
        fn a_quantile_is_one_of_the_values_and_parts_them(micros in vec(0_u32..100_000, 1..3000)) {
            let found = Latencies(micros.clone()).quantiles().unwrap();
            for (thousandths, value) in [(500, found.p50), (990, found.p99), (999, found.p99_9), (1000, found.max)] {
                let value = u32::try_from(value.as_micros()).unwrap();
                prop_assert!(micros.contains(&value));
                let within = micros.iter().filter(|it| **it <= value).count();
                let below = micros.iter().filter(|it| **it < value).count();
                prop_assert!(within * 1000 >= micros.len() * thousandths);
                prop_assert!(below * 1000 < micros.len() * thousandths);
            }
        }

        #[test]
        fn every_request_is_counted_once(requests in vec((0_u64..100, 0_u64..50, any::<bool>(), 0_usize..7), 0..300)) {
            let begin = Instant::now();
            let mut tally = Tally::default();
            tally.restart_began(begin + Duration::from_millis(40));
            tally.restart_over(begin + Duration::from_millis(70));
            for (from, takes, fresh, kind) in &requests {
                let failure = Kind::ALL.get(*kind).map(|kind| Failure { kind: *kind, detail: String::new() });
                let outcome = failure.map_or(Ok(()), Err);
                tally.add(&Sample { fresh: *fresh, outcome, ..sample(begin, *from, from + takes) });
            }
            let (fresh, kept) = tally.requests();
            let succeeded = tally.restarting.0.len() + tally.steady.0.len();
            prop_assert_eq!(usize::try_from(fresh + kept).unwrap(), requests.len());
            prop_assert_eq!(usize::try_from(tally.failed()).unwrap() + succeeded, requests.len());
            prop_assert_eq!(Kind::ALL.iter().map(|kind| tally.failures(*kind)).sum::<u64>(), tally.failed());
        }
    }
}
