//! LOGS what happened: at level debug one line per turn of the machine, and by default those that `noteworthy` picks, so that
//! the lines together are an incident's story.

use std::path::Path;

use super::{
    Supervisor,
    choosing::Chosen,
    noteworthy::{self, Context, Level},
    picture::name_of_phase,
};
use crate::{
    machine::{Action, Ending, Event, Outcome, Phase, Report},
    settings::value::{RestartPolicy, TerminationLog},
    telemetry::termination,
};

/// What shows that a generation which is not ready is as good as its predecessor.
pub(super) const OUTLIVED: &str = "it has outlived SEGUE_PROBATION, and listens on nothing, as its predecessor";

/// One turn, to be told.
pub(super) struct Turn {
    pub(super) event: Event,
    pub(super) actions: Vec<Action>,
    pub(super) before: Phase,
    pub(super) after: Phase,
}

impl Supervisor {
    /// Logs a turn, and remembers why segue may be about to end.
    pub(super) fn tell(&mut self, turn: &Turn) {
        let Turn {
            event,
            actions,
            before,
            after,
        } = turn;
        let detail = detail(event);
        if let Some(why) = reason(event) {
            self.last_reason = why;
        }
        let generation = event.generation();
        let level = noteworthy::level(event, self.context(turn));
        // How the machine came to it is for those who ask for every turn.
        let told = self
            .settings
            .log
            .targets
            .would_enable(module_path!(), &tracing::Level::DEBUG)
            .then(|| {
                let actions = actions.iter().map(say).collect::<Vec<_>>().join(", ");
                (actions, name_of_phase(*before), name_of_phase(*after))
            });
        let (actions, before, after) = told.map_or((None, None, None), |it| (Some(it.0), Some(it.1), Some(it.2)));
        // By its notification and by its port, or it sends READY=1 more than once.
        let is_known = matches!(event, Event::BecameReady { .. }) && turn.actions.is_empty();
        let message = if is_known {
            "generation is ready: known already"
        } else {
            event.headline()
        };
        macro_rules! line {
            ($level:ident) => {
                tracing::$level!(generation, detail, actions, before, after, "{message}")
            };
        }
        if matches!(event, Event::BecameReady { .. }) && level == Level::Info {
            if generation == Some(1) && std::process::id() != 1 {
                tracing::info!(pid = std::process::id(), "not PID 1: gathering orphans as a subreaper");
            }
            self.introduce();
        }
        match level {
            Level::Debug => line!(debug),
            Level::Info => line!(info),
            Level::Warn => line!(warn),
            Level::Error => line!(error),
        }
    }

    fn context(&self, turn: &Turn) -> Context {
        let it = turn.event.generation().and_then(|number| self.generations.get(&number));
        let age = it.and_then(|it| it.began_at.elapsed().ok()).unwrap_or_default();
        Context {
            acts: !turn.actions.is_empty(),
            is_first_run: self.state.last_generation() == 1 && !matches!(turn.before, Phase::Stopping { .. }),
            proved_itself: it.is_some_and(|it| it.ready.is_some()) || age >= self.settings.stable_delay,
            is_restarted: self.settings.restart != RestartPolicy::Never,
        }
    }

    /// How a restart came out, in one line for whoever asked.
    pub(super) fn tell_report(&mut self, report: &Report, chosen: &Chosen) {
        let remedy = self.remedy(report);
        self.desk.note_report(report, chosen, remedy);
        let (mode, evidence) = (chosen.mode, chosen.evidence.as_deref());
        let Report {
            generation,
            reason,
            took,
            outcome,
            outlived,
        } = report;
        let milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        match outcome {
            Outcome::Replaced => tracing::info!(
                outcome = "replaced",
                judged_by = outlived.then_some(OUTLIVED),
                generation,
                reason = reason.name(),
                cause = reason.cause(),
                took_ms = milliseconds,
                mode,
                evidence,
                "restart succeeded"
            ),
            Outcome::RolledBack { why } => {
                self.last_reason = format!("restart rolled back: {why}");
                tracing::warn!(
                    outcome = "rolled_back",
                    generation,
                    reason = reason.name(),
                    cause = reason.cause(),
                    took_ms = milliseconds,
                    mode,
                    evidence,
                    mode,
                    evidence,
                    why,
                    remedy,
                    "restart rolled back"
                );
            }
            Outcome::Failed { why } => tracing::warn!(
                outcome = "failed",
                generation,
                reason = reason.name(),
                cause = reason.cause(),
                took_ms = milliseconds,
                mode,
                evidence,
                why,
                "restart failed"
            ),
        }
    }

