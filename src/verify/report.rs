//! SAYS what was found: for people, or as one JSON object. Pure.

use std::{fmt::Write, time::Duration};

use serde_json::{Map, Value, json};

use super::{
    journal::Outcome,
    tally::{Kind, Quantiles, Tally},
};

/// All that was found.
#[derive(Debug)]
pub struct Evidence {
    /// What was asked.
    pub url: String,
    /// What came of it.
    pub tally: Tally,
    /// Restarts that were to be.
    pub asked: u32,
    /// How they came out.
    pub outcomes: Vec<Outcome>,
    /// From each request to restart until the new generation had the new connections.
    pub serving: Vec<Duration>,
    /// Generations that became ready.
    pub generations: usize,
    /// How long the stop took.
    pub stop: Duration,
    /// The exit code of the segue under test.
    pub code: u8,
    /// What else went wrong.
    pub faults: Vec<String>,
}

impl Evidence {
    /// Was every request answered, and the generation replaced by every restart?
    #[must_use]
    pub fn holds(&self) -> bool {
        let (fresh, kept) = self.tally.requests();
        fresh + kept > 0
            && self.tally.failed() == 0
            && self.replaced() == usize::try_from(self.asked).unwrap_or(usize::MAX)
            && self.faults.is_empty()
    }

    fn replaced(&self) -> usize {
        self.outcomes.iter().filter(|it| it.is_replaced()).count()
    }

    fn took(&self) -> Option<Spread> {
        Spread::of(self.outcomes.iter().filter(|it| it.is_replaced()).map(|it| it.took))
    }

    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        let (fresh, kept) = self.tally.requests();
        let [all, restarting, steady] = self.tally.latencies();
        let (fresh_text, kept_text) = (grouped(fresh), grouped(kept));
        let requests = format!(
            "{}   ({fresh_text} over fresh connections, {kept_text} kept alive)",
            grouped(fresh + kept)
        );
        let mut rows = vec![("requests", requests), ("failed", self.failed_text())];
        rows.extend(
            self.tally
                .details()
                .map(|(detail, count)| ("", format!("{detail}: {}", grouped(count)))),
        );
        if self.tally.retried() > 0 {
            let why = "kept-alive connections that the program closed under a request";
            rows.push(("retried", format!("{}   {why}", grouped(self.tally.retried()))));
        }
        rows.extend([
            ("latency", latency_text(all)),
            ("  restarting", latency_text(restarting)),
            ("  steady", latency_text(steady)),
            ("restarts", self.restarts_text()),
        ]);
        let stopped_first = self.outcomes.iter().rev().find_map(|it| it.stop_first.as_ref());
        rows.extend(stopped_first.map(|evidence| ("", format!("stop-first: {evidence}"))));
        rows.extend(self.faults.iter().map(|fault| ("", fault.clone())));
        rows.push(("generations", self.generations.to_string()));
        rows.push(("stopped", format!("in {} with code {}", seconds(self.stop), self.code)));
        rows.iter().fold(String::new(), |mut text, (name, value)| {
            // Writing to a String cannot fail.
            writeln!(text, "  {name:14}{value}").ok();
            text
        })
    }

    fn failed_text(&self) -> String {
        let kinds = Kind::ALL.iter().filter(|kind| self.tally.failures(**kind) > 0);
        let kinds: Vec<String> = kinds
            .map(|kind| format!("{kind} {}", grouped(self.tally.failures(*kind))))
            .collect();
        let failed = grouped(self.tally.failed());
        if kinds.is_empty() {
            failed
        } else {
            format!("{failed}   ({})", kinds.join(", "))
        }
    }

    fn restarts_text(&self) -> String {
        let mut text = format!("{} of {} replaced", self.replaced(), self.asked);
        if let Some(Spread { min, median, max }) = self.took() {
            let [min, max] = [min, max].map(|it| format!("{:.2}", it.as_secs_f64()));
            write!(text, ", {} each ({min} to {max})", seconds(median)).ok();
        }
        if let Some(Spread { median, .. }) = Spread::of(self.serving.iter().copied()) {
            write!(text, ", the new one serving after {}", seconds(median)).ok();
        }
        text
    }

    /// For programs.
    #[must_use]
    pub fn json(&self) -> Value {
        let (fresh, kept) = self.tally.requests();
        let [all, restarting, steady] = self.tally.latencies();
        let kinds = Kind::ALL
            .iter()
            .map(|kind| (kind.name().to_owned(), self.tally.failures(*kind).into()));
        let details = self
            .tally
            .details()
            .map(|(detail, count)| (detail.to_owned(), count.into()));
        json!({
            "ok": self.holds(),
            "url": self.url,
            "requests": fresh + kept,
            "fresh": fresh,
            "kept_alive": kept,
            "failed": self.tally.failed(),
            "failures": kinds.collect::<Map<String, Value>>(),
            "details": details.collect::<Map<String, Value>>(),
            "retried": self.tally.retried(),
            "latency_ms": latency_json(all),
            "latency_restarting_ms": latency_json(restarting),
            "latency_steady_ms": latency_json(steady),
            "restarts": {
                "asked": self.asked,
                "replaced": self.replaced(),
                "took_ms": spread_json(self.took()),
                "serving_ms": spread_json(Spread::of(self.serving.iter().copied())),
                "outcomes": self.outcomes.iter().map(outcome_json).collect::<Vec<Value>>(),
            },
            "generations": self.generations,
            "stop": { "took_ms": millis(self.stop), "code": self.code },
            "faults": self.faults,
        })
    }
}

