//! TELLS the children apart when they end: the program, a hook, a probe, or an orphan that was left to us.

use std::time::{Duration, Instant};

use nix::{
    time::{ClockId, clock_gettime},
    unistd::Pid,
};
use tokio::sync::oneshot;

use super::{REAP_BATCH, Supervisor};
use crate::{
    machine::{Ending, Event, Fault, Phase, Role},
    process::{
        helper,
        reaper::{self, Look, Reaped},
        rest, terminal,
    },
};

/// What a child is for.
#[derive(Debug)]
pub(super) enum Task {
    /// The program of a generation.
    Program(u64),
    /// `SEGUE_PRE_START` of a generation.
    PreStart(u64),
    /// `SEGUE_POST_STOP`.
    PostStop,
    /// `SEGUE_WATCH_ACTION=exec:…`.
    Watch,
    /// `SEGUE_READY=exec:…`, and who waits for its answer.
    Probe {
        generation: u64,
        answer: oneshot::Sender<Result<(), String>>,
    },
    /// One of these that could not be executed.
    Failed(Box<Task>, Fault),
}

/// The user of a process.
pub(super) fn user_of(pid: Pid) -> Option<u32> {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(format!("/proc/{pid}")).ok().map(|it| it.uid())
}

/// What this thread has had of the processor.
fn processor_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

impl Supervisor {
    /// Reaps what is dead, a batch at a time.
    pub(super) fn reap(&mut self) {
        if !self.rest.may_look(Instant::now()) {
            return;
        }
        self.more_children = false;
        let mut leftovers = Vec::new();
        let used = processor_time();
        for _ in 0..REAP_BATCH {
            let begin = Instant::now();
            let look = reaper::look();
            let mut took = begin.elapsed();
            if took > rest::SHORT {
                // Time in which others had the processor is none of the look's.
                took = took.min(processor_time().saturating_sub(used));
            }
            self.rest.looked(took, Instant::now());
            match look {
                Look::Dead(reaped) => {
                    leftovers.extend(self.leaving(reaped.pid));
                    self.on_reaped(reaped);
                    if !self.rest.may_look(Instant::now()) {
                        return self.look_at_leftovers(leftovers);
                    }
                }
                Look::Stopped(pid, signal) => {
                    // A stop has a deadline, which somebody has to keep.
                    let runs = self.state.phase() == Phase::Running;
                    if let (Some(Task::Program(_)), true) = (self.tasks.get(&pid), runs) {
                        terminal::stop_with(pid, signal);
                    }
                }
                Look::AllAlive => return self.look_at_leftovers(leftovers),
                Look::NoChildren => {
                    self.childless = true;
                    return self.look_at_leftovers(leftovers);
                }
            }
        }
        self.more_children = true;
        self.look_at_leftovers(leftovers);
    }

    fn on_reaped(&mut self, Reaped { pid, ending }: Reaped) {
        self.take_verdict(pid);
        match self.tasks.remove(&pid) {
            Some(task) => {
                if matches!(task, Task::Program(_)) {
                    self.desk.tally.count(|metrics| metrics.reaped_program());
                }
                self.on_task_ended(pid, task, ending);
            }
            None if helper::forget(pid.as_raw()) => {}
            None => {
                self.orphans.note(Instant::now());
                self.desk.tally.count(|metrics| metrics.reaped_orphan());
                tracing::trace!(pid = pid.as_raw(), %ending, "reaped an orphan");
            }
        }
        self.look_at_sockets_of(pid.as_raw());
        self.repair_paths();
    }

    fn on_task_ended(&mut self, pid: Pid, task: Task, ending: Ending) {
        let (task, fault) = match task {
            Task::Failed(task, fault) => (*task, Some(fault)),
            task @ (Task::Program(_) | Task::PreStart(_) | Task::PostStop | Task::Watch | Task::Probe { .. }) => {
                (task, None)
            }
        };
        match (task, fault) {
            (Task::Program(generation), fault) => {
                self.main_ended(generation, pid);
                let ending = self.see_memory_kills(generation, ending);
                if let Some(it) = self.generations.get_mut(&generation) {
                    it.ending = Some(ending);
                }
                let event = match fault {
                    Some(fault) => Event::NotStarted { generation, fault },
                    None => Event::Exited {
                        generation,
                        ending,
                        queued: self.do_connections_wait_for(generation),
                    },
                };
                self.events.push_back(event);
            }
            (Task::PreStart(generation), fault) => {
                self.main_ended(generation, pid);
                let outcome = match (fault, ending) {
                    (Some(Fault { code, reason }), _) => Err(Fault {
                        code,
                        reason: format!("SEGUE_PRE_START: {reason}"),
                    }),
                    (None, Ending::Code(0)) => Ok(()),
                    (None, ending) => Err(Fault {
                        code: ending.code(),
                        reason: format!("SEGUE_PRE_START {ending}"),
                    }),
                };
                self.events.push_back(Event::Prepared { generation, outcome });
            }
            (Task::PostStop, fault) => {
                if let Some(reason) = fault.map(|fault| fault.reason) {
                    tracing::warn!(reason, "SEGUE_POST_STOP failed");
                } else if ending != Ending::Code(0) {
                    tracing::warn!(%ending, "SEGUE_POST_STOP failed");
                }
                self.events.push_back(Event::PostStopEnded);
            }
            (Task::Watch, fault) => {
                let failed = (ending != Ending::Code(0)).then(|| format!("the command {ending}"));
                self.on_watch_command_ended(fault.map(|fault| fault.reason).or(failed));
            }
            (Task::Probe { answer, .. }, fault) => {
                let result = match (fault, ending) {
                    (Some(fault), _) => Err(fault.reason),
                    (None, Ending::Code(0)) => Ok(()),
                    (None, ending) => Err(format!("the command {ending}")),
                };
                // Nobody waits any more if the generation has ended meanwhile.
                answer.send(result).ok();
            }
            (Task::Failed(..), _) => {}
        }
    }

    /// Connections that wait for a generation which has just ended can be given only to one that has not begun. The next
    /// one has, if a restart is under way: then none must come to wait between this look and the steering that follows.
    fn do_connections_wait_for(&mut self, generation: u64) -> bool {
        if self.sockets.queued(generation) > 0 {
            return true;
        }
        let heir = self.generations.keys().copied().find(|number| *number > generation);
        let (Some(heir), true) = (heir, self.state.current() == Some(generation)) else {
            return false;
        };
        let diverted = self.sockets.steer(heir, false);
        let wait = diverted.is_ok() && self.sockets.queued(generation) > 0;
        if wait && let Err(error) = self.sockets.steer(generation, false) {
            tracing::warn!(%error, "cannot steer back");
        }
        wait
    }

    fn main_ended(&mut self, generation: u64, pid: Pid) {
        let role = self
            .state
            .generations()
            .iter()
            .find(|it| it.number == generation)
            .map(|it| it.role);
        if matches!(role, Some(Role::Serving | Role::Standby)) {
            self.expect_what_was_served(generation);
        }
        if let Some(front) = &self.front {
            front.proxy.ended(generation);
        }
        if let Some(it) = self.generations.get_mut(&generation) {
            it.stop_probing();
            if let Some(main) = it.main.as_mut().filter(|main| main.pid == pid) {
                main.alive = false;
                main.pidfd = None;
            }
        }
    }
}
