//! DRAWS a status as a table that people like to read. Pure; nothing that comes from outside is obeyed by a terminal.

use std::time::{Duration, SystemTime};

use super::say::{Paint, ago, amount, columns, printable, short};
use crate::control::status::{Connections, Generation, Restart, Status};

/// The table.
pub(super) fn table(status: &Status, paint: Paint, now: SystemTime) -> String {
    let state = if status.ready {
        paint.good("ready")
    } else {
        paint.bad("not ready")
    };
    let program: Vec<String> = status.program.iter().map(|word| printable(word)).collect();
    let mut text = format!(
        "{state}  {}\n\nprogram   {}\nsegue     {}, pid {}, {}\nhand-over {}{}\n",
        printable(&status.reason),
        program.join(" "),
        status.version,
        status.pid,
        since(status.since.ago(now)),
        match &status.handover.method {
            Some(method) => format!("{} ({method})", status.handover.mode),
            None => status.handover.mode.clone(),
        },
        status
            .handover
            .why
            .as_ref()
            .map(|why| format!(": {}", printable(why)))
            .unwrap_or_default(),
    );
    if let Some(stop) = &status.stop {
        let left = stop.deadline.and_then(|at| at.0.duration_since(now).ok());
        let left = left.map_or_else(|| "no deadline".to_owned(), |left| format!("{} left", short(left)));
        text.push_str(&format!("stop      {}, {left}\n", ago(stop.since.ago(now))));
    }
    if let Some(watch) = &status.watch {
        text.push_str(&format!("watch     {}\n", printable(&watch.to_string())));
    }
    if status.cut > 0 {
        text.push_str(&format!(
            "cut       {} at a deadline\n",
            amount(status.cut, "connection")
        ));
    }
    section(&mut text, paint, &generations(status, now));
    if status.tells_idle == Some(false) {
        text.push_str("(this kernel does not tell idle connections from busy ones)\n");
    }
    section(&mut text, paint, &restarts(status, now));
    let settings = status.settings.iter();
    let settings: Vec<Vec<String>> = settings.map(|it| vec![it.name.clone(), printable(&it.value)]).collect();
    if !settings.is_empty() {
        let heading = vec!["SETTING".to_owned(), "VALUE".to_owned()];
        section(&mut text, paint, &[vec![heading], settings].concat());
    }
    text
}

fn since(age: Duration) -> String {
    match ago(age).strip_suffix(" ago") {
        Some(age) => format!("up {age}"),
        None => "just started".into(),
    }
}

/// A blank line, the headings, the rows.
fn section(text: &mut String, paint: Paint, rows: &[Vec<String>]) {
    for (number, line) in columns(rows).into_iter().enumerate() {
        let line = if number == 0 {
            format!("\n{}", paint.heading(&line))
        } else {
            line
        };
        text.push_str(&line);
        text.push('\n');
    }
}

fn generations(status: &Status, now: SystemTime) -> Vec<Vec<String>> {
    let headings = [
        "GENERATION",
        "STATE",
        "PID",
        "STARTED",
        "READY AFTER",
        "QUEUED",
        "BUSY",
        "IDLE",
        "LISTENS",
    ];
    let row = |it: &Generation| {
        let count = |part: fn(&Connections) -> u64| {
            it.connections
                .as_ref()
                .map_or_else(|| "-".to_owned(), |counted| part(counted).to_string())
        };
        let ready = it.ready.and_then(|ready| ready.0.duration_since(it.since.0).ok());
        vec![
            it.number.to_string(),
            it.role.clone(),
            it.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string()),
            ago(it.since.ago(now)),
            ready.map_or_else(|| "-".to_owned(), short),
            count(|it| it.queued),
            count(|it| it.busy),
            count(|it| it.idle),
            some(&it.listens.iter().map(|it| printable(it)).collect::<Vec<_>>().join(" ")),
        ]
    };
    let heading = headings.iter().map(|it| (*it).to_owned()).collect();
    [heading]
        .into_iter()
        .chain(status.generations.iter().map(row))
        .collect()
}

fn restarts(status: &Status, now: SystemTime) -> Vec<Vec<String>> {
    if status.last_restarts.is_empty() {
        return Vec::new();
    }
    let row = |it: &Restart| {
        vec![
            ago(it.at.ago(now)),
            it.reason.clone(),
            it.generation.map_or_else(|| "-".to_owned(), |it| it.to_string()),
            it.outcome.replace('_', " "),
            short(Duration::from_millis(it.took_ms)),
            printable(&why(it)),
        ]
    };
    let headings = ["RESTART", "BY", "GENERATION", "OUTCOME", "TOOK", ""];
    let heading = headings.iter().map(|it| (*it).to_owned()).collect();
    [heading]
        .into_iter()
        .chain(status.last_restarts.iter().map(row))
        .collect()
}

