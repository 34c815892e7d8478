//! KEEPS the kernel's OOM killer away from the serving generation while another one starts beside it, and says whom it has killed.

use std::{fs, io, path::Path};

use super::Supervisor;
use crate::{
    evidence::cgroup::Memory,
    machine::{Ending, Mode, Role},
    process::{spawn::EXPENDABLE, status, user::or_as_user},
};

/// What the kernel says of the memory of segue's cgroup.
#[derive(Debug, Default)]
pub(super) struct MemoryWatch {
    /// `None`: not looked for yet.
    found: Option<Option<Memory>>,
    /// How many processes it had killed at the last look.
    kills: u64,
}

/// A process may have forked while the others were listed, so they are listed again.
const ROUNDS: usize = 3;

impl MemoryWatch {
    /// Looked for when it is first needed; what was killed before then counts for nobody.
    pub(super) fn cgroup(&mut self) -> Option<&Memory> {
        if self.found.is_none() {
            let found = Memory::find(Path::new("/"));
            self.kills = found.as_ref().and_then(Memory::kills).unwrap_or(0);
            self.found = Some(found);
        }
        self.found.as_ref()?.as_ref()
    }

    /// How many processes the kernel has killed since the last look.
    fn new_kills(&mut self) -> u64 {
        let kills = self.cgroup().and_then(Memory::kills);
        let Some(kills) = kills else { return 0 };
        let new = kills.saturating_sub(self.kills);
        self.kills = kills;
        new
    }
}

impl Supervisor {
    /// A newcomer goes first as long as it can be rolled back.
    pub(super) fn is_expendable(&mut self, generation: u64) -> bool {
        let current = self.state.current();
        let goes_on = |it: &crate::machine::Generation| {
            it.number != generation && Some(it.number) == current && matches!(it.role, Role::Serving | Role::Starting)
        };
        let expendable = self.limits.mode == Mode::Overlap && self.state.generations().iter().any(goes_on);
        if let Some(it) = self.generations.get_mut(&generation) {
            it.expendable = expendable;
        }
        expendable
    }

    /// Gives a generation that can no longer be rolled back its usual OOM score.
    pub(super) fn spare_who_serves(&mut self) {
        let current = self.state.current();
        let over = |number: &u64| !self.state.is_on_trial(*number) && current == Some(*number);
        let spared = self
            .generations
            .iter_mut()
            .filter(|(number, it)| it.expendable && over(number));
        let spared: Vec<u64> = spared
            .map(|(number, it)| {
                it.expendable = false;
                *number
            })
            .collect();
        for generation in spared {
            self.spare(generation);
        }
    }

    fn spare(&self, generation: u64) {
        let chosen = self.settings.oom_score_adjust.map(|score| score.0.to_string());
        let own = match chosen.map_or_else(|| fs::read_to_string("/proc/self/oom_score_adj"), Ok) {
            Ok(own) => own,
            Err(error) => return tracing::debug!(%error, "cannot read oom_score_adj"),
        };
        let mut done = Vec::new();
        for _ in 0..ROUNDS {
            let processes = self.program_processes(generation);
            let new: Vec<i32> = processes.into_iter().filter(|it| !done.contains(it)).collect();
            if new.is_empty() {
                break;
            }
            for process in new {
                if let Err(error) = set_score(process, &own) {
                    tracing::warn!(
                        generation,
                        pid = process,
                        %error,
                        "cannot set oom_score_adj back: this process is the first to be killed when memory is short"
                    );
                }
                done.push(process);
            }
        }
    }

    /// How a program ended, if the kernel's word is needed for that; and a warning for whatever else it has killed.
    pub(super) fn see_memory_kills(&mut self, generation: u64, ending: Ending) -> Ending {
        let kills = self.memory.new_kills();
        if kills == 0 {
            return ending;
        }
        self.desk.tally.count(move |metrics| metrics.killed_for_memory(kills));
        let limit = self.memory.cgroup().and_then(Memory::limit);
        tracing::warn!(
            generation,
            kills,
            limit_bytes = limit,
            remedy = "a higher memory limit, or SEGUE_RESTART_MODE=stop-first if it happens in restarts",
            "the kernel's OOM killer has killed processes of this container"
        );
        let by_segue = self.generations.get(&generation).is_some_and(|it| it.killed);
        match ending {
            Ending::Signal(9) if !by_segue => Ending::OutOfMemory,
            Ending::Code(_) | Ending::Signal(_) | Ending::OutOfMemory => ending,
        }
    }
}

fn set_score(process: i32, score: &str) -> io::Result<()> {
    // One that is gone needs none.
    let Some(status) = status::of(process) else {
        return Ok(());
    };
    let path = format!("/proc/{process}/oom_score_adj");
    // A program that has chosen one itself keeps it.
    if fs::read_to_string(&path).is_ok_and(|now| now.trim() != EXPENDABLE) {
        return Ok(());
    }
    match or_as_user(&status, || fs::write(&path, score)) {
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ESRCH)) => Ok(()),
        done => done,
    }
}
