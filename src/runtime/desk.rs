//! ANSWERS what is asked over the control socket and the admin endpoint: remembers how restarts came out, lets them be waited
//! for, and turns commands into the machine's events.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Weak},
    time::{Duration, Instant, SystemTime},
};

use tokio::sync::oneshot;

use super::{
    Supervisor,
    choosing::Chosen,
    counting::{Asker, Counting},
    story::OUTLIVED,
    tally::Tally,
};
use crate::{
    control::{
        Question,
        protocol::{Answer, Command},
        status::{Moment, Restart, Restarts},
    },
    machine::{self, Ending, Event, Outcome, Phase, Reason, Report, Role},
    process::send,
    settings::value::Signal,
};

/// So many restarts are remembered one by one.
const REMEMBERED: usize = 10;

/// So long segue's own end waits for those who have waited for it.
const GOODBYE: Duration = Duration::from_millis(200);

/// What is remembered for whoever asks.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) since: Moment,
    /// Name and text of every setting that is set.
    pub(super) given: Vec<(&'static str, String)>,
    /// Why there is no hand-over although it was hoped for.
    pub(super) no_handover: Option<String>,
    pub(super) restarts: Restarts,
    /// Newest first.
    pub(super) last_restarts: VecDeque<Restart>,
    /// Connections that were cut at a deadline.
    pub(super) cut: u64,
    /// Was any generation ever ready?
    pub(super) started: bool,
    /// Has it been said that the program listens on nothing?
    pub(super) told_of_nothing: bool,
    /// How long the first generation took to be ready.
    pub(super) first_took: Option<Duration>,
    pub(super) stop_since: Option<Moment>,
    pub(super) counting: Counting,
    pub(super) tally: Tally,
    /// Parts that have begun again.
    pub(super) faults: BTreeMap<String, u64>,
    waiting: Vec<Waiting>,
    /// They wait for the end.
    stop_waiting: Vec<(oneshot::Sender<Answer>, Weak<()>)>,
}

/// Somebody waits for a restart to come out.
#[derive(Debug)]
struct Waiting {
    /// So many others come out before; `None` until the machine has heard of it.
    others: Option<u32>,
    answer: oneshot::Sender<Answer>,
}

impl Desk {
    pub(super) fn new(given: Vec<(&'static str, String)>, no_handover: Option<String>) -> Desk {
        Desk {
            since: Moment::now(),
            given,
            no_handover,
            restarts: Restarts::default(),
            last_restarts: VecDeque::new(),
            cut: 0,
            started: false,
            told_of_nothing: false,
            first_took: None,
            stop_since: None,
            counting: Counting::default(),
            tally: Tally::default(),
            faults: BTreeMap::new(),
            waiting: Vec::new(),
            stop_waiting: Vec::new(),
        }
    }

    /// A restart has come out.
    pub(super) fn note_report(&mut self, report: &Report, chosen: &Chosen, remedy: Option<&str>) {
        let (count, outcome, why) = match &report.outcome {
            Outcome::Replaced => (&mut self.restarts.replaced, "replaced", None),
            Outcome::RolledBack { why } => (&mut self.restarts.rolled_back, "rolled_back", Some(why)),
            Outcome::Failed { why } => (&mut self.restarts.failed, "failed", Some(why)),
        };
        *count += 1;
        let (reason, took) = (report.reason.name(), report.took);
        self.tally.count(move |metrics| metrics.restart(reason, outcome, took));
        let restart = Restart {
            generation: report.generation,
            reason: report.reason.name().into(),
            cause: report.reason.cause().map(str::to_owned),
            mode: chosen.mode.map(str::to_owned),
            evidence: chosen.evidence.clone(),
            outcome: outcome.into(),
            why: why.cloned().or_else(|| report.outlived.then(|| OUTLIVED.to_owned())),
            remedy: remedy.map(str::to_owned),
            took_ms: u64::try_from(report.took.as_millis()).unwrap_or(u64::MAX),
            at: Moment::now(),
        };
        self.last_restarts.push_front(restart.clone());
        self.last_restarts.truncate(REMEMBERED);
        for mut waiting in std::mem::take(&mut self.waiting) {
            match waiting.others {
                Some(0) => drop(waiting.answer.send(Answer::Restart(restart.clone()))),
                Some(others) => {
                    waiting.others = Some(others - 1);
                    self.waiting.push(waiting);
                }
                None => self.waiting.push(waiting),
            }
        }
    }
}

impl Supervisor {
    pub(super) fn on_question(&mut self, question: Question) {
        match question {
            Question::Command {
                command: Command::Stop { wait: true },
                answer,
                client,
            } => {
                self.stop_for_a_client();
                self.desk.stop_waiting.push((answer, Arc::downgrade(&client)));
            }
            Question::Command { command, answer, .. } => self.on_command(&command, answer),
            Question::Status {
                connections: true,
                answer,
            } => self.answer_with_connections(Asker::Status(answer)),
            Question::Status {
                connections: false,
                answer,
            } => {
                let status = Box::new(self.status());
                answer.send(self.without_arguments(status)).ok();
            }
            Question::Metrics { answer } => self.answer_with_connections(Asker::Metrics(answer)),
        }
    }