/// What it came from, and what was wrong.
fn why(restart: &Restart) -> String {
    let stopped_first = restart
        .evidence
        .as_ref()
        .filter(|_| restart.mode.as_deref() == Some("stop-first"));
    let stopped_first = stopped_first.map(|evidence| format!("stop-first: {evidence}"));
    let parts = [
        restart.cause.as_deref(),
        restart.why.as_deref(),
        stopped_first.as_deref(),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join("; ")
}

fn some(text: &str) -> String {
    if text.is_empty() { "-".into() } else { text.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::status::{Handover, Moment, Restarts, Setting};

    fn sample() -> (Status, SystemTime) {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let at = |seconds: u64| Moment(now - Duration::from_secs(seconds));
        let generation = |number, role: &str, age, busy| Generation {
            number,
            role: role.into(),
            pid: Some(40 + i32::try_from(number).unwrap()),
            since: at(age),
            ready: Some(Moment(at(age).0 + Duration::from_millis(56))),
            listens: vec![":8080".into()],
            connections: Some(Connections {
                queued: 0,
                busy,
                idle: 1,
            }),
        };
        let status = Status {
            version: "0.1.0".into(),
            pid: 1,
            program: vec!["nginx".into(), "-g".into(), "daemon off;".into()],
            since: at(184),
            phase: "running".into(),
            ready: true,
            started: true,
            reason: "generation 3 serves".into(),
            draining: None,
            stop: None,
            next_start: None,
            generation: Some(3),
            generations: vec![generation(2, "draining", 100, 1), generation(3, "serving", 5, 12)],
            unserved: Vec::new(),
            tells_idle: Some(true),
            handover: Handover {
                mode: "transparent".into(),
                method: None,
                why: None,
            },
            restarts: Restarts {
                replaced: 2,
                rolled_back: 0,
                failed: 0,
            },
            last_restarts: vec![Restart {
                generation: Some(3),
                reason: "hup".into(),
                cause: None,
                mode: Some("overlap".into()),
                evidence: None,
                outcome: "replaced".into(),
                why: None,
                remedy: None,
                took_ms: 1_056,
                at: at(4),
            }],
            cut: 1,
            watch: None,
            faults: std::collections::BTreeMap::new(),
            settings: vec![Setting {
                name: "SEGUE_STOP_TIMEOUT".into(),
                value: "10s".into(),
            }],
        };
        (status, now)
    }

    #[test]
    fn the_table() {
        let (status, now) = sample();
        let expected = "\
ready  generation 3 serves

program   nginx -g daemon off;
segue     0.1.0, pid 1, up 3m 4s
hand-over transparent
cut       1 connection at a deadline

GENERATION  STATE     PID  STARTED     READY AFTER  QUEUED  BUSY  IDLE  LISTENS
2           draining  42   1m 40s ago  56ms         0       1     1     :8080
3           serving   43   5s ago      56ms         0       12    1     :8080

RESTART  BY   GENERATION  OUTCOME   TOOK
4s ago   hup  3           replaced  1.05s

SETTING             VALUE
SEGUE_STOP_TIMEOUT  10s
";
        assert_eq!(table(&status, Paint::Plain, now), expected);
    }

    #[test]
    fn where_idle_cannot_be_told_it_says_so() {
        let (mut status, now) = sample();
        status.tells_idle = Some(false);
        assert!(table(&status, Paint::Plain, now).contains("does not tell idle"));
    }

    #[test]
    fn nothing_in_it_is_obeyed_by_a_terminal() {
        let (mut status, now) = sample();
        let evil = "a\x1b[2Jb\n";
        status.program = vec![evil.into()];
        status.reason = evil.into();
        status.settings[0].value = evil.into();
        status.generations[0].listens = vec![evil.into()];
        status.last_restarts[0].why = Some(evil.into());
        assert!(!table(&status, Paint::Plain, now).contains('\x1b'));
    }

    #[test]
    fn a_status_survives_its_json() {
        let (status, _) = sample();
        let json = serde_json::to_string(&status).unwrap();
        assert_eq!(serde_json::from_str::<Status>(&json).unwrap(), status);
    }
}
