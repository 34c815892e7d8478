//! What was measured, as a file for each row, from which scripts/compat-table makes the table.

use std::{fs, path::Path, time::Duration};

use serde_json::{Value, json};

use crate::{
    journal::Restart,
    table::{Expects, Package, Row},
    tally::Tally,
};

/// One run of one row.
pub struct Measured {
    pub version: String,
    pub handover: Value,
    pub restarts: Vec<Restart>,
    pub tally: Tally,
    /// From the last restart's success to the end of the generation before.
    pub old_gone: Option<Duration>,
    pub stop: Option<Duration>,
    pub code: Option<i32>,
    /// All that was not as it is to be.
    pub faults: Vec<String>,
}

impl Measured {
    /// Nothing yet.
    pub fn new(version: String) -> Measured {
        Measured {
            version,
            handover: Value::Null,
            restarts: Vec::new(),
            tally: Tally::default(),
            old_gone: None,
            stop: None,
            code: None,
            faults: Vec::new(),
        }
    }

    pub fn write(&self, name: &str, row: &Row) {
        let (source, package) = match row.package {
            Package::Debian(package) => ("Debian", package),
            Package::PyPi(package) => ("PyPI", package),
        };
        let (expects, reason) = match row.expects {
            Expects::Replaced => ("replaced", ""),
            Expects::StopFirst(reason) => ("stop-first", reason),
            Expects::Later(reason) => ("later", reason),
        };
        let restarts = self.restarts.iter().map(|restart| {
            json!({
                "succeeded": restart.succeeded,
                "mode": if restart.stop_first { "stop-first" } else { "overlap" },
                "took_ms": restart.line["took_ms"],
                "why": restart.line["why"],
            })
        });
        let result = json!({
            "name": name,
            "title": row.title,
            "source": source,
            "package": package,
            "version": self.version,
            "command": row.command,
            "settings": row.settings,
            "expects": { "restart": expects, "reason": reason },
            "handover": self.handover,
            "restarts": restarts.collect::<Value>(),
            "requests": { "fresh": self.tally.fresh, "kept": self.tally.kept },
            "kept_connections_closed_between_requests": self.tally.closed_between,
            "failed": self.tally.failures.len(),
            "failed_by_kind": self.tally.kinds(),
            "longest_answer_ms": milliseconds(self.tally.longest),
            "old_generation_gone_after_ms": self.old_gone.map(milliseconds),
            "stop_ms": self.stop.map(milliseconds),
            "exit_code": self.code,
            "faults": self.faults,
        });
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/compat");
        fs::create_dir_all(&directory).unwrap();
        let text = serde_json::to_string_pretty(&result).unwrap();
        fs::write(directory.join(format!("{name}.json")), text + "\n").unwrap();
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap()
}
