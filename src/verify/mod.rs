//! PROVES that a program restarts without losing a request: runs it under segue, keeps it busy, restarts it, stops it,
//! and says what was lost.

mod client;
mod journal;
mod load;
mod progress;
mod report;
mod subject;
mod tally;
mod trial;

use std::{
    ffi::OsString,
    io,
    net::SocketAddr,
    time::{Duration, Instant},
};

use tokio::sync::mpsc::{self, UnboundedSender};

pub use self::{client::Question, report::Evidence};
use self::{
    journal::{Outcome, reachable},
    load::{Load, Message},
    subject::Subject,
    trial::{Halt, Trial},
};
use crate::process::inherited::Inherited;

/// How long the first generation may take to become ready.
const READY: Duration = Duration::from_secs(120);
/// How long after that it may take until it listens.
const LISTENING: Duration = Duration::from_secs(30);
/// Load before the first restart, at least between two, and after the last.
const PAUSES: [Duration; 3] = [
    Duration::from_secs(2),
    Duration::from_millis(200),
    Duration::from_secs(1),
];
/// How long a restart may take to come out.
const RESTART: Duration = Duration::from_secs(120);
/// How long the last replaced generation may take to go before the time after the restarts is measured.
const GOING: Duration = Duration::from_secs(30);
/// How long the last requests may take: their own patience, and a little more.
const LAST: Duration = Duration::from_secs(25);
/// How long the stop may take before it is ended by force.
const STOP: Duration = Duration::from_secs(60);

/// What to prove.
#[derive(Debug)]
pub struct Claim {
    /// The program and its arguments.
    pub program: Vec<OsString>,
    /// The environment of the segue under test.
    pub environment: Vec<(OsString, OsString)>,
    /// What to ask, any of these; none = `/` where the log says that the program listens.
    pub questions: Vec<Question>,
    /// How often to restart it.
    pub restarts: u32,
    /// Requests per second.
    pub rate: u32,
}

/// Why there is nothing to report.
#[derive(Debug)]
pub enum Cut {
    /// It could not even be tried, for this reason.
    Failed(String),
    /// This signal came.
    Interrupted(i32),
}

/// Proves it; nothing that was started is left after that.
pub fn prove(claim: &Claim, inherited: &Inherited) -> Result<Evidence, Cut> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build();
    let cannot = |error: io::Error| Cut::Failed(format!("cannot start segue: {error}"));
    runtime.map_err(cannot)?.block_on(async {
        let subject = Subject::start(&claim.program, &claim.environment, inherited).map_err(cannot)?;
        let (sender, messages) = mpsc::unbounded_channel();
        let mut trial = Trial::new(subject, messages, claim.restarts);
        let evidence = trial.life(claim, sender).await;
        trial.end().await;
        evidence
    })
}

impl Trial {
    async fn life(&mut self, claim: &Claim, sender: UnboundedSender<Message>) -> Result<Evidence, Cut> {
        self.ready().await?;
        let question = self.question(claim, &sender).await?;
        let url = format!("http://{}{}", question.host, question.path);
        self.progress
            .step(&format!("{} requests per second of {url}", claim.rate));
        let load = Load::start(&question, claim.rate, &sender);
        drop(sender);
        self.restarts(claim.restarts).await?;
        load.stop();
        self.last_requests().await?;
        let (stop, code) = self.stop().await?;
        Ok(Evidence {
            url,
            tally: std::mem::take(&mut self.tally),
            asked: claim.restarts,
            serving: self.serving(),
            outcomes: std::mem::take(&mut self.journal.outcomes),
            generations: self.journal.ready.len(),
            stop,
            code,
            faults: std::mem::take(&mut self.faults),
        })
    }

    /// From each request to restart until the new generation had the new connections.
    fn serving(&self) -> Vec<Duration> {
        let replaced = self.asked.iter().zip(&self.journal.outcomes);
        let replaced = replaced.filter(|(_, outcome)| outcome.is_replaced());
        let times = replaced.filter_map(|(asked, outcome)| {
            let served = self.journal.ready.get(&outcome.generation)?;
            Some(served.saturating_duration_since(*asked))
        });
        times.collect()
    }

    async fn ready(&mut self) -> Result<(), Cut> {
        let ready = self.until(READY, |it| it.journal.serving.map(drop)).await;
        ready.map_err(|halt| self.cut(halt, "the program was ready", READY))
    }

