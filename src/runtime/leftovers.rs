//! ENDS what a main process left behind: finds it, asks it to go, sees when it is gone, kills it if told to.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use nix::unistd::{Pid, getpid};

use super::{Supervisor, generation::Generation};
use crate::{
    machine::{Ending, Event, Phase},
    process::{
        helper, send, status,
        tree::{self, Known, Process, Unmarked},
    },
};

/// So many orphans dead in so long: processes may come and go faster than they are looked for.
const STORM: (u32, Duration) = (16, Duration::from_millis(500));

/// So long they are stopped as they come; and once none has come for so long, they all are.
const CATCH: (Duration, Duration) = (Duration::from_millis(150), Duration::from_millis(30));

/// In clock ticks: a program whose first process ends well so soon, and leaves others behind, wants to be a daemon.
const SOON: u64 = 1_000;

/// Who has begun within so many clock ticks may be one of them.
const YOUNG: u64 = 20;

/// How many orphans have died lately.
#[derive(Debug, Default)]
pub(super) struct Orphans {
    since: Option<Instant>,
    count: u32,
    /// They were many, which counts for a while: also when the next ones are counted from nothing again.
    stormy_until: Option<Instant>,
}

impl Orphans {
    /// One more.
    pub(super) fn note(&mut self, now: Instant) {
        if self
            .since
            .is_none_or(|since| now.saturating_duration_since(since) > STORM.1)
        {
            (self.since, self.count) = (Some(now), 0);
        }
        self.count = self.count.saturating_add(1);
        if self.count >= STORM.0 {
            self.stormy_until = Some(now + 2 * STORM.1);
        }
    }

    fn are_many(&self, now: Instant) -> bool {
        self.stormy_until.is_some_and(|until| now < until)
    }
}

/// Looks for new members while the found ones are killed: a process may fork between the look and the signal.
const KILL_ROUNDS: usize = 5;

impl Supervisor {
    fn members(&self, generation: u64) -> Vec<Process> {
        let known: Vec<Known> = self.generations.iter().map(|(number, it)| it.known(*number)).collect();
        let (own, unmarked) = (getpid(), self.unmarked());
        let mut markers = self.markers.borrow_mut();
        let ask = |pids: &[i32]| self.ask_for_markers(pids);
        let mut members = tree::members(generation, &known, own, unmarked, &mut markers, ask);
        let main = self.generations.get(&generation).and_then(Generation::living);
        let main = main.map(|main| main.pid);
        // Hooks, probes and helpers have their own ends; the main process counts as long as it lives.
        members.retain(|process| {
            let pid = Pid::from_raw(process.pid);
            Some(pid) == main || !self.tasks.contains_key(&pid) && !helper::is_one(process.pid)
        });
        members
    }

    /// Where orphans die as fast as if each forked and went, no look finds the one that lives: each is stopped as it comes to segue,
    /// until none comes any more. Whose they are is looked at then, and nobody is ended for having been fast.
    fn catch(&self) -> Vec<Pid> {
        let begin = Instant::now();
        let mut stopped = Vec::new();
        if !self.orphans.are_many(begin) {
            return stopped;
        }
        let since = send::ticks_since_boot().saturating_sub(YOUNG);
        let is_old = |pid: &i32| tree::process(*pid).is_none_or(|it| it.began < since || it.state == b'T');
        let others = |pid: &i32| self.tasks.contains_key(&Pid::from_raw(*pid)) || helper::is_one(*pid);
        let there = tree::children().into_iter();
        let mut seen: HashSet<i32> = there.filter(|pid| others(pid) || is_old(pid)).collect();
        let mut last = begin;
        while begin.elapsed() < CATCH.0 && last.elapsed() < CATCH.1 {
            for pid in tree::children() {
                // Dead or not, a child is nobody else until segue reaps it.
                if seen.insert(pid) && send::to_held(Pid::from_raw(pid), None, libc::SIGSTOP).is_ok() {
                    stopped.push(Pid::from_raw(pid));
                    last = Instant::now();
                }
            }
        }
        stopped
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
        if self.childless {
            return self.ask_to_go(generation, &[], &[]);
        }
        let caught = self.catch();
        let left = self.members(generation);
        self.ask_to_go(generation, &left, &caught);
        let_go_on(&caught);
    }

    /// Of those that were caught the first is asked to go; to ask one after the other would have no end.
    fn ask_to_go(&mut self, generation: u64, left: &[Process], caught: &[Pid]) {
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
        let went_to_background = it.leftovers.is_none()
            && it.ending == Some(Ending::Code(0))
            && it.told_to_end.is_none()
            && send::ticks_since_boot().saturating_sub(it.began) < SOON;
        if went_to_background {
            tracing::warn!(
                generation,
                pid = left.first().map(|process| process.pid),
                remedy = "an option of the program's, often -f, -F, -D, --foreground, --nodaemon or \"daemon off\"",
                "the program went to the background, where nobody can tell how it is: its end is taken for that of its first process; \
                 let it run in the foreground"
            );
        }
        let asked_before = it.caught;
        it.caught |= !caught.is_empty();
        let told = it.leftovers.get_or_insert_default();
        for process in left.iter().filter(|process| told.insert(process.pid)) {
            if asked_before && caught.contains(&Pid::from_raw(process.pid)) {
                signal(*process, libc::SIGKILL);
                continue;
            }
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
        let caught = self.catch();
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
        let_go_on(&caught);
        // Its end is the time to look again.
        if let Some(told) = self
            .generations
            .get_mut(&generation)
            .and_then(|it| it.leftovers.as_mut())
        {
            told.extend(killed);
        }
    }
}

fn let_go_on(stopped: &[Pid]) {
    for pid in stopped {
        // One that is gone needs nothing.
        send::to_held(*pid, None, libc::SIGCONT).ok();
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_storm_lasts_over_the_beginning_of_the_next_count() {
        let (mut orphans, begin) = (Orphans::default(), Instant::now());
        let at = |milliseconds| begin + Duration::from_millis(milliseconds);
        (0..15).for_each(|each| orphans.note(at(each)));
        assert!(!orphans.are_many(at(15)));
        (15..502).step_by(10).for_each(|each| orphans.note(at(each)));
        assert!(orphans.are_many(at(502)));
        orphans.note(at(503));
        assert!(orphans.are_many(at(503)), "it is counted from nothing here");
        assert!(!orphans.are_many(at(2_000)));
    }
}
