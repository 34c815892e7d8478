//! DOES what the machine asks for. A failure is logged or becomes an event; nothing here ends segue.

use std::{io, time::Instant};

use nix::unistd::Pid;

use super::{Supervisor, children::Task, environment::Files, generation::Generation};
use crate::{
    handover::refuser::Refuser,
    machine::{Action, Event, Fault},
    process::{send, terminal, tree},
    settings::value::Ready,
};

impl Supervisor {
    pub(super) fn perform(&mut self, action: &Action) {
        match action {
            Action::Prepare { generation } => self.prepare(*generation),
            Action::Start { generation } => {
                self.generations.entry(*generation).or_insert_with(Generation::new);
                self.forget_closed_listeners();
                self.give_port(*generation);
                if let Err(fault) = self.start_program(*generation) {
                    self.events.push_back(Event::NotStarted {
                        generation: *generation,
                        fault,
                    });
                }
            }
            Action::Steer { generation } => self.steer(*generation),
            Action::Settle { generation } => self.settle(*generation),
            Action::Drain { generation, last } => {
                if let Some(it) = self.generations.get_mut(generation) {
                    it.drains_since.get_or_insert_with(Instant::now);
                }
                if !last && self.state.current().is_some_and(|current| current != *generation) {
                    self.expect_what_is_served(*generation);
                }
                self.drain(*generation, *last);
            }
            Action::Hold => {
                if let Some(current) = self.state.current() {
                    self.expect_what_the_last_served(current);
                }
                note("hold new connections", self.sockets.hold());
                self.hold_paths();
                self.watch_queues();
                if let Some(front) = &self.front {
                    front.proxy.hold();
                }
                self.note_replaced(None);
            }
            Action::Terminate { generation } => {
                self.note_what_its_end_may_take(*generation);
                self.note_end_of_drain(*generation);
                self.tell_what_is_cut(*generation, false);
                if let Some(it) = self.generations.get_mut(generation) {
                    it.told_to_end.get_or_insert_with(Instant::now);
                }
                self.terminate(*generation);
            }
            Action::Kill { generation } => {
                self.note_end_of_drain(*generation);
                self.tell_what_is_cut(*generation, true);
                self.note_kill(*generation);
                self.warn_of_deadline(*generation);
                self.kill(*generation);
            }
            Action::EndLeftovers { generation } => self.end_leftovers(*generation),
            Action::Signal {
                generation,
                signal,
                value,
            } => self.signal(*generation, *signal, *value),
            Action::Release { generation } => {
                self.note_listened_twice();
                self.generations.remove(generation);
                if let Some(calls) = &mut self.calls {
                    calls.trapped.remove(*generation);
                }
                note("release its sockets", self.sockets.release(*generation));
                self.release_paths(*generation);
                self.refusers.retain(Refuser::listens);
                self.warn_of_lost(*generation);
                self.tell_ports();
                self.watch_queues();
                if let Some(front) = &self.front {
                    front.proxy.release(*generation);
                }
                self.look_after_its_end(*generation);
            }
            Action::CloseListeners => {
                self.sockets.close();
                self.paths.close();
                if let Some(front) = &mut self.front {
                    front.close();
                }
            }
            Action::RestartNext { reason } => {
                self.choose_mode();
                let reason = reason.clone();
                self.events.push_back(Event::RestartRequested { reason });
            }
            Action::PostStop => self.post_stop(),
            Action::KillPostStop => {
                for (pid, _) in self.tasks.iter().filter(|(_, task)| matches!(task, Task::PostStop)) {
                    note("kill the post-stop command", send::to_group(*pid, libc::SIGKILL));
                }
            }
            Action::Report(report) => self.on_report(&self.with_what_is_missing(report)),
            Action::Exit { code } => {
                self.sockets.close();
                self.paths.close();
                self.exit = Some(*code);
            }
        }
    }

    /// Counted once, however often it is sent.
    fn note_kill(&mut self, generation: u64) {
        let Some(it) = self.generations.get_mut(&generation) else {
            return;
        };
        if !std::mem::replace(&mut it.killed, true) {
            self.desk.tally.count(|metrics| metrics.killed());
        }
    }

    /// It got the stop signal, and did not end.
    fn warn_of_deadline(&self, generation: u64) {
        let Some(it) = self.generations.get(&generation) else {
            return;
        };
        let (Some(told), Some(main)) = (it.told_to_end, it.living()) else {
            return;
        };
        tracing::warn!(
            generation,
            pid = main.pid.as_raw(),
            signal = %self.settings.stop_signal(),
            waited_ms = u64::try_from(told.elapsed().as_millis()).unwrap_or(u64::MAX),
            remedy = "SEGUE_STOP_SIGNAL if another signal makes it end, SEGUE_STOP_TIMEOUT if it needs longer",
            "the program did not end after the stop signal, killing it"
        );
    }