    /// An answer that nobody waits for any more is no fault.
    fn on_command(&mut self, command: &Command, answer: oneshot::Sender<Answer>) {
        let told = match command {
            Command::Status { connections: true } => {
                self.look_at_who_is_not_ready();
                return self.answer_with_connections(Asker::Control(answer));
            }
            Command::Status { connections: false } => Answer::Status(Box::new(self.status())),
            Command::Restart { wait } => match self.state.phase() {
                Phase::Running => {
                    tracing::info!("asked to restart");
                    self.choose_mode();
                    self.events.push_back(Event::RestartRequested {
                        reason: Reason::Command,
                    });
                    if *wait {
                        return self.desk.waiting.push(Waiting { others: None, answer });
                    }
                    Answer::Done {}
                }
                Phase::Booting => Answer::Error("segue is not set up yet".into()),
                Phase::Stopping { .. } | Phase::Closing | Phase::Finishing { .. } | Phase::Ended => {
                    Answer::Error("segue is about to end, it starts nothing any more".into())
                }
            },
            Command::Stop { .. } => {
                self.stop_for_a_client();
                Answer::Done {}
            }
            Command::Drain => {
                tracing::info!("asked to drain");
                self.events.push_back(Event::DrainRequested);
                Answer::Done {}
            }
            Command::Signal { signal } => self.signal_for(*signal),
        };
        answer.send(told).ok();
    }

    fn stop_for_a_client(&mut self) {
        tracing::info!(signal = "command", "asked to stop");
        self.stopped_by = Some("segue stop".into());
        self.events.push_back(Event::StopRequested);
    }

