//! SETS the trap for the program's bind(2) and listen(2), and hears of these calls.

use std::{
    ffi::CString,
    io,
    task::{Context, Poll},
};

use tokio::sync::mpsc;

use super::Supervisor;
use crate::{
    handover::trapped::{
        self, Heard, Trapped,
        filter::{self, NATIVE, Options},
    },
    process::{
        privileges,
        trap::{self, Installed, Trap},
    },
};

/// Are the program's calls trapped?
#[derive(Debug)]
pub(super) enum Trapping {
    /// No: it was not asked for, or it was tried and refused.
    No,
    /// If the kernel allows it.
    Wanted(Filter),
    /// Or the program is not started.
    Required(Filter),
}

/// What the child installs.
#[derive(Debug, Default)]
pub(super) struct Filter {
    program: Vec<libc::sock_filter>,
    /// For a generation whose predecessor listens on a path.
    with_paths: Vec<libc::sock_filter>,
    cookie: u64,
    exchanges: bool,
}

/// The calls of all generations.
#[derive(Debug)]
pub(super) struct Calls {
    pub(super) trapped: Trapped,
    pub(super) heard: mpsc::UnboundedReceiver<Heard>,
}

/// Calls that are answered in one go, so that a program that makes very many does not keep a stop waiting.
const BATCH: usize = 32;

impl Trapping {
    /// As the settings want it, and as far as this kernel can; else why not.
    pub(super) fn new(required: bool) -> Result<Trapping, String> {
        let Some(calls) = NATIVE else {
            return Err("hand-over by trapping calls is made for x86-64 and aarch64".into());
        };
        trap::check_kernel()?;
        let cookie = trapped::cookie();
        // Without copies a socket is exchanged at its bind, and all of its options have to be known by then.
        let exchanges = trapped::are_copies_refused();
        let options = if exchanges { Options::All } else { Options::Sharing };
        let program = |paths| filter::program(calls, cookie, options, paths);
        let filter = Filter {
            program: program(false),
            with_paths: program(true),
            cookie,
            exchanges,
        };
        Ok(if required {
            Trapping::Required(filter)
        } else {
            Trapping::Wanted(filter)
        })
    }

    fn filter(&self) -> Option<(&Filter, bool)> {
        match self {
            Trapping::No => None,
            Trapping::Wanted(filter) => Some((filter, false)),
            Trapping::Required(filter) => Some((filter, true)),
        }
    }

    pub(super) fn trap(&self, paths: bool) -> Option<Trap<'_>> {
        self.filter().map(|(filter, required)| Trap {
            filter: if paths { &filter.with_paths } else { &filter.program },
            required,
        })
    }

    /// From now on every generation needs it: without, it could not bind beside the one that serves.
    fn has_worked(&mut self) {
        if let Trapping::Wanted(filter) = self {
            *self = Trapping::Required(std::mem::take(filter));
        }
    }

    pub(super) fn is_on(&self) -> bool {
        self.filter().is_some()
    }
}

/// Something to be said once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Notice {
    Due,
    Given,
}

/// Why there is no hand-over, and what to do about it, in one line of the log.
pub(super) fn tell_no_handover(why: &str) {
    tracing::warn!(
        why,
        remedy = "SEGUE_LISTEN=:PORT for a program that takes LISTEN_FDS, SEGUE_PROXY=:PORT for one that speaks HTTP where PORT \
                  says, or SEGUE_HANDOVER=none to accept that",
        "no transparent hand-over: the program's own sockets cannot be handed over, a restart stops it first"
    );
}

/// What SEGUE_HANDOVER=transparent takes from the program.
pub(super) fn tell_privileges_taken(why: &str) {
    tracing::warn!(
        why,
        remedy = "SEGUE_HANDOVER=auto, or CAP_SYS_ADMIN for segue",
        "hand-over needs no_new_privs here, which takes the program's privileges from it"
    );
}