    fn prepare(&mut self, generation: u64) {
        self.generations.insert(generation, Generation::new());
        let waits = self.waits_for_files(generation, Files::ThoseThatAreThere);
        let begun = waits.and_then(|waits| {
            if waits {
                Ok(())
            } else {
                self.prepare_at_once(generation)
            }
        });
        if let Err(fault) = begun {
            self.events.push_back(Event::Prepared {
                generation,
                outcome: Err(fault),
            });
        }
    }

    pub(super) fn prepare_at_once(&mut self, generation: u64) -> Result<(), Fault> {
        match self.settings.pre_start.clone() {
            Some(hook) => self.start_hook(generation, &hook, Task::PreStart(generation)),
            None => Ok(()),
        }
    }

    fn post_stop(&mut self) {
        let Some(hook) = self.settings.post_stop.clone() else {
            return;
        };
        let last = self.state.last_generation();
        if let Err(fault) = self.start_hook(last, &hook, Task::PostStop) {
            tracing::warn!(reason = fault.reason, "SEGUE_POST_STOP failed");
            self.events.push_back(Event::PostStopEnded);
        }
    }

    fn steer(&mut self, generation: u64) {
        // Whoever inherits the service from one that crashed is not ready yet, and is asked on.
        let ready = self.state.serves(generation);
        let settled = self.settings.ready != Ready::Started && ready;
        // Where other processes listen, too, the numbers are unknown.
        self.look_for_strangers();
        self.look_for_strangers_with_datagrams();
        note("steer new connections", self.sockets.steer(generation, settled));
        self.steer_paths(generation);
        self.warn_of_lost(generation);
        self.watch_queues();
        self.forward_to(generation);
        self.note_replaced(Some(generation));
        let others = self
            .generations
            .iter()
            .any(|(number, it)| *number != generation && it.living().is_some());
        let Some(it) = self.generations.get_mut(&generation) else {
            return;
        };
        if ready {
            it.stop_probing();
        }
        let waits = others && self.inherited.foreground;
        let Some(pid) = it.living().map(|main| main.pid).filter(|_| waits) else {
            return;
        };
        terminal::give_to(pid);
        self.wake_if_stopped(generation, pid);
    }

    /// (Of a program whose readiness nobody has seen it is not known when it will listen.)
    fn settle(&mut self, generation: u64) {
        self.sockets.settle(generation, |place, given_up| {
            let address = place.to_string();
            tracing::info!(
                generation,
                address,
                "connections are refused there from now on, as it does not listen"
            );
            note("refuse connections there", given_up);
        });
        if self.settings.ready != Ready::Started && self.state.serves(generation) {
            self.settle_paths(generation);
        }
    }

    /// New connections go to this generation, or wait; those of the others are theirs from now on.
    fn note_replaced(&mut self, by: Option<u64>) {
        if let Some(it) = by.and_then(|by| self.generations.get_mut(&by)) {
            it.replaced = None;
        }
        let replaced = self
            .generations
            .iter()
            .filter(|(number, it)| Some(**number) != by && it.replaced.is_none() && it.living().is_some());
        let replaced: Vec<u64> = replaced.map(|it| *it.0).collect();
        if !self.sockets.is_idle() {
            self.to_note.extend(replaced);
        }
    }

    /// The stop signal to the program; SIGTERM to a hook that has not become a program yet.
    fn terminate(&mut self, generation: u64) {
        let Some(main) = self.generations.get(&generation).and_then(|it| it.living()) else {
            return;
        };
        let pid = main.pid;
        // Who closes its UDP sockets frees their ports, where no other generation has them, too.
        self.sockets.datagrams.let_go(generation);
        let is_program = matches!(self.tasks.get(&pid), Some(Task::Program(_)));
        let signal = if is_program {
            self.settings.stop_signal().number()
        } else {
            libc::SIGTERM
        };
        self.signal(generation, signal, None);
        self.wake_if_stopped(generation, pid);
    }

    /// A stopped process (by SIGSTOP, or for having read in the background) hears nothing before it goes on.
    fn wake_if_stopped(&mut self, generation: u64, pid: Pid) {
        if tree::process(pid.as_raw()).is_some_and(|process| process.state == b'T') {
            self.signal(generation, libc::SIGCONT, None);
        }
    }

    fn signal(&mut self, generation: u64, signal: i32, value: Option<usize>) {
        use std::os::fd::AsFd;
        let Some(main) = self.generations.get(&generation).and_then(|it| it.living()) else {
            return;
        };
        let sent = if self.settings.stop_group {
            send::to_group(main.pid, signal)
        } else {
            send::to_child(main.pid, main.pidfd.as_ref().map(AsFd::as_fd), signal, value)
        };
        if let Err(error) = sent {
            // ESRCH: it has just ended. EPERM: it has another user, and segue no CAP_KILL.
            tracing::warn!(generation, pid = main.pid.as_raw(), signal, %error, "cannot signal the program");
        }
    }
}

/// Logs what went wrong and goes on.
fn note(what: &'static str, result: io::Result<()>) {
    if let Err(error) = result {
        tracing::warn!(what, %error, "the system refused something");
    }
}
