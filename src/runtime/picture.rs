//! DRAWS the status: what the machine and the loop know, in the words of `control::status`. Changes nothing.

use super::{Supervisor, generation::Generation, own_sockets::Listens};
use crate::{
    control::status::{self, Handover, Setting, Status, Stop},
    machine::{self, Phase, Role},
    settings::{self, value::Ready},
};

impl Supervisor {
    /// How things are; without numbers of connections.
    pub(super) fn status(&self) -> Status {
        let phase = self.state.phase();
        let stop = match phase {
            Phase::Stopping { deadline, .. } => Some(Stop {
                since: self.desk.stop_since.unwrap_or(self.desk.since),
                deadline: deadline.map(|at| self.moment(at)),
            }),
            Phase::Booting | Phase::Running | Phase::Closing | Phase::Finishing { .. } | Phase::Ended => None,
        };
        let program = self.program.iter().map(|word| word.to_string_lossy().into_owned());
        let generations = self.state.generations().iter();
        Status {
            version: env!("CARGO_PKG_VERSION").into(),
            pid: std::process::id().try_into().unwrap_or_default(),
            program: program.collect(),
            since: self.desk.since,
            phase: name_of_phase(phase).into(),
            ready: self.is_ready(),
            started: self.desk.started,
            reason: self.why(),
            draining: self.state.draining_since().map(|at| self.moment(at)),
            stop,
            next_start: self.state.retry_at().map(|at| self.moment(at)),
            generation: self.state.current(),
            generations: generations.map(|it| self.generation(it)).collect(),
            unserved: self.unserved.clone(),
            tells_idle: None,
            handover: self.handover(),
            restarts: self.desk.restarts,
            last_restarts: self.desk.last_restarts.iter().cloned().collect(),
            cut: self.desk.cut,
            watch: self.watch_status(),
            settings: self.differing(),
            faults: self.desk.faults.clone(),
        }
    }

    /// Does a ready generation serve, wherever it is to, with no drain and no stop under way?
    pub(super) fn is_ready(&self) -> bool {
        self.state.is_ready() && self.unserved.is_empty()
    }

    /// For those who may not see the arguments, which may hold secrets.
    pub(super) fn without_arguments(&self, mut status: Box<Status>) -> Box<Status> {
        status.program.truncate(1);
        status
    }

    fn generation(&self, it: &machine::Generation) -> status::Generation {
        let own = self.generations.get(&it.number);
        let mut listens: Vec<String> = own
            .map(|own| own.listens.iter().map(shown).collect())
            .unwrap_or_default();
        if listens.is_empty() && !self.trapping.is_on() {
            // Its calls are not seen; what it was passed, or told, is known.
            let port = own.and_then(Generation::port);
            listens.extend(port.map(|port| format!("localhost:{port}")));
        }
        if listens.is_empty() && !self.trapping.is_on() {
            listens = self.settings.listen.iter().map(|it| it.address.to_string()).collect();
        }
        if listens.is_empty() && !self.trapping.is_on() {
            listens = self.sockets.adopted_addresses();
        }
        listens.sort_unstable();
        status::Generation {
            number: it.number,
            role: if self.runs_and_listens_on_nothing(it) {
                "running"
            } else {
                name_of_role(it.role)
            }
            .into(),
            pid: own.and_then(Generation::living).map(|main| main.pid.as_raw()),
            since: self.moment(it.since),
            ready: own.and_then(|own| own.ready),
            listens,
            connections: None,
        }
    }

    fn handover(&self) -> Handover {
        let mode = if self.front.is_some() {
            "proxy"
        } else if self.trapping.is_on() {
            "transparent"
        } else if self.sockets.is_empty() {
            "none"
        } else {
            "listen-fds"
        };
        let current = self.state.current();
        let passed = current.and_then(|current| self.generations.get(&current)?.passed.clone());
        let method = current.and_then(|current| self.method(current));
        Handover {
            mode: mode.into(),
            method: match method {
                Some(method) => Some(method.name().into()),
                None => passed.as_ref().map(|_| "none".into()),
            },
            why: self.desk.no_handover.clone().or(passed),
        }
    }

    /// Settings that differ from their defaults, without what may be secret.
    fn differing(&self) -> Vec<Setting> {
        let differs = |name: &str, text: &str| settings::row(name).is_none_or(|row| row.default != text.trim());
        let given = self.desk.given.iter().filter(|(name, text)| differs(name, text));
        let setting = |(name, text): &(&'static str, String)| Setting {
            name: (*name).to_owned(),
            value: settings::redacted(text.trim()),
        };
        given.map(setting).collect()
    }

