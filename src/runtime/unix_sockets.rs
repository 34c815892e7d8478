//! DECIDES what becomes of the program's calls on unix sockets, and lets their paths lead to the generation that serves. A socket that
//! has no path that can lead to another is remembered: such a program is restarted stop-first.

use std::{
    os::fd::{AsFd, OwnedFd, RawFd},
    time::{Duration, Instant, SystemTime},
};

use nix::sys::socket::{Backlog, SockType, getsockopt, listen, sockopt};

use super::{
    Supervisor,
    own_sockets::Listens,
    waiting::{closes_on_exec, with_flags_of},
};
use crate::{
    handover::{
        exchange,
        group::Held,
        options,
        paths::{Binds, Listening, Switched, Target, directory, established, names},
        trapped::{Bound, Method, Replacement, Verdict, Want},
    },
    machine::Role,
    process::status,
};

/// A process's number that a name has not by chance, as it may have one of a single digit.
const NO_CHANCE: i32 = 100;

/// What a call on a unix socket is about.
pub(super) struct OnUnix {
    pub(super) generation: u64,
    pub(super) holder: (i32, RawFd),
    pub(super) inode: u64,
    pub(super) copy: Result<(Method, OwnedFd), String>,
}

impl Supervisor {
    pub(super) fn decide_unix(&mut self, it: OnUnix, want: Want, listens: &mut Option<Listens>) -> Verdict {
        let generation = it.generation;
        match want {
            Want::BindPath(target) => match self.paths.bind(generation, &target) {
                Ok(Binds::AsAsked) => Verdict::Pass,
                Ok(Binds::Beside(path)) => Verdict::BindTo(path),
                Ok(Binds::InUse) => Verdict::Return(Err(libc::EADDRINUSE)),
                Err(why) => {
                    self.pass(generation, format!("{}: {why}", directory::shown(&target.path)));
                    Verdict::Pass
                }
            },
            Want::Unlink(target) => {
                if self.paths.unlink(generation, &target) {
                    let path = directory::shown(&target.path);
                    tracing::debug!(
                        generation,
                        path,
                        "a unix socket's path stays, as another generation needs it"
                    );
                    Verdict::Return(Ok(()))
                } else {
                    Verdict::Pass
                }
            }
            // Who asks whether anybody lives there before it moves in would, without the generation before, find nobody.
            Want::Connect(target) => {
                let begins = self.is_starting(generation);
                if begins && self.paths.is_another_s(generation, &target) {
                    Verdict::Return(Err(libc::ECONNREFUSED))
                } else {
                    Verdict::Pass
                }
            }
            Want::Rename(from, to) => match self.paths.rename(generation, &from, &to) {
                Ok(true) => Verdict::Return(Ok(())),
                Ok(false) => Verdict::Pass,
                Err(error) => {
                    tracing::debug!(generation, %error, "a socket takes the place of another generation's");
                    Verdict::Pass
                }
            },
            Want::ListenUnix(backlog, bound) => {
                let (on, verdict) = self.on_listen_unix(it, backlog, bound);
                *listens = Some(on);
                verdict
            }
            Want::Bind(_)
            | Want::BindDatagrams(_)
            | Want::Listen(_)
            | Want::Reach(_)
            | Want::ReachPath(_)
            | Want::Share(_)
            | Want::SteerByItself => Verdict::Pass,
        }
    }

