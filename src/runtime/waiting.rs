//! GIVES a program the socket in which connections wait for it, after a crash or in stop-first, in the place of the one that is
//! about to listen: if the program could not notice the exchange.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};

use nix::{
    fcntl::{FcntlArg, OFlag, fcntl},
    sys::socket::Backlog,
};

use super::Supervisor;
use crate::handover::{
    exchange,
    facts::Facts,
    group::{Held, Joining},
    listener::Place,
    options,
    trapped::{Replacement, Verdict, task::Task},
};

impl Supervisor {
    /// Says that connections were lost that had waited for a generation to take them.
    pub(super) fn warn_of_lost(&mut self, generation: u64) {
        let lost = self.sockets.take_lost();
        if lost > 0 {
            tracing::warn!(
                generation,
                reset = lost,
                remedy = "SEGUE_RESTART_MODE=overlap, or net.ipv4.tcp_migrate_req=1",
                "connections were reset that waited for the program to listen again"
            );
        }
    }

    /// Connections wait for a generation to listen here: it is given the socket that they wait in, if it could not notice the
    /// exchange.
    pub(super) fn give_waiting(
        &mut self,
        joining: &Joining,
        facts: &Facts,
        place: &Place,
        backlog: Backlog,
    ) -> Option<Verdict> {
        let (generation, (process, file)) = (joining.generation, joining.holder);
        let (inode, multipath, socket) = self.sockets.waits(place, facts.user)?;
        let others = self.program_processes(generation);
        let visible = if multipath == facts.multipath {
            exchange::is_invisible(process, file, facts.inode, others)
                .map_err(|in_the_way| in_the_way.why().to_owned())
                .and_then(|()| options::carry_over(joining.socket.as_fd(), socket).map_err(|error| error.to_string()))
        } else {
            Err("one of them is a Multipath TCP socket".to_owned())
        };
        let given = visible.and_then(|()| with_flags_of(&joining.socket, socket));
        match given {
            Ok(socket) => {
                let close_on_exec = closes_on_exec(process, file);
                self.sockets
                    .take_over(inode, generation, joining.shares, joining.holder, backlog);
                self.note_reopened(inode);
                self.watch_holder(process);
                self.watch_queues();
                Some(Verdict::Replace(Replacement {
                    socket,
                    close_on_exec,
                    calls: false,
                }))
            }
            Err(why) => {
                self.sockets.keep_out(place);
                tracing::info!(
                    generation,
                    address = %place,
                    why,
                    "the program cannot be given the socket in which connections wait"
                );
                None
            }
        }
    }
}

/// With more processes than that it costs too much to look at all of their files at each listen.
const MOST_PROCESSES: usize = 8;
/// So many listeners of a generation are looked at: each look costs more the more files the program has. A program that has so many
/// treats them alike.
const MOST_LOOKS: u32 = 8;

impl Supervisor {
    /// A program's socket has just begun to listen. Could the next generation be given one in which connections wait? It is likely to do
    /// what this one did.
    pub(super) fn see_whether_exchangeable(&mut self, generation: u64, held: &Held, place: &Place) {
        let Some(it) = self.generations.get_mut(&generation) else {
            return;
        };
        if it.exchange_looks >= MOST_LOOKS {
            if it.hinders_exchange {
                self.sockets.keep_out(place);
            }
            return;
        }
        it.exchange_looks += 1;
        let processes = self.program_processes(generation);
        if processes.len() > MOST_PROCESSES {
            return;
        }
        let looked = exchange::is_invisible(held.holder.0, held.holder.1, held.inode, processes);
        // Most programs tell their epoll of a socket once it listens, which may be now: that says nothing of the moment before.
        if let Err(in_the_way) = looked
            && in_the_way != exchange::InTheWay::Registered
        {
            tracing::debug!(generation, address = %place, why = in_the_way.why(), "in stop-first clients are kept out here");
            self.sockets.keep_out(place);
            if let Some(it) = self.generations.get_mut(&generation) {
                it.hinders_exchange = true;
            }
        }
    }
}

/// A copy of a waiting socket, which waits in calls as the program's own does.
pub(super) fn with_flags_of(own: &OwnedFd, waiting: BorrowedFd<'_>) -> Result<OwnedFd, String> {
    let flags = flags_of(own).map_err(|error| error.to_string())?;
    if flags.contains(OFlag::O_ASYNC) {
        return Err("its socket signals readiness (O_ASYNC)".to_owned());
    }
    fcntl(waiting, FcntlArg::F_SETFL(flags & OFlag::O_NONBLOCK)).map_err(|error| error.to_string())?;
    waiting.try_clone_to_owned().map_err(|error| error.to_string())
}

fn flags_of(socket: &OwnedFd) -> nix::Result<OFlag> {
    fcntl(socket, FcntlArg::F_GETFL).map(OFlag::from_bits_truncate)
}

/// Is the process's file closed by an exec? (That is the number's affair, and not the socket's.)
pub(super) fn closes_on_exec(process: i32, file: RawFd) -> bool {
    Task::new(process)
        .and_then(|task| task.flags(file).ok())
        .is_none_or(|flags| flags.contains(OFlag::O_CLOEXEC))
}