/// The shortest, the middle one, the longest.
#[derive(Debug, PartialEq, Eq)]
struct Spread {
    min: Duration,
    median: Duration,
    max: Duration,
}

impl Spread {
    fn of(times: impl Iterator<Item = Duration>) -> Option<Spread> {
        let mut times: Vec<Duration> = times.collect();
        times.sort_unstable();
        Some(Spread {
            min: *times.first()?,
            median: *times.get((times.len() - 1) / 2)?,
            max: *times.last()?,
        })
    }
}

fn outcome_json(outcome: &Outcome) -> Value {
    json!({
        "generation": outcome.generation,
        "outcome": outcome.outcome,
        "took_ms": millis(outcome.took),
        "why": outcome.why,
        "stop_first": outcome.stop_first,
    })
}

fn spread_json(spread: Option<Spread>) -> Value {
    spread.map_or(
        Value::Null,
        |it| json!({ "min": millis(it.min), "median": millis(it.median), "max": millis(it.max) }),
    )
}

fn latency_json(quantiles: Option<Quantiles>) -> Value {
    quantiles.map_or(
        Value::Null,
        |it| json!({ "p50": millis(it.p50), "p99": millis(it.p99), "p99_9": millis(it.p99_9), "max": millis(it.max) }),
    )
}

fn latency_text(quantiles: Option<Quantiles>) -> String {
    let Some(Quantiles { p50, p99, p99_9, max }) = quantiles else {
        return "no request succeeded".into();
    };
    let [p50, p99, p99_9, max] = [p50, p99, p99_9, max].map(|it| format!("{:.1} ms", millis(it)));
    format!("p50 {p50} · p99 {p99} · p99.9 {p99_9} · max {max}")
}

/// Milliseconds, to the microsecond.
fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}