impl Supervisor {
    /// Once, when a generation is ready: what a command that only does its work and ends need not be told.
    pub(super) fn introduce(&mut self) {
        if self.sealed == Some(Notice::Due) {
            self.sealed = Some(Notice::Given);
            tracing::info!(
                remedy = "SEGUE_HANDOVER=none",
                "set no_new_privs, which hand-over needs here: set-uid helpers (sudo, ping) and programs with file \
                 capabilities get no privilege from their files"
            );
        }
    }

    /// The program was executed: its calls are answered from now on, if the kernel allowed that. An error means that its filter
    /// has no listener, so that it could never bind.
    pub(super) fn begin_hearing(&mut self, generation: u64) -> io::Result<()> {
        let channel = self.generations.get_mut(&generation).and_then(|it| it.channel.take());
        let Some(channel) = channel else { return Ok(()) };
        let installed =
            trap::outcome(&channel).ok_or_else(|| io::Error::other("the program did not send its seccomp listener"))?;
        match installed {
            Installed::Yes { notifications, sealed } => {
                if self.calls.is_none() {
                    let filter = self.trapping.filter();
                    let (cookie, exchanges) = filter.map_or((0, false), |it| (it.0.cookie, it.0.exchanges));
                    let (sender, heard) = mpsc::unbounded_channel();
                    let trapped = Trapped::new(cookie, exchanges, sender)?;
                    self.calls = Some(Calls { trapped, heard });
                }
                if let Some(calls) = &mut self.calls {
                    calls.trapped.add(generation, notifications)?;
                }
                self.trapping.has_worked();
                self.sealed = self.sealed.or(sealed.then_some(Notice::Due));
            }
            Installed::No { errno } => {
                let why = trap::refusal(errno);
                tell_no_handover(&why);
                self.desk.no_handover = Some(why);
                self.trapping = Trapping::No;
            }
        }
        Ok(())
    }

    /// A program whose file gives it privileges would lose them by `no_new_privs`: it goes without hand-over, unless that was
    /// asked for by name. Looked at before the first start only: later the filter is there, or was refused.
    pub(super) fn spare_privileges(&mut self, candidates: impl FnOnce() -> Vec<CString>) {
        let (Trapping::Wanted(_) | Trapping::Required(_)) = &self.trapping else {
            return;
        };
        if self.desk.started {
            return;
        }
        let Some(why) = privileges::at_stake(&candidates()) else {
            return;
        };
        if matches!(self.trapping, Trapping::Required(_)) {
            self.privileges_taken = Some(why);
            return;
        }
        // It is reported once the log is set up, which the first start does not wait for.
        self.desk.no_handover = Some(format!("{why}, which no_new_privs would take from it"));
        self.trapping = Trapping::No;
    }

    /// Can nothing be had of the program's sockets, although its calls are heard? To be asked once there is time: only then is it known
    /// that the program is one whose calls are.
    pub(super) fn see_what_is_forbidden(&mut self) {
        if self.trapping.is_on()
            && let Some(why) = privileges::nothing_is_read()
        {
            tell_no_handover(&why);
            self.desk.no_handover.get_or_insert(why);
        }
    }

    /// Are the calls of this generation heard?
    pub(super) fn hears(&self, generation: u64) -> bool {
        self.calls.as_ref().is_some_and(|calls| calls.trapped.hears(generation))
    }

    /// Answers the programs' calls; ready when there may be more, or something was learned.
    pub(super) fn poll_calls(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(calls) = &mut self.calls else {
            return Poll::Pending;
        };
        let mut ready = calls.trapped.poll_first(context).is_ready();
        for _ in 0..BATCH {
            let Some(calls) = &mut self.calls else { break };
            match calls.heard.poll_recv(context) {
                Poll::Ready(Some(heard)) => {
                    self.on_heard(heard);
                    ready = true;
                }
                Poll::Ready(None) | Poll::Pending => break,
            }
        }
        if ready { Poll::Ready(()) } else { Poll::Pending }
    }
}
