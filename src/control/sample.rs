//! INVENTS statuses for the tests of this folder.

use std::time::{Duration, SystemTime};

use serde_json::Value;

use super::status::{Connections, Generation, Handover, Moment, Restart, Restarts, Setting, Status, Stop, Watch};

fn ago(seconds: u64) -> Moment {
    Moment(SystemTime::now() - Duration::from_secs(seconds))
}

fn to_come(seconds: u64) -> Moment {
    Moment(SystemTime::now() + Duration::from_secs(seconds))
}

/// One with everything in it.
pub(crate) fn status() -> Status {
    let start = SystemTime::now();
    let generation = |number, role: &str, pid, since: u64, (queued, busy, idle)| Generation {
        number,
        role: role.into(),
        pid: Some(pid),
        since: Moment(start - Duration::from_secs(since)),
        ready: Some(Moment(start - Duration::from_secs(since) + Duration::from_millis(412))),
        listens: vec!["0.0.0.0:8080".into(), "[::]:8443".into()],
        connections: Some(Connections { queued, busy, idle }),
    };
    let restart = |generation, reason: &str, outcome: &str, why: Option<&str>, took_ms, at| Restart {
        generation: Some(generation),
        reason: reason.into(),
        cause: (reason == "watch").then(|| "config/app.toml changed, 3 more".into()),
        mode: Some("overlap".into()),
        evidence: None,
        outcome: outcome.into(),
        why: why.map(str::to_owned),
        remedy: None,
        took_ms,
        at: ago(at),
    };
    let setting = |name: &str, value: &str| Setting {
        name: name.into(),
        value: value.into(),
    };
    Status {
        version: "0.1.0".into(),
        pid: 1,
        program: vec!["nginx".into()],
        since: ago(200_000),
        phase: "running".into(),
        ready: true,
        started: true,
        reason: "generation 4 serves".into(),
        draining: None,
        stop: None,
        next_start: None,
        generation: Some(4),
        generations: vec![
            generation(2, "draining", 871, 7400, (0, 1, 12)),
            generation(3, "draining", 1204, 95, (0, 3, 41)),
            generation(4, "serving", 1377, 20, (2, 118, 12_046)),
        ],
        unserved: Vec::new(),
        tells_idle: Some(true),
        handover: Handover {
            mode: "transparent".into(),
            method: Some("pidfd_getfd".into()),
            why: None,
        },
        restarts: Restarts {
            replaced: 3,
            rolled_back: 1,
            failed: 0,
        },
        last_restarts: vec![
            restart(4, "command", "replaced", None, 430, 19),
            restart(3, "hup", "replaced", None, 1_250, 94),
            restart(
                3,
                "watch",
                "rolled_back",
                Some("generation 3 ended with code 1 before it was ready: see its own log"),
                3_020,
                3_000,
            ),
            restart(2, "crash", "failed", Some("killed by SIGSEGV"), 75_000, 7_390),
        ],
        cut: 2,
        watch: Some(Watch {
            backend: "poll".into(),
            why: Some("inotify is blind on virtiofs".into()),
            files: 1_204,
            directories: 0,
            missing: vec!["/etc/app".into()],
            suspended: vec!["src/generated.rs".into()],
        }),
        faults: std::collections::BTreeMap::new(),
        settings: vec![
            setting("SEGUE_ADMIN", "0.0.0.0:9900"),
            setting("SEGUE_READY", "http://127.0.0.1:8080/health"),
            setting("SEGUE_STOP_TIMEOUT", "25s"),
        ],
    }
}

/// One with as little as possible: the program has ended, and starts again soon.
pub(super) fn nothing() -> Status {
    Status {
        ready: false,
        started: false,
        reason: "the program ended with code 3; it starts again in 4 s".into(),
        next_start: Some(to_come(4)),
        generation: None,
        generations: vec![],
        handover: Handover {
            mode: "none".into(),
            method: None,
            why: Some("the container's runtime allows no seccomp notifications".into()),
        },
        restarts: Restarts::default(),
        last_restarts: vec![],
        cut: 0,
        watch: None,
        settings: vec![],
        ..status()
    }
}

/// A stop with a deadline.
pub(super) fn stop() -> Stop {
    Stop {
        since: ago(3),
        deadline: Some(to_come(22)),
    }
}

/// The same, with every string that is no moment replaced.
pub(super) fn with_every_string(value: Value, text: &str) -> Value {
    match value {
        Value::String(old) if humantime::parse_rfc3339(&old).is_ok() => Value::String(old),
        Value::String(_) => text.into(),
        Value::Array(values) => values.into_iter().map(|it| with_every_string(it, text)).collect(),
        Value::Object(fields) => fields
            .into_iter()
            .map(|(name, it)| (name, with_every_string(it, text)))
            .collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => value,
    }
}