    /// What to ask, once it was answered with success.
    async fn question(&mut self, claim: &Claim, sender: &UnboundedSender<Message>) -> Result<Question, Cut> {
        let mut questions = claim.questions.clone();
        if questions.is_empty() {
            let address = self.until(LISTENING, |it| it.journal.address).await;
            let what = "it was known where the program listens; say it by --url http://HOST:PORT/";
            questions.push(root_of(address.map_err(|halt| self.cut(halt, what, LISTENING))?));
        }
        tokio::spawn(load::first_success(questions, LISTENING, sender.clone()));
        let first = self.until(2 * LISTENING, |it| it.first.take()).await;
        match first.map_err(|halt| self.cut(halt, "the program answered", LISTENING))? {
            Ok(question) => Ok(question),
            Err(last) => Err(Cut::Failed(format!(
                "no answer of 2xx within {LISTENING:?} ({last}); what to ask is said by --url"
            ))),
        }
    }

    /// The restarts, with load before, between and after. What goes wrong is a fault in the report.
    async fn restarts(&mut self, count: u32) -> Result<(), Cut> {
        let [before, between, after] = PAUSES;
        let outcome = async {
            self.pause(before).await?;
            for number in 1..=count {
                if !self.restart(number).await? {
                    break;
                }
                self.pause(between).await?;
            }
            match self.until(GOING, |it| it.replacing.is_none().then_some(())).await {
                Ok(()) | Err(Halt::Late) => self.pause(after).await,
                Err(halt) => Err(halt),
            }
        };
        match outcome.await {
            Ok(()) | Err(Halt::Late) => Ok(()),
            Err(Halt::Interrupted(signal)) => Err(Cut::Interrupted(signal)),
            Err(Halt::Ended(code)) => {
                let why = self
                    .journal
                    .trouble
                    .take()
                    .map(|it| format!(": {it}"))
                    .unwrap_or_default();
                self.faults
                    .push(format!("segue ended with code {code} under load{why}"));
                Ok(())
            }
        }
    }

    /// One restart; did it come out in time?
    async fn restart(&mut self, number: u32) -> Result<bool, Halt> {
        let (asked, before) = (Instant::now(), self.journal.outcomes.len());
        self.replacing = Some((self.journal.serving, before));
        self.tally.restart_began(asked);
        self.asked.push(asked);
        if let Err(error) = self.subject.signal(libc::SIGHUP) {
            self.faults
                .push(format!("restart {number} could not be asked for: {error}"));
            return Ok(false);
        }
        let outcome = match self.until(RESTART, |it| it.journal.outcomes.get(before).cloned()).await {
            Ok(outcome) => outcome,
            Err(Halt::Late) => {
                self.faults
                    .push(format!("restart {number} did not come out within {RESTART:?}"));
                return Ok(false);
            }
            Err(halt) => return Err(halt),
        };
        self.note_restart(number, &outcome);
        Ok(true)
    }

    fn note_restart(&mut self, number: u32, outcome: &Outcome) {
        let Outcome {
            generation, took, why, ..
        } = outcome;
        let what = if outcome.is_replaced() {
            format!("generation {generation} serves, {:.2} s", took.as_secs_f64())
        } else {
            let how = outcome.outcome.replace('_', " ");
            let why = why.as_deref().unwrap_or("no reason was given");
            self.faults.push(format!("restart {number} {how}: {why}"));
            format!("{how}: {why}")
        };
        self.stage.restarts.0 = number;
        let (requests, failed) = self.stage.requests;
        self.progress.step(&format!(
            "restart {number} of {}: {what}; {requests} requests, {failed} failed",
            self.stage.restarts.1
        ));
    }

    async fn last_requests(&mut self) -> Result<(), Cut> {
        let deadline = Instant::now() + LAST;
        while !self.load_over {
            match self.turn(deadline).await {
                Ok(()) => {}
                Err(Halt::Interrupted(signal)) => return Err(Cut::Interrupted(signal)),
                Err(Halt::Late | Halt::Ended(_)) => {
                    self.faults.push("the last requests did not come to an end".into());
                    break;
                }
            }
        }
        Ok(())
    }

    /// Stops it; how long that took, and the exit code.
    async fn stop(&mut self) -> Result<(Duration, u8), Cut> {
        let begin = Instant::now();
        if self.subject.signal(libc::SIGTERM).is_err() {
            self.faults.push("the stop could not be asked for".into());
        }
        match self.until(STOP, |it| it.subject.ended).await {
            Ok(code) => Ok((begin.elapsed(), code)),
            Err(Halt::Interrupted(signal)) => Err(Cut::Interrupted(signal)),
            Err(Halt::Late | Halt::Ended(_)) => {
                self.faults
                    .push(format!("segue did not end within {STOP:?} and was killed"));
                self.kill().await;
                Ok((begin.elapsed(), self.subject.ended.unwrap_or_default()))
            }
        }
    }
}

/// The page that every server has.
fn root_of(address: SocketAddr) -> Question {
    let address = reachable(address);
    Question {
        address,
        host: address.to_string(),
        path: "/".into(),
    }
}