    /// The program makes the call itself in any case: the kernel notes who listens, and shows it to those who connect.
    fn on_listen_unix(&mut self, it: OnUnix, backlog: i32, bound: Bound) -> (Listens, Verdict) {
        let generation = it.generation;
        let target = match bound {
            Bound::Path(target) => target,
            Bound::Abstract(name) => {
                let shown = [b"@", &name[..]].concat();
                if !self.tells_process(generation, it.holder.0, &name, NO_CHANCE) {
                    let why = "an abstract name cannot lead to another socket";
                    self.pass(generation, format!("{}: {why}", directory::shown(&shown)));
                }
                return (Listens::Unix(shown), Verdict::Pass);
            }
            Bound::Nothing => return (Listens::Somewhere, Verdict::Pass),
        };
        let expected = self.is_expected(generation, it.holder.0, &target);
        let (method, socket) = match it.copy {
            Ok(copy) => copy,
            Err(why) => {
                let leads = target.directory.look(&target.name).is_ok_and(|it| it.is_some());
                if leads && !self.tells_process(generation, it.holder.0, &target.path, NO_CHANCE) {
                    self.pass(generation, format!("{}: {why}", directory::shown(&target.path)));
                }
                return (Listens::Unix(target.path), Verdict::Pass);
            }
        };
        // One that listens already was passed to the program, which may share it with others; or it listens once more.
        let listens = getsockopt(&socket, sockopt::AcceptConn).unwrap_or(true);
        let kind = getsockopt(&socket, sockopt::SockType);
        let can_listen = matches!(kind, Ok(SockType::Stream | SockType::SeqPacket));
        if listens || !can_listen {
            let path = self.paths.path_of(it.inode).unwrap_or(target.path);
            return (Listens::Unix(path), Verdict::Pass);
        }
        if let Some((path, verdict)) = self.give_waiting_unix(generation, (it.holder, it.inode), &socket, &target) {
            self.note_method(generation, method);
            return (Listens::Unix(path), verdict);
        }
        // It listens before anything else is done that lets connections come.
        let backlog = Backlog::new(backlog).unwrap_or(Backlog::MAXCONN);
        let begun = listen(&socket, backlog);
        tracing::trace!(?begun, "a unix socket listens");
        let listening = Listening {
            generation,
            inode: it.inode,
            holder: it.holder,
            socket,
        };
        let said = target.path.clone();
        let Some(path) = self.paths.join(listening, target, expected) else {
            return (Listens::Unix(said), Verdict::Pass);
        };
        self.note_method(generation, method);
        if self.paths.serves(generation) {
            let switched = self.paths.switch();
            self.tell_switched(generation, &switched);
        }
        self.sweep(generation);
        self.after_paths_changed(generation);
        self.watch_holder(it.holder.0);
        (Listens::Unix(path), Verdict::Pass)
    }

    fn note_method(&mut self, generation: u64, method: Method) {
        if let Some(it) = self.generations.get_mut(&generation) {
            it.method = Some(method);
        }
    }

    /// Connections wait for the generation to listen here: it is given the socket that they wait in, if it could not notice.
    fn give_waiting_unix(
        &mut self,
        generation: u64,
        (holder, inode): ((i32, RawFd), u64),
        own: &OwnedFd,
        target: &Target,
    ) -> Option<(Vec<u8>, Verdict)> {
        let processes = self.program_processes(generation);
        let (waiting, socket) = self.paths.waits(generation, target)?;
        let given = exchange::is_invisible(holder.0, holder.1, inode, processes)
            .map_err(|in_the_way| in_the_way.why().to_owned())
            .and_then(|()| options::carry_over(own.as_fd(), socket).map_err(|error| error.to_string()))
            .and_then(|()| with_flags_of(own, socket));
        match given {
            Ok(socket) => {
                let close_on_exec = closes_on_exec(holder.0, holder.1);
                let path = self.paths.take_over(waiting, generation, target, holder)?;
                self.after_paths_changed(generation);
                self.watch_holder(holder.0);
                let by = Replacement {
                    socket,
                    close_on_exec,
                    calls: true,
                };
                Some((path, Verdict::Replace(by)))
            }
            Err(why) => {
                tracing::info!(
                    generation,
                    address = directory::shown(&target.path),
                    why,
                    "the program cannot be given the socket in which connections wait"
                );
                None
            }
        }
    }

    /// Will the next generation listen there, too? Perhaps not where a name tells of the process (in a container, where these numbers are
    /// small, or has it by chance), or a directory was made for it. It is handed over all the same, should the next one bind it.
    fn is_expected(&self, generation: u64, process: i32, target: &Target) -> bool {
        let began = self.generations.get(&generation).map(|it| it.began_at);
        let made = target.directory.made_at();
        let own = made
            .zip(began)
            .is_some_and(|(made, began): (SystemTime, SystemTime)| made > began);
        !own && !self.tells_process(generation, process, &target.path, 1)
    }

    /// Is a number of the generation's processes that is not less than this part of the name?
    fn tells_process(&self, generation: u64, process: i32, name: &[u8], least: i32) -> bool {
        if !name.iter().any(u8::is_ascii_digit) {
            return false;
        }
        let mut numbers = self.numbers_of(generation, process);
        numbers.retain(|it| *it >= least);
        names::tells_process(name, &numbers)
    }

