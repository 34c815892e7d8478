//! DECIDES whether the next restart overlaps two generations or stops the old one first: by the setting, and by what a look at
//! the serving generation shows.

use super::Supervisor;
use crate::{
    evidence::look,
    handover::{group::Unsteered, listening},
    machine::{Mode, Role},
    settings::value::{Handover, RestartMode},
};

/// How the restart under way is done, and why.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Chosen {
    /// `overlap` or `stop-first`; `None`: nothing serves that could be replaced.
    pub(super) mode: Option<&'static str>,
    /// What speaks against two generations at once, if anything was found.
    pub(super) evidence: Option<String>,
}

/// What to do about it.
struct Found {
    evidence: String,
    remedy: &'static str,
}

/// Where a socket is the reason.
const FOR_SOCKETS: &str =
    "SEGUE_LISTEN for a program that takes LISTEN_FDS, SEGUE_PROXY for one that speaks HTTP where PORT says";
/// Where the program's files or memory are.
const BY_NAME: &str = "SEGUE_RESTART_MODE=overlap for a program of which two can run at once all the same";

impl Supervisor {
    /// Chooses for the restart that is about to begin.
    pub(super) fn choose_mode(&mut self) {
        if self.state.is_restarting() {
            return;
        }
        self.chosen = Chosen::default();
        if let Some(current) = self.state.current() {
            self.look_before_restart(current);
        }
        if self.settings.restart_mode == RestartMode::StopFirst {
            self.limits.mode = Mode::StopFirst;
            self.chosen.mode = Some("stop-first");
            return;
        }
        self.limits.mode = Mode::Overlap;
        let Some(current) = self.state.current() else { return };
        // One that was never ready may be a worker, which goes on until the new one has proved itself.
        let serves =
            |it: &crate::machine::Generation| it.number == current && matches!(it.role, Role::Serving | Role::Starting);
        if !self.state.generations().iter().any(serves) {
            return;
        }
        self.chosen.mode = Some("overlap");
        let Some(Found { evidence, remedy }) = self.evidence_against_overlap(current) else {
            return;
        };
        if self.settings.restart_mode == RestartMode::Overlap {
            tracing::warn!(
                generation = current,
                evidence,
                remedy = "SEGUE_RESTART_MODE=auto",
                "overlapping two generations as asked for, although they may harm each other"
            );
        } else {
            self.limits.mode = Mode::StopFirst;
            self.chosen.mode = Some("stop-first");
            tracing::warn!(
                generation = current,
                evidence,
                remedy,
                "restarting stop-first: two generations at once would get in each other's way"
            );
        }
        self.chosen.evidence = Some(evidence);
    }

    fn evidence_against_overlap(&mut self, current: u64) -> Option<Found> {
        if let Some(evidence) = self.socket_that_stays(current) {
            return Some(Found {
                evidence,
                remedy: FOR_SOCKETS,
            });
        }
        let processes: Vec<i32> = self.program_processes(current);
        if let Some(found) = look::at(&processes, self.memory.cgroup()) {
            return Some(Found {
                evidence: found.to_string(),
                remedy: BY_NAME,
            });
        }
        // Last, because it is looked at by doing it.
        let evidence = self.prepare_paths(current)?;
        Some(Found {
            evidence,
            remedy: FOR_SOCKETS,
        })
    }

    /// A socket of the serving generation that cannot be handed over.
    fn socket_that_stays(&mut self, current: u64) -> Option<String> {
        if self.front.is_some() {
            return None;
        }
        if !self.trapping.is_on() {
            let declared = !self.sockets.is_empty() || self.settings.handover == Handover::ListenFds;
            let processes: Vec<i32> = if declared {
                Vec::new()
            } else {
                self.program_processes(current)
            };
            let listens = listening::any(&processes, &[]);
            return listens.then(|| {
                "it listens on sockets of its own, and there is no hand-over: connections are refused meanwhile"
                    .to_owned()
            });
        }
        let passed = self.generations.get(&current).and_then(|it| it.passed.clone());
        passed.or_else(|| self.datagrams_in_the_way(current)).or_else(|| {
            let mut unsteered = self.sockets.unsteered();
            let by_itself = unsteered.find(|(_, why)| *why == Unsteered::BySteeringOfItsOwn);
            by_itself.map(|(place, why)| format!("{place}: {}", why.why()))
        })
    }
}