    /// Who serves; or why nobody does, and what to do about it.
    fn why(&self) -> String {
        match self.state.phase() {
            Phase::Booting => return "segue is being set up".into(),
            Phase::Stopping { .. } => return "a stop is under way".into(),
            Phase::Closing | Phase::Finishing { .. } | Phase::Ended => return "the program has ended".into(),
            Phase::Running => {}
        }
        let current = self.state.current();
        let current = self.state.generations().iter().find(|it| Some(it.number) == current);
        let serves = current.filter(|it| it.role == Role::Serving);
        match (serves, self.state.draining_since()) {
            (Some(it), None) if self.unserved.is_empty() => return format!("generation {} serves", it.number),
            (Some(it), None) => {
                return format!(
                    "generation {} serves, but does not listen on {}, as its predecessor did; segue restart begins another one",
                    it.number,
                    self.unserved.join(", ")
                );
            }
            (Some(it), Some(_)) => {
                return format!(
                    "segue drain was asked for; generation {} goes on until the stop",
                    it.number
                );
            }
            (None, _) => {}
        }
        let starting = self.state.generations().iter().rev();
        let starting = starting
            .filter(|it| matches!(it.role, Role::Preparing | Role::Starting))
            .map(|it| (it.number, it.role, self.runs_and_listens_on_nothing(it)));
        match starting.into_iter().next() {
            Some((number, _, true)) => format!(
                "generation {number} is running, listens on nothing (a worker, which never will, wants SEGUE_READY=started)"
            ),
            Some((number, Role::Preparing, _)) => {
                format!("generation {number} is being prepared: SEGUE_PRE_START runs")
            }
            Some((number, ..)) => format!("generation {number} is starting: {}", self.waited_for(number)),
            None if self.state.retry_at().is_some() => {
                format!("{}; it starts again in a moment", self.last_reason)
            }
            None => "the last generation is being ended".into(),
        }
    }

    fn waited_for(&self, generation: u64) -> String {
        let listens = self
            .generations
            .get(&generation)
            .is_some_and(|it| !it.listens.is_empty());
        let (missing, remedy) = match &self.settings.ready {
            Ready::Started => return "it is being executed".into(),
            Ready::Notify => ("it has not said READY=1 yet", "SEGUE_READY=listening"),
            Ready::Tcp(_) | Ready::Http(_) => ("SEGUE_READY is not answered yet", "SEGUE_READY=started"),
            Ready::File(_) => (
                "the file of SEGUE_READY is not there, or no newer than the generation",
                "SEGUE_READY=started",
            ),
            Ready::Exec(_) => ("the command of SEGUE_READY does not succeed yet", "SEGUE_READY=started"),
            Ready::Auto | Ready::Listening if self.front.is_some() => {
                ("it does not accept connections on its PORT yet", "SEGUE_READY=started")
            }
            Ready::Auto | Ready::Listening if listens && self.missing(generation).is_empty() => (
                "it has bound UDP ports, and may be about to listen",
                "SEGUE_READY=started",
            ),
            Ready::Auto | Ready::Listening if listens => (
                "it does not listen on every address that the serving generation listens on",
                "SEGUE_READY=notify",
            ),
            Ready::Auto | Ready::Listening => ("it does not listen on any socket yet", "SEGUE_READY=started"),
        };
        format!("{missing} (a program that never will wants {remedy})")
    }
}

fn shown(listens: &Listens) -> String {
    match listens {
        Listens::Tcp(_) | Listens::Passed(_) | Listens::Udp(_) | Listens::Unix(_) => listens.text(),
        Listens::Somewhere => "elsewhere".into(),
    }
}

pub(super) fn name_of_phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Booting => "booting",
        Phase::Running => "running",
        Phase::Stopping { .. } => "stopping",
        Phase::Closing => "closing",
        Phase::Finishing { .. } => "finishing",
        Phase::Ended => "ended",
    }
}

fn name_of_role(role: Role) -> &'static str {
    match role {
        Role::Preparing => "preparing",
        Role::Starting => "starting",
        Role::Serving => "serving",
        Role::Standby => "standby",
        Role::Draining => "draining",
        Role::Terminating => "terminating",
        Role::Leaving => "leaving",
        Role::Killed => "killed",
    }
}