    /// The numbers of the generation's processes, in segue's PID namespace and in their own.
    fn numbers_of(&self, generation: u64, process: i32) -> Vec<i32> {
        let processes = self.program_processes(generation).into_iter().chain([process]);
        processes.flat_map(status::numbers).collect()
    }

    /// Can the sockets of the generation that serves make room for the next one's? Else why not.
    pub(super) fn prepare_paths(&mut self, generation: u64) -> Option<String> {
        self.paths.prepare(generation, self.state.last_generation() + 1).err()
    }

    pub(super) fn steer_paths(&mut self, generation: u64) {
        let switched = self.paths.steer(generation);
        self.tell_switched(generation, &switched);
        self.after_paths_changed(generation);
    }

    pub(super) fn hold_paths(&mut self) {
        self.paths.hold();
        self.watch_endangered();
    }

    pub(super) fn release_paths(&mut self, generation: u64) {
        self.paths.release(generation);
        self.after_paths_changed(generation);
        let serving = self.state.current().unwrap_or_default();
        for (path, leads) in self.paths_lead_to(serving) {
            if let Err(why) = leads {
                tracing::warn!(
                    generation = serving,
                    path,
                    why,
                    "a unix socket's path does not lead to the generation that serves"
                );
            }
        }
    }

    pub(super) fn settle_paths(&mut self, generation: u64) {
        for path in self.paths.settle(generation) {
            tracing::info!(
                generation,
                address = path,
                "connections are refused there from now on, as it does not listen"
            );
        }
        self.after_paths_changed(generation);
    }

    /// How many connections of the generation's unix sockets are busy, as far as can be seen: what a program works at for longer than
    /// SEGUE_DRAIN_IDLE looks quiet.
    pub(super) fn busy_on_paths(&mut self, generation: u64) -> usize {
        let listeners = self.paths.listeners(generation);
        let open = self.paths.gets_connections(generation);
        let idle = if self.is_last_part(generation) {
            Duration::ZERO
        } else {
            self.settings.drain_idle
        };
        let Some(it) = self.generations.get_mut(&generation).filter(|_| !listeners.is_empty()) else {
            return 0;
        };
        match established::on(&listeners) {
            Ok(connections) => it.quiet.busy(&connections, idle, Instant::now(), open),
            Err(error) => {
                tracing::debug!(%error, "cannot count connections of unix sockets, so they are not waited for");
                0
            }
        }
    }

    /// For every path that the generation serves: does it lead to the generation's socket now?
    pub(super) fn paths_lead_to(&self, generation: u64) -> Vec<(String, Result<(), String>)> {
        self.paths.lead_to(generation)
    }

    fn is_starting(&self, generation: u64) -> bool {
        let generations = self.state.generations();
        generations
            .iter()
            .any(|it| it.number == generation && it.role == Role::Starting)
    }

    fn after_paths_changed(&mut self, generation: u64) {
        let lost = self.paths.take_lost();
        if lost > 0 {
            tracing::warn!(
                generation,
                reset = lost,
                remedy = "SEGUE_RESTART_MODE=overlap",
                "connections were reset that waited for the program to listen again"
            );
        }
        if let Some(calls) = &self.calls {
            calls.trapped.set_paths(self.paths.names());
        }
        self.watch_endangered();
        self.watch_queues();
    }

    fn tell_switched(&self, generation: u64, switched: &[Switched]) {
        for Switched { path, outcome } in switched {
            match outcome {
                Ok(()) => tracing::debug!(generation, path, "a unix socket's path leads to this generation"),
                Err(error) => {
                    tracing::warn!(generation, path, %error, "cannot let a unix socket's path lead to this generation");
                }
            }
        }
    }

    /// The programs' own sockets of every kind.
    pub(super) fn held(&self) -> Vec<Held> {
        self.sockets.held(None).into_iter().chain(self.paths.held()).collect()
    }

    /// No process has this socket any more.
    pub(super) fn abandon_path(&mut self, it: Held) {
        let Some((path, reset)) = self.paths.abandon(it.inode) else {
            return;
        };
        tracing::info!(
            generation = it.generation,
            address = path,
            reset,
            "the program has closed a listening socket, which gets no connections any more"
        );
        self.after_paths_changed(it.generation);
    }
}
