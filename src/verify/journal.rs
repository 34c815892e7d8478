//! UNDERSTANDS the log of the segue under test: which generations became ready, served and went, how the restarts came
//! out, where the program listens. Pure: it is given lines.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    time::{Duration, Instant},
};

use serde_json::Value;

/// How a restart came out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The new generation.
    pub generation: u64,
    /// `replaced`, `rolled_back` or `failed`.
    pub outcome: String,
    /// By segue's own clock.
    pub took: Duration,
    /// Why it was not replaced.
    pub why: Option<String>,
    /// Why the old one was stopped first, if it was and nobody had asked for that.
    pub stop_first: Option<String>,
}

impl Outcome {
    /// Does the new generation serve?
    #[must_use]
    pub fn is_replaced(&self) -> bool {
        self.outcome == "replaced"
    }
}

/// What a line is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// Segue's, and of no interest to others.
    Noted,
    /// Segue's, and something is wrong: for people.
    Warning(String),
    /// The program's own.
    Foreign,
}

/// What the log has told so far.
#[derive(Debug, Default)]
pub(super) struct Journal {
    /// Generations that may get traffic, and when that was heard.
    pub(super) ready: BTreeMap<u64, Instant>,
    /// Generations of which nothing is left.
    pub(super) gone: BTreeSet<u64>,
    /// The one that serves.
    pub(super) serving: Option<u64>,
    /// What came of restarts that HUP asked for.
    pub(super) outcomes: Vec<Outcome>,
    /// Where the program listens.
    pub(super) address: Option<SocketAddr>,
    /// The last thing that went wrong.
    pub(super) trouble: Option<String>,
}

/// How a line of segue's begins. The program may have left a line without an end before it.
const BEGIN: &str = "{\"timestamp\":";

/// What is the program's and what may be segue's in a line.
#[must_use]
pub(super) fn split(line: &str) -> (&str, &str) {
    line.split_at(line.rfind(BEGIN).unwrap_or(line.len()))
}

impl Journal {
    /// Takes note of a line that came now.
    pub(super) fn hear(&mut self, line: &str, now: Instant) -> Heard {
        let Some(line) = serde_json::from_str::<Value>(line).ok().filter(is_segue_s) else {
            return Heard::Foreign;
        };
        let text = |name: &str| line.get(name).and_then(Value::as_str);
        let generation = line.get("generation").and_then(Value::as_u64);
        match (text("message").unwrap_or_default(), generation) {
            ("generation became ready", Some(generation)) => {
                self.ready.entry(generation).or_insert(now);
                self.serving.get_or_insert(generation);
            }
            ("generation is gone", Some(generation)) => {
                self.gone.insert(generation);
            }
            ("restart succeeded" | "restart rolled back" | "restart failed", Some(generation)) => {
                self.note_outcome(&line, generation);
            }
            ("listening", _) => {
                let address = text("address").and_then(|address| address.parse().ok());
                self.address = self.address.or(address.map(reachable));
            }
            (message, _) => return self.note_rest(&line, message),
        }
        Heard::Noted
    }

    fn note_outcome(&mut self, line: &Value, generation: u64) {
        let text = |name: &str| line.get(name).and_then(Value::as_str).map(str::to_owned);
        let outcome = Outcome {
            generation,
            outcome: text("outcome").unwrap_or_default(),
            took: Duration::from_millis(line.get("took_ms").and_then(Value::as_u64).unwrap_or(0)),
            why: text("why"),
            stop_first: text("evidence").filter(|_| text("mode").as_deref() == Some("stop-first")),
        };
        if outcome.is_replaced() {
            self.serving = Some(generation);
        }
        // Those that segue decides on itself, after a crash, were not asked for.
        if text("reason").as_deref() == Some("hup") {
            self.outcomes.push(outcome);
        }
    }