    /// Leaves the last reason for Kubernetes.
    pub(super) fn leave_reason(&self) {
        let (path, created) = match &self.settings.termination_log {
            TerminationLog::Off => return,
            TerminationLog::Auto => (Path::new(termination::DEFAULT), false),
            TerminationLog::Path(path) => (path.as_path(), true),
        };
        let path = self
            .inherited
            .directory()
            .map_or_else(|| path.to_owned(), |directory| directory.join(path));
        let asked = self
            .stopped_by
            .as_ref()
            .map(|signal| format!("stopped by {signal}; "))
            .unwrap_or_default();
        self.write_reason(&path, created, &format!("{asked}{}", self.last_reason));
    }
}

impl Supervisor {
    /// What helps where a restart was rolled back.
    fn remedy(&self, report: &Report) -> Option<&'static str> {
        let Outcome::RolledBack { .. } = report.outcome else {
            return None;
        };
        let generation = self.generations.get(&report.generation?)?;
        Some(match generation.ending {
            Some(Ending::OutOfMemory) => "a higher memory limit, or SEGUE_RESTART_MODE=stop-first",
            Some(_) if generation.ready.is_some() => {
                "its own log tells why; SEGUE_PROBATION is the time in which that rolls back"
            }
            Some(_) => {
                "SEGUE_RESTART_MODE=stop-first if two of it cannot run at once; a pid file may have ${SEGUE_GENERATION} in its name"
            }
            // It could not be started.
            None if generation.living().is_none() => return None,
            None => {
                "SEGUE_READY_TIMEOUT if it needs longer, SEGUE_READY if something else shows that it is ready, \
                 SEGUE_RESTART_MODE=stop-first if it waits for a lock of its predecessor"
            }
        })
    }
}

fn detail(event: &Event) -> Option<String> {
    match event {
        Event::Exited { ending, .. } => Some(ending.to_string()),
        Event::Prepared {
            outcome: Err(fault), ..
        }
        | Event::NotStarted { fault, .. } => Some(fault.reason.clone()),
        Event::SignalReceived { signal, .. } => Some(format!("signal {signal}")),
        Event::RestartRequested { reason } => Some(match reason.cause() {
            Some(cause) => format!("{}: {cause}", reason.name()),
            None => reason.name().to_owned(),
        }),
        Event::Booted
        | Event::Prepared { outcome: Ok(()), .. }
        | Event::Started { .. }
        | Event::BeganToListen { .. }
        | Event::BecameReady { .. }
        | Event::AddressesAwaited { .. }
        | Event::Emptied { .. }
        | Event::Drained { .. }
        | Event::DrainRequested
        | Event::StopRequested
        | Event::PostStopEnded
        | Event::TimePassed => None,
    }
}

/// What a person who finds the container ended would want to know.
fn reason(event: &Event) -> Option<String> {
    let failed = matches!(
        event,
        Event::Prepared { outcome: Err(_), .. } | Event::NotStarted { .. }
    );
    let ended = matches!(event, Event::Exited { .. });
    let detail = detail(event).filter(|_| failed || ended)?;
    Some(if ended { format!("the program {detail}") } else { detail })
}

fn say(action: &Action) -> String {
    match action {
        Action::Prepare { generation } => format!("prepare {generation}"),
        Action::Start { generation } => format!("start {generation}"),
        Action::Steer { generation } => format!("steer to {generation}"),
        Action::Settle { generation } => format!("settle {generation}"),
        Action::Drain {
            generation,
            last: false,
        } => format!("drain {generation}"),
        Action::Drain { generation, last: true } => format!("drain {generation}, refuse new connections"),
        Action::Hold => "hold new connections".into(),
        Action::Terminate { generation } => format!("terminate {generation}"),
        Action::Kill { generation } => format!("kill {generation}"),
        Action::EndLeftovers { generation } => format!("end leftovers of {generation}"),
        Action::Signal { generation, signal, .. } => format!("signal {signal} to {generation}"),
        Action::Release { generation } => format!("release {generation}"),
        Action::CloseListeners => "close listeners".into(),
        Action::RestartNext { .. } => "begin the next restart".into(),
        Action::PostStop => "run post-stop".into(),
        Action::KillPostStop => "kill post-stop".into(),
        Action::Report(_) => "report".into(),
        Action::Exit { code } => format!("exit {code}"),
    }
}
