//! One row from start to end: started, loaded, restarted three times, stopped, judged.

use std::{
    fs::File,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    installed,
    journal::Journal,
    load::Load,
    measured::Measured,
    place::Place,
    support::{
        command::Desk,
        directory,
        segue::{As, Recipe, Segue},
    },
    table::{Expects, Row},
};

const RESTARTS: usize = 3;
/// A slow server on a busy machine has started by then.
const START: Duration = Duration::from_secs(60);
/// A new generation that is not ready is rolled back after 60 s.
const RESTART: Duration = Duration::from_secs(90);
/// A replaced generation is killed after 30 s, and so is one that is stopped.
const DEADLINE: Duration = Duration::from_secs(40);
/// Requests before the first restart, and after each.
const REQUESTS: u64 = 60;

/// Runs a row.
pub fn row(name: &str, row: &Row) {
    if let Expects::Later(reason) = row.expects {
        eprintln!("not run yet: {reason}");
        return;
    }
    let Some(version) = installed::version(row, &Place::new()) else {
        return installed::skip(row);
    };
    let mut measured = Measured::new(version);
    let log = match Run::start(row) {
        Ok(mut run) => {
            run.measure(row, &mut measured);
            // What is left is ended before the verdict, which so comes last.
            run.journal.refresh().text()
        }
        Err(log) => {
            measured.faults.push("it did not answer".to_owned());
            log
        }
    };
    measured.write(name, row);
    assert!(
        measured.faults.is_empty(),
        "{name}:\n{}\n{}{log}",
        measured.faults.join("\n"),
        measured.tally.samples(),
    );
}

struct Run {
    segue: Segue,
    journal: Journal,
    desk: Desk,
    place: Arc<Place>,
}

impl Run {
    /// Starts the server, and waits until it answers; again with other ports if another process has taken one meanwhile. An error is
    /// what it did not do, and the log.
    fn start(row: &Row) -> Result<Run, String> {
        for _ in 0..3 {
            let mut run = Run::spawn(row);
            let mut last = None;
            let answers = until(START, || {
                let asked = row.ask.once(&run.place);
                let answers = asked.is_ok() && run.journal.refresh().is_ready(1);
                last = asked.err().or(last.take());
                answers || run.segue.try_wait().is_some()
            });
            if answers && run.segue.try_wait().is_none() {
                return Ok(run);
            }
            if !run.journal.refresh().address_was_taken() {
                return Err(format!("the last answer: {last:?}\n{}", run.journal.text()));
            }
        }
        Err("the port was taken three times".to_owned())
    }

    fn spawn(row: &Row) -> Run {
        let (place, desk, files) = (Place::new(), Desk::new(), directory());
        place.prepare(row);
        let words: Vec<String> = row.command.split_whitespace().map(|word| place.fill(word)).collect();
        let mut recipe = Recipe::plain(As::Init, words)
            .within(place.directory())
            .set("HOME", place.directory())
            .set("SEGUE_LOG", "info,segue=info,segue::runtime::story=debug")
            .set("SEGUE_CONTROL", desk.path());
        for (name, value) in row.settings {
            recipe = recipe.set(name, place.fill(value));
        }
        let (mut command, log) = (recipe.command(files.path()), files.path().join("log"));
        // Appended to: a server that opens /dev/stderr itself must not write over what segue has written.
        command.stderr(File::options().append(true).open(&log).unwrap());
        let journal = Journal::new(log);
        Run {
            segue: Segue::spawn(As::Init, command, files),
            journal,
            desk,
            place: Arc::new(place),
        }
    }

    fn measure(&mut self, row: &Row, measured: &mut Measured) {
        measured.handover = self.status()["handover"].clone();
        let load = Load::start(row.ask, &self.place, row.rate);
        self.more(&load, "before the first restart", &mut measured.faults);
        for number in 1..=RESTARTS {
            // After one that went wrong the next would tell nothing new.
            if !self.restart(number, row, &load, measured) {
                break;
            }
        }
        let begin = Instant::now();
        let alone = until(DEADLINE, || {
            self.status()["generations"]
                .as_array()
                .is_some_and(|all| all.len() == 1)
        });
        measured.old_gone = alone.then(|| begin.elapsed());
        if !alone {
            measured
                .faults
                .push(format!("an old generation is still there after {DEADLINE:?}"));
        }
        measured.tally = load.stop();
        if !measured.tally.failures.is_empty() {
            let (failed, all) = (measured.tally.failures.len(), measured.tally.requests());
            measured.faults.push(format!(
                "{failed} of {all} requests failed: {:?}",
                measured.tally.kinds()
            ));
        }
        self.stop(row, measured);
    }

    /// One restart; did it come out as it is to?
    fn restart(&mut self, number: usize, row: &Row, load: &Load, measured: &mut Measured) -> bool {
        if let Some(status) = self.segue.try_wait() {
            measured
                .faults
                .push(format!("the program ended before restart {number}: {status}"));
            return false;
        }
        self.segue.signal(libc::SIGHUP);
        let journal = &mut self.journal;
        if !until(RESTART, || journal.refresh().restarts().len() >= number) {
            measured
                .faults
                .push(format!("restart {number} did not come out within {RESTART:?}"));
            return false;
        }
        let restart = self.journal.restarts()[number - 1].clone();
        let expected = match row.expects {
            Expects::Replaced => !restart.stop_first,
            Expects::StopFirst(reason) => {
                restart.stop_first && (self.journal.says(reason) || self.status().to_string().contains(reason))
            }
            Expects::Later(_) => true,
        };
        if !restart.succeeded || !expected {
            let how = if restart.stop_first { "stop-first" } else { "overlap" };
            measured.faults.push(format!(
                "restart {number} was {how}, expected was {:?}: {}",
                row.expects, restart.line
            ));
        }
        let well = restart.succeeded && expected;
        measured.restarts.push(restart);
        self.more(load, &format!("after restart {number}"), &mut measured.faults);
        well
    }

    /// Waits until more requests were answered.
    fn more(&self, load: &Load, when: &str, faults: &mut Vec<String>) {
        let target = load.answered() + REQUESTS;
        if !until(DEADLINE, || load.answered() >= target) {
            faults.push(format!("the load stands still {when}"));
        }
    }

    fn stop(&mut self, row: &Row, measured: &mut Measured) {
        let begin = Instant::now();
        if self.segue.try_wait().is_none() {
            self.segue.signal(libc::SIGTERM);
        }
        if !until(DEADLINE, || self.segue.try_wait().is_some()) {
            measured.faults.push(format!("the stop took more than {DEADLINE:?}"));
            return;
        }
        let took = begin.elapsed();
        measured.stop = Some(took);
        measured.code = Some(self.segue.wait());
        if took > row.stops_within {
            measured
                .faults
                .push(format!("the stop took {took:.1?}, more than {:?}", row.stops_within));
        }
    }

    fn status(&self) -> Value {
        let said = self.desk.tell(&["status", "--json"]);
        serde_json::from_str(&said.out).unwrap_or(Value::Null)
    }
}

/// Looks until a state is there; is it, in time?
fn until(limit: Duration, mut state: impl FnMut() -> bool) -> bool {
    let begin = Instant::now();
    loop {
        if state() {
            return true;
        }
        if begin.elapsed() > limit {
            return false;
        }
        thread::sleep(Duration::from_millis(10));
    }
}