    fn note_rest(&mut self, line: &Value, message: &str) -> Heard {
        let text = |name: &str| line.get(name).and_then(Value::as_str);
        let details = ["evidence", "detail", "why", "reason", "warning", "error", "remedy"];
        let detail = details.iter().find_map(|name| text(name));
        let told = detail.map_or_else(|| message.to_owned(), |detail| format!("{message}: {detail}"));
        let is_warning = matches!(text("level"), Some("WARN" | "ERROR"));
        if is_warning || message == "program ended" {
            self.trouble = Some(told.clone());
        }
        if is_warning { Heard::Warning(told) } else { Heard::Noted }
    }
}

/// A program that logs in the same form is not segue.
fn is_segue_s(line: &Value) -> bool {
    let target = line.get("target").and_then(Value::as_str);
    target.is_some_and(|target| target == "segue" || target.starts_with("segue::"))
}

/// Every interface is reached by the loopback one.
#[must_use]
pub(super) fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(fields: &str) -> String {
        format!("{BEGIN}\"2030-01-01T00:00:00Z\",{fields},\"target\":\"segue::runtime::story\"}}")
    }

    fn heard(lines: &[&str]) -> Journal {
        let mut journal = Journal::default();
        for fields in lines {
            journal.hear(&line(fields), Instant::now());
        }
        journal
    }

    #[test]
    fn a_restart() {
        let journal = heard(&[
            r#""message":"generation became ready","generation":1"#,
            r#""message":"generation became ready","generation":2"#,
            r#""outcome":"replaced","generation":2,"reason":"hup","took_ms":1002,"message":"restart succeeded""#,
            r#""message":"generation is gone","generation":1"#,
            r#""outcome":"rolled_back","generation":3,"reason":"hup","took_ms":7,"why":"it ended","message":"restart rolled back""#,
            r#""outcome":"replaced","generation":4,"reason":"Crash","took_ms":9,"message":"restart succeeded""#,
        ]);
        assert_eq!(journal.ready.keys().copied().collect::<Vec<u64>>(), [1, 2]);
        assert!(journal.gone.contains(&1) && journal.serving == Some(4));
        let [replaced, back] = journal.outcomes.as_slice() else {
            panic!("{journal:?}")
        };
        assert!(replaced.is_replaced() && replaced.took == Duration::from_millis(1002));
        assert!(!back.is_replaced() && back.why.as_deref() == Some("it ended"));
    }

    #[test]
    fn the_first_address_counts_and_can_be_reached() {
        for (told, reached) in [
            ("0.0.0.0:8080", "127.0.0.1:8080"),
            ("[::]:80", "[::1]:80"),
            ("10.0.0.1:80", "10.0.0.1:80"),
        ] {
            let first = format!(r#""message":"listening","address":"{told}""#);
            let journal = heard(&[&first, r#""message":"listening","address":"127.0.0.1:9""#]);
            assert_eq!(journal.address, Some(reached.parse().unwrap()));
        }
    }

    #[test]
    fn what_is_wrong_is_told_on() {
        let mut journal = Journal::default();
        let warning = line(r#""level":"ERROR","detail":"cannot run x","message":"generation could not be started""#);
        let told = "generation could not be started: cannot run x".to_owned();
        assert_eq!(journal.hear(&warning, Instant::now()), Heard::Warning(told.clone()));
        assert_eq!(journal.trouble, Some(told));
    }

    #[test]
    fn the_program_s_own_lines_are_not_segue_s() {
        let mut journal = Journal::default();
        let twin = r#"{"timestamp":"x","message":"generation is gone","generation":1,"target":"seguel"}"#;
        for foreign in [twin, "hello", "{", "[1]", ""] {
            assert_eq!(journal.hear(foreign, Instant::now()), Heard::Foreign, "{foreign}");
        }
        assert!(journal.gone.is_empty());
    }

    #[test]
    fn a_line_of_the_program_s_without_an_end_hides_none_of_segue_s() {
        let own = line(r#""message":"generation is gone","generation":1"#);
        assert_eq!(split(&format!("loading… {own}")), ("loading… ", own.as_str()));
        assert_eq!(split(&own), ("", own.as_str()));
        assert_eq!(split("hello"), ("hello", ""));
    }
}
