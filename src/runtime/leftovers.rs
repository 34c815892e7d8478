//! ENDS what a main process left behind: finds it, asks it to go, sees when it is gone, kills it if told to.

use std::collections::{BTreeMap, HashMap, HashSet};

use nix::unistd::{Pid, getpid};

use super::{Supervisor, children::Task, generation::Generation};
use crate::{
    machine::{Event, Phase},
    process::{
        send, status,
        tree::{self, Known, Process, Unmarked},
    },
};

/// Looks for new members while the found ones are killed: a process may fork between the look and the signal.
const KILL_ROUNDS: usize = 5;

impl Supervisor {
    fn members(&self, generation: u64) -> Vec<Process> {
        members(generation, &self.generations, &self.tasks, self.unmarked())
    }

    /// Jobs that `docker exec` has left live through restarts. In the final stop they are asked to go like everybody, and not just killed
    /// with the namespace.
    fn unmarked(&self) -> Unmarked {
        let last = match self.state.phase() {
            Phase::Booting | Phase::Running => false,
            Phase::Stopping { .. } | Phase::Closing | Phase::Finishing { .. } | Phase::Ended => true,
        };
        if getpid().as_raw() != 1 {
            return Unmarked::Program;
        }
        if last {
            return Unmarked::Newest;
        }
        Unmarked::Nobody {
            filters: status::of(1).map_or(0, |own| own.filters),
        }
    }

    /// The numbers of a generation's processes.
    pub(super) fn program_processes(&self, generation: u64) -> Vec<i32> {
        let members = self.members(generation);
        members.iter().map(|process| process.pid).collect()
    }

    /// Asks what is left to go; tells at once if nothing is.
    pub(super) fn end_leftovers(&mut self, generation: u64) {
        let left = if self.childless {
            Vec::new()
        } else {
            self.members(generation)
        };
        self.ask_to_go(generation, &left);
    }

    fn ask_to_go(&mut self, generation: u64, left: &[Process]) {
        if left.is_empty() {
            self.events.push_back(Event::Emptied { generation });
            if let Some(it) = self.generations.get_mut(&generation) {
                it.leftovers = None;
            }
            return;
        }
        let Some(it) = self.generations.get_mut(&generation) else {
            return;
        };
        let told = it.leftovers.get_or_insert_default();
        for process in left.iter().filter(|process| told.insert(process.pid)) {
            tracing::info!(
                generation,
                pid = process.pid,
                "the program left a process behind, asking it to go"
            );
            signal(*process, libc::SIGTERM);
            if process.state == b'T' {
                signal(*process, libc::SIGCONT);
            }
        }
        let left: HashSet<i32> = left.iter().map(|process| process.pid).collect();
        told.retain(|pid| left.contains(pid));
    }

    /// The generation that a dead process was left behind by.
    pub(super) fn leaving(&self, pid: Pid) -> Option<u64> {
        let left = |it: &super::Generation| it.leftovers.as_ref().is_some_and(|left| left.contains(&pid.as_raw()));
        self.generations
            .iter()
            .find(|(_, it)| left(it))
            .map(|(number, _)| *number)
    }

    /// Looks again at the generations of which something has died, or at all that wait if nothing is left at all.
    pub(super) fn look_at_leftovers(&mut self, mut generations: Vec<u64>) {
        if self.childless {
            let waiting = self.generations.iter().filter(|(_, it)| it.leftovers.is_some());
            generations = waiting.map(|(number, _)| *number).collect();
        }
        generations.sort_unstable();
        generations.dedup();
        for generation in generations {
            self.end_leftovers(generation);
        }
    }

    /// SIGKILL to everything that belongs to the generation.
    pub(super) fn kill(&mut self, generation: u64) {
        if let Some(main) = self.generations.get(&generation).and_then(|it| it.living()) {
            // The group first: it is one call, and no member of it can fork meanwhile.
            report(main.pid.as_raw(), send::to_group(main.pid, libc::SIGKILL));
        }
        let mut killed = HashSet::new();
        for _ in 0..KILL_ROUNDS {
            let fresh: Vec<Process> = self
                .members(generation)
                .into_iter()
                .filter(|process| !killed.contains(&process.pid))
                .collect();
            if fresh.is_empty() {
                break;
            }
            for process in fresh {
                signal(process, libc::SIGKILL);
                killed.insert(process.pid);
            }
        }
    }
}

fn members(
    generation: u64,
    generations: &BTreeMap<u64, Generation>,
    tasks: &HashMap<Pid, Task>,
    unmarked: Unmarked,
) -> Vec<Process> {
    let known: Vec<Known> = generations.iter().map(|(number, it)| it.known(*number)).collect();
    let ours: Vec<i32> = tasks.keys().map(|pid| pid.as_raw()).collect();
    let mut members = tree::members(generation, &known, getpid(), unmarked);
    let main = generations
        .get(&generation)
        .and_then(|it| it.living())
        .map(|main| main.pid.as_raw());
    // Hooks and probes have their own ends; the main process counts as long as it lives.
    members.retain(|process| !ours.contains(&process.pid) || Some(process.pid) == main);
    members
}

/// Signals a process that was seen in /proc, unless its number has become another's since.
fn signal(process: Process, signal: i32) {
    let pid = Pid::from_raw(process.pid);
    let held = send::hold(pid);
    if tree::process(process.pid).is_some_and(|now| now.began == process.began) {
        report(process.pid, send::to_held(pid, held.as_ref(), signal));
    }
}

fn report(pid: i32, sent: std::io::Result<()>) {
    match sent {
        Ok(()) => {}
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
        Err(error) => tracing::warn!(pid, %error, "cannot signal a process of the program"),
    }
}
