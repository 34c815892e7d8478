//! DESCRIBES how segue and its program are: what `segue status`, `/status`, the probes and the page all show. Only data.

use std::{
    collections::BTreeMap,
    fmt,
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// How things are, at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Segue's version.
    pub version: String,
    /// Segue's own number, in its PID namespace.
    pub pid: i32,
    /// The program and, over the control socket only, its arguments.
    pub program: Vec<String>,
    /// When segue was started.
    pub since: Moment,
    /// `booting`, `running`, `stopping`, `closing`, `finishing` or `ended`.
    pub phase: String,
    /// Does a ready generation serve, with no drain or stop under way?
    pub ready: bool,
    /// Was any generation ever ready?
    pub started: bool,
    /// Why it is not ready and what to do about it, or who serves.
    pub reason: String,
    /// Since when `segue drain` keeps it from being ready.
    pub draining: Option<Moment>,
    /// The stop under way.
    pub stop: Option<Stop>,
    /// The program ended by itself: when it starts again.
    pub next_start: Option<Moment>,
    /// The generation that has the service.
    pub generation: Option<u64>,
    /// Those that live, oldest first.
    pub generations: Vec<Generation>,
    /// Addresses that the last generation served, and that the serving one has let go of.
    #[serde(default)]
    pub unserved: Vec<String>,
    /// Can idle connections be told from busy ones here? `None` where they were not counted.
    #[serde(default)]
    pub tells_idle: Option<bool>,
    /// What happens to listening sockets in a restart.
    pub handover: Handover,
    /// How many restarts came out in each way.
    pub restarts: Restarts,
    /// The last of them, newest first.
    pub last_restarts: Vec<Restart>,
    /// Connections that were cut at a deadline.
    pub cut: u64,
    /// What is watched, if anything is.
    #[serde(default)]
    pub watch: Option<Watch>,
    /// Settings that differ from their defaults.
    pub settings: Vec<Setting>,
    /// Parts of segue that have begun again after a fault of their own, and how often.
    #[serde(default)]
    pub faults: BTreeMap<String, u64>,
}

/// A stop under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stop {
    /// When it was asked for.
    pub since: Moment,
    /// When everything is killed, if ever.
    pub deadline: Option<Moment>,
}

/// One run of the program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generation {
    /// Counted from 1.
    pub number: u64,
    /// `preparing`, `starting`, `running` (it listens on nothing, and has had its time to), `serving`, `standby`, `draining`, `terminating`, `leaving` or `killed`.
    pub role: String,
    /// The program's number.
    pub pid: Option<i32>,
    /// When it was begun.
    pub since: Moment,
    /// When it was ready.
    pub ready: Option<Moment>,
    /// Where it listens, as far as that is seen.
    pub listens: Vec<String>,
    /// Its connections, if they were asked for and can be told.
    pub connections: Option<Connections>,
}

/// Numbers of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Connections {
    /// They wait to be accepted.
    pub queued: u64,
    /// The program is at work on them, or was a moment ago (`SEGUE_DRAIN_IDLE`).
    pub busy: u64,
    /// They are kept open.
    pub idle: u64,
}

/// What happens to listening sockets in a restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handover {
    /// `transparent`, `listen-fds`, `proxy` or `none`.
    pub mode: String,
    /// How segue comes by the program's own sockets: `pidfd_getfd`, `ptrace`, `exchange`, or `none` where it cannot. Absent
    /// before the program listens, and where they are not needed.
    #[serde(default)]
    pub method: Option<String>,
    /// Why it is none although it was hoped for.
    pub why: Option<String>,
}

/// How many restarts came out in each way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Restarts {
    /// The new generation serves.
    pub replaced: u64,
    /// The new one was thrown away.
    pub rolled_back: u64,
    /// There was none, and none to go back to.
    pub failed: u64,
}

/// How a restart came out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restart {
    /// The generation that was to serve, if it came to be.
    pub generation: Option<u64>,
    /// `hup`, `command`, `watch` or `crash`.
    pub reason: String,
    /// What exactly it was, where that does not say it: which files have changed.
    #[serde(default)]
    pub cause: Option<String>,
    /// `overlap`: the new one was started first; `stop-first`: the old one was stopped first. Absent where nothing served.
    #[serde(default)]
    pub mode: Option<String>,
    /// What spoke against two generations at once, if anything was found.
    #[serde(default)]
    pub evidence: Option<String>,
    /// `replaced`, `rolled_back` or `failed`.
    pub outcome: String,
    /// What was wrong.
    pub why: Option<String>,
    /// What may help.
    #[serde(default)]
    pub remedy: Option<String>,
    /// From the request to the outcome, in milliseconds.
    pub took_ms: u64,
    /// When it had come out.
    pub at: Moment,
}

/// What is watched.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    /// `inotify`, `poll`, or `inotify and poll`; empty as long as the files are looked at for the first time.
    pub backend: String,
    /// Why it polls, where nobody asked for that.
    pub why: Option<String>,
    /// Files whose content counts.
    pub files: u64,
    /// Directories that the kernel tells of.
    pub directories: u64,
    /// Watched paths that are not there.
    pub missing: Vec<String>,
    /// Files that the program itself changes when it starts: they do not restart it any more.
    pub suspended: Vec<String>,
}

/// For people, in a line.
impl fmt::Display for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.backend.is_empty() {
            return f.write_str("looking at the files for the first time");
        }
        let files = if self.files == 1 { "file" } else { "files" };
        write!(f, "{}, {} {files}", self.backend, self.files)?;
        if self.directories > 0 {
            write!(f, " in {} directories", self.directories)?;
        }
        if let Some(why) = &self.why {
            write!(f, "; {why}")?;
        }
        if !self.missing.is_empty() {
            write!(f, "; not there: {}", self.missing.join(", "))?;
        }
        if !self.suspended.is_empty() {
            write!(
                f,
                "; suspended, for the program changes them itself: {}",
                self.suspended.join(", ")
            )?;
        }
        Ok(())
    }
}

/// A setting that differs from its default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// Its full name.
    pub name: String,
    /// Its value; of a command the first word only, of a URL what precedes its query.
    pub value: String,
}

/// A moment by the wall clock, written as RFC 3339 in UTC with milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub SystemTime);

impl Moment {
    /// Now.
    #[must_use]
    pub fn now() -> Moment {
        Moment(SystemTime::now())
    }

    /// How long ago it was; nothing for one to come, and where the clock was set back.
    #[must_use]
    pub fn ago(self, now: SystemTime) -> Duration {
        now.duration_since(self.0).unwrap_or_default()
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // A clock that is set before 1970 or beyond 9999 cannot be written that way.
        let last = SystemTime::UNIX_EPOCH + Duration::from_secs(253_402_300_799);
        let moment = self.0.clamp(SystemTime::UNIX_EPOCH, last);
        serializer.collect_str(&humantime::format_rfc3339_millis(moment))
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Moment, D::Error> {
        let text = String::deserialize(deserializer)?;
        humantime::parse_rfc3339(&text)
            .map(Moment)
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_clock_is_set_too_wrongly_to_be_told() {
        let far = Duration::from_secs(1 << 40);
        for (moment, said) in [
            (SystemTime::UNIX_EPOCH, "\"1970-01-01T00:00:00.000Z\""),
            (SystemTime::UNIX_EPOCH - far, "\"1970-01-01T00:00:00.000Z\""),
            (SystemTime::UNIX_EPOCH + far, "\"9999-12-31T23:59:59.000Z\""),
        ] {
            assert_eq!(serde_json::to_string(&Moment(moment)).unwrap(), said);
        }
    }
}