/// 1234567 as 1,234,567.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::verify::tally::{Failure, Sample};

    fn outcome(generation: u64, took: u64, why: Option<&str>) -> Outcome {
        Outcome {
            generation,
            outcome: if why.is_some() { "rolled_back" } else { "replaced" }.into(),
            took: Duration::from_millis(took),
            why: why.map(str::to_owned),
            stop_first: None,
        }
    }

    #[test]
    fn why_the_old_one_is_stopped_first_is_told_once() {
        let stopped_first = |generation| Outcome {
            stop_first: Some("process 7 holds a write lock (flock) on /x".into()),
            ..outcome(generation, 100, None)
        };
        let text = evidence(&[], vec![stopped_first(2), stopped_first(3)]).text();
        let line = "                stop-first: process 7 holds a write lock (flock) on /x\n";
        assert_eq!(text.matches(line).count(), 1, "{text}");
    }

    fn evidence(failures: &[(Kind, &str)], outcomes: Vec<Outcome>) -> Evidence {
        let (begin, mut tally) = (Instant::now(), Tally::default());
        let mut add = |from: u64, micros: u64, outcome| {
            let begun = begin + Duration::from_millis(from);
            tally.add(&Sample {
                begun,
                ended: begun + Duration::from_micros(micros),
                fresh: micros.is_multiple_of(2),
                retried: micros == 7,
                outcome,
            });
        };
        for micros in 1..=1999 {
            add(0, micros, Ok(()));
        }
        for (kind, detail) in failures {
            let detail = (*detail).to_owned();
            add(0, 8, Err(Failure { kind: *kind, detail }));
        }
        tally.restart_began(begin + Duration::from_millis(500));
        tally.add(&Sample {
            begun: begin + Duration::from_millis(600),
            ended: begin + Duration::from_millis(650),
            fresh: true,
            retried: false,
            outcome: Ok(()),
        });
        Evidence {
            url: "http://127.0.0.1:8080/".into(),
            tally,
            asked: 3,
            serving: vec![Duration::from_millis(12); 3],
            outcomes,
            generations: 4,
            stop: Duration::from_millis(104),
            code: 0,
            faults: Vec::new(),
        }
    }

    fn good() -> Evidence {
        evidence(
            &[],
            vec![outcome(2, 1010, None), outcome(3, 990, None), outcome(4, 1040, None)],
        )
    }

    #[test]
    fn for_people() {
        let expected = "
  requests      2,000   (1,000 over fresh connections, 1,000 kept alive)
  failed        0
  retried       1   kept-alive connections that the program closed under a request
  latency       p50 1.0 ms · p99 2.0 ms · p99.9 2.0 ms · max 50.0 ms
    restarting  p50 50.0 ms · p99 50.0 ms · p99.9 50.0 ms · max 50.0 ms
    steady      p50 1.0 ms · p99 2.0 ms · p99.9 2.0 ms · max 2.0 ms
  restarts      3 of 3 replaced, 1.01 s each (0.99 to 1.04), the new one serving after 0.01 s
  generations   4
  stopped       in 0.10 s with code 0
";
        assert!(good().holds());
        assert_eq!(format!("\n{}", good().text()), expected);
    }

    #[test]
    fn what_went_wrong_is_in_it() {
        let failures = [
            (Kind::Refused, ""),
            (Kind::Not2xx, "status 500"),
            (Kind::Not2xx, "status 500"),
        ];
        let outcomes = vec![outcome(2, 1010, None), outcome(3, 20, Some("it exited"))];
        let mut bad = evidence(&failures, outcomes);
        bad.faults.push("restart 2 was rolled back: it exited".into());
        let text = bad.text();
        assert!(!bad.holds());
        for row in [
            "  failed        3   (refused 1, not 2xx 2)\n                status 500: 2\n",
            "  restarts      1 of 3 replaced, 1.01 s each (1.01 to 1.01), the new one serving after 0.01 s\n                \
             restart 2 was rolled back: it exited\n",
        ] {
            assert!(text.contains(row), "{text}");
        }
    }

    #[test]
    fn for_programs() {
        let json = good().json();
        assert_eq!(json["ok"], true);
        assert_eq!((&json["requests"], &json["failed"]), (&2000.into(), &0.into()));
        assert_eq!(json["failures"].as_object().unwrap().len(), Kind::ALL.len());
        assert_eq!(json["latency_ms"]["p99_9"], 1.998);
        assert_eq!(
            json["restarts"]["took_ms"],
            json!({"min": 990.0, "median": 1010.0, "max": 1040.0})
        );
        assert_eq!(json["restarts"]["outcomes"][1]["generation"], 3);
        assert_eq!(json["stop"], json!({"took_ms": 104.0, "code": 0}));
    }

    #[test]
    fn nothing_proves_nothing() {
        let mut nothing = good();
        nothing.tally = Tally::default();
        assert!(!nothing.holds());
        assert!(nothing.text().contains("latency       no request succeeded\n"));
        assert_eq!(nothing.json()["latency_ms"], Value::Null);
    }

    #[test]
    fn digits_come_in_threes() {
        let numbers = [0, 999, 1000, 123_456, 1_234_567].map(grouped);
        assert_eq!(numbers, ["0", "999", "1,000", "123,456", "1,234,567"]);
    }
}
