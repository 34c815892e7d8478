//! TELLS what happened: one log line per turn of the machine, so that the lines together are an incident's story.

use std::path::Path;

use super::{Supervisor, choosing::Chosen, picture::name_of_phase};
use crate::{
    machine::{Action, Ending, Event, Outcome, Phase, Report},
    settings::value::TerminationLog,
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
        let actions = actions.iter().map(say).collect::<Vec<_>>().join(", ");
        let (before, after) = (name_of_phase(*before), name_of_phase(*after));
        macro_rules! line {
            ($level:ident, $message:literal) => {
                tracing::$level!(generation, detail, actions, before, after, $message)
            };
        }
        match event {
            Event::Booted => line!(info, "segue is set up"),
            Event::Prepared { outcome: Ok(()), .. } => line!(info, "pre-start command succeeded"),
            Event::Prepared { outcome: Err(_), .. } => line!(warn, "pre-start command failed"),
            Event::Started { .. } => line!(info, "generation started"),
            Event::NotStarted { .. } => line!(error, "generation could not be started"),
            Event::BeganToListen { .. } => line!(debug, "generation listens"),
            // By its notification and by its port, or it sends READY=1 more than once.
            Event::BecameReady { .. } if actions.is_empty() => line!(debug, "generation is ready: known already"),
            Event::BecameReady { .. } => line!(info, "generation became ready"),
            Event::AddressesAwaited { awaited: true, .. } => line!(debug, "addresses of the predecessor are awaited"),
            Event::AddressesAwaited { awaited: false, .. } => {
                line!(debug, "no address of the predecessor is awaited any more");
            }
            Event::Exited { .. } => line!(info, "program ended"),
            Event::Emptied { .. } => line!(info, "generation is gone"),
            Event::Drained { .. } => line!(info, "connections are finished"),
            Event::SignalReceived { .. } => line!(info, "signal received"),
            Event::RestartRequested { .. } => line!(info, "restart requested"),
            Event::DrainRequested => line!(info, "drain requested"),
            Event::StopRequested => line!(info, "stop requested"),
            Event::PostStopEnded => line!(info, "post-stop command ended"),
            Event::TimePassed if actions.is_empty() => line!(debug, "time passed"),
            Event::TimePassed => line!(info, "time passed"),
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
        termination::write(&path, created, &format!("{asked}{}", self.last_reason));
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
        Action::PostStop => "run post-stop".into(),
        Action::KillPostStop => "kill post-stop".into(),
        Action::Report(_) => "report".into(),
        Action::Exit { code } => format!("exit {code}"),
    }
}