    /// Tells whoever waits for the end that it has come, and lets them go first: the end of PID 1 takes everybody in its
    /// container along, `docker exec … segue stop` too.
    pub(super) async fn say_goodbye(&mut self, code: u8) {
        let waiting = std::mem::take(&mut self.desk.stop_waiting);
        let clients: Vec<Weak<()>> = waiting.iter().map(|(_, client)| Weak::clone(client)).collect();
        for (answer, _) in waiting {
            answer.send(Answer::Stopped { code }).ok();
        }
        let begin = Instant::now();
        while begin.elapsed() < GOODBYE && clients.iter().any(|it| it.strong_count() > 0) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    fn signal_for(&mut self, signal: i32) -> Answer {
        if Signal::new(signal).is_none() {
            return Answer::Error(format!("{signal} is no signal's number"));
        }
        let current = self.state.current().and_then(|number| self.generations.get(&number));
        if current.is_none_or(|it| it.living().is_none()) {
            return Answer::Error("no generation is running".into());
        }
        self.events.push_back(Event::SignalReceived { signal, value: None });
        Answer::Done {}
    }

    /// After a turn: what of it is remembered.
    pub(super) fn remember(&mut self, event: &Event) {
        match event {
            Event::Started { .. } => {
                let now = SystemTime::now();
                self.desk.tally.count(move |metrics| {
                    metrics.generation_started();
                    metrics.program_started(now);
                });
            }
            Event::Exited { generation, ending, .. } => {
                let by_signal = matches!(ending, Ending::Signal(_) | Ending::OutOfMemory);
                self.desk.tally.count(move |metrics| metrics.exited(by_signal));
                self.note_end_of_drain(*generation);
            }
            Event::BecameReady { generation } => {
                self.note_what_the_first_took(*generation);
                if let Some(it) = self.generations.get_mut(generation) {
                    it.ready.get_or_insert_with(Moment::now);
                    it.ready_at.get_or_insert_with(send::ticks_since_boot);
                }
            }
            Event::RestartRequested { reason } => self.forget_loops(reason),
            Event::StopRequested => {
                self.desk.stop_since.get_or_insert_with(Moment::now);
            }
            Event::Booted
            | Event::Prepared { .. }
            | Event::NotStarted { .. }
            | Event::BeganToListen { .. }
            | Event::AddressesAwaited { .. }
            | Event::Emptied { .. }
            | Event::Drained { .. }
            | Event::SignalReceived { .. }
            | Event::DrainRequested
            | Event::PostStopEnded
            | Event::TimePassed => {}
        }
        let serves = |it: &machine::Generation| it.role == Role::Serving;
        self.desk.started |= self.state.generations().iter().any(serves);
        self.look_after_waiting(event);
    }

    /// By that SEGUE_READY_TIMEOUT=auto is measured.
    fn note_what_the_first_took(&mut self, generation: u64) {
        let it = self.state.generations().iter().find(|it| it.number == generation);
        if let (Some(it), None) = (it, self.desk.first_took) {
            let took = it.since.elapsed();
            self.desk.first_took = Some(took);
            self.limits.ready_timeout = self.settings.ready_timeout.limit(Some(took));
        }
    }

    /// A generation drains no more: what that took.
    pub(super) fn note_end_of_drain(&mut self, generation: u64) {
        let since = self
            .generations
            .get_mut(&generation)
            .and_then(|it| it.drains_since.take());
        if let Some(since) = since {
            let took = since.elapsed();
            self.desk.tally.count(move |metrics| metrics.drained(took));
        }
    }

    /// Who waits for a restart knows which one, or that none comes.
    fn look_after_waiting(&mut self, event: &Event) {
        if matches!(
            event,
            Event::RestartRequested {
                reason: Reason::Command
            }
        ) {
            let others = u32::from(self.state.is_another_restart_queued());
            for waiting in self.desk.waiting.iter_mut().filter(|it| it.others.is_none()) {
                waiting.others = Some(others);
            }
        }
        if self.state.phase() == Phase::Running || self.desk.waiting.is_empty() {
            return;
        }
        for waiting in std::mem::take(&mut self.desk.waiting) {
            let restart = Restart {
                generation: None,
                reason: Reason::Command.name().into(),
                cause: None,
                mode: None,
                evidence: None,
                outcome: "failed".into(),
                why: Some("segue is about to end".into()),
                remedy: None,
                took_ms: 0,
                at: Moment::now(),
            };
            waiting.answer.send(Answer::Restart(restart)).ok();
        }
    }

    /// A moment of the machine's on the wall's clock.
    pub(super) fn moment(&self, instant: Instant) -> Moment {
        let (now, wall) = (Instant::now(), SystemTime::now());
        let past: Duration = now.saturating_duration_since(instant);
        let ahead = instant.saturating_duration_since(now);
        Moment(
            wall.checked_sub(past)
                .and_then(|it| it.checked_add(ahead))
                .unwrap_or(wall),
        )
    }
}
