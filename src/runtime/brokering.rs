//! LETS the program's binds be answered, and sees by its listening when it is ready.

use std::{
    io,
    task::{Context, Poll},
    time::Duration,
};

use tokio::sync::mpsc;

use super::{Supervisor, probing::Message};
use crate::{
    handover::broker::{
        Broker, Listens,
        filter::{self, NATIVE},
        task,
    },
    machine::{Event, Role},
    process::trap::{self, Installed, Trap},
    settings::value::Ready,
};

/// Are the program's calls trapped?
#[derive(Debug)]
pub(super) enum Trapping {
    /// No: it was not asked for, or it was tried and refused.
    No,
    /// If the kernel allows it.
    Wanted(Vec<libc::sock_filter>),
    /// Or the program is not started.
    Required(Vec<libc::sock_filter>),
}

/// Calls that are answered in one go, so that a program that makes very many does not keep a stop waiting.
const BATCH: usize = 32;
/// How long a program may take to listen before the log says what it is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

impl Trapping {
    /// As the settings want it, and as far as this kernel can; else why not.
    pub(super) fn new(required: bool) -> Result<Trapping, String> {
        let Some(calls) = NATIVE else {
            return Err("hand-over by trapping calls is made for x86-64 and aarch64".into());
        };
        trap::check_kernel()?;
        let filter = filter::program(calls);
        Ok(if required {
            Trapping::Required(filter)
        } else {
            Trapping::Wanted(filter)
        })
    }

    pub(super) fn trap(&self) -> Option<Trap<'_>> {
        match self {
            Trapping::No => None,
            Trapping::Wanted(filter) => Some(Trap {
                filter,
                required: false,
            }),
            Trapping::Required(filter) => Some(Trap { filter, required: true }),
        }
    }

    /// From now on every generation needs it: without, it could not bind beside the one that serves.
    fn has_worked(&mut self) {
        if let Trapping::Wanted(filter) = self {
            *self = Trapping::Required(std::mem::take(filter));
        }
    }

    pub(super) fn is_on(&self) -> bool {
        self.trap().is_some()
    }
}

/// Why there is no hand-over, and what to do about it, in one line of the log.
pub(super) fn tell_no_handover(why: &str) {
    tracing::warn!(
        why,
        remedy = "SEGUE_LISTEN=:PORT for a program that takes LISTEN_FDS, SEGUE_PROXY=:PORT for one that speaks HTTP where PORT \
                  says, or SEGUE_HANDOVER=none to be content",
        "no transparent hand-over: the program's own sockets cannot be handed over, a restart stops it first"
    );
}

impl Supervisor {
    /// The program was executed: its calls are answered from now on, if the kernel allowed that. An error means that it has
    /// a filter and nobody to answer, so that it could never bind.
    pub(super) fn begin_brokering(&mut self, generation: u64) -> io::Result<()> {
        let channel = self.generations.get_mut(&generation).and_then(|it| it.channel.take());
        let Some(channel) = channel else { return Ok(()) };
        let installed = trap::outcome(&channel).ok_or_else(|| io::Error::other("the file for them has not come"))?;
        match installed {
            Installed::Yes { notifications, sealed } => {
                self.brokers.insert(generation, Broker::new(generation, notifications)?);
                self.trapping.has_worked();
                if sealed && !std::mem::replace(&mut self.told_sealed, true) {
                    tracing::info!(
                        remedy = "SEGUE_HANDOVER=none",
                        "set no_new_privs, which hand-over needs here: set-uid helpers (sudo, ping) get no privilege"
                    );
                }
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

    /// Answers the programs' calls; ready when there may be more, or something was learned.
    pub(super) fn poll_brokers(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let mut heard = Vec::new();
        let mut more = false;
        for (number, broker) in &mut self.brokers {
            let processes = || super::leftovers::processes_of(*number, &self.generations, &self.tasks);
            let mut answered = 0;
            while let Poll::Ready(call) = broker.poll_call(context, &mut self.sockets) {
                let listens = broker.answer(call, &mut self.sockets, processes);
                heard.extend(listens.map(|listens| (*number, listens)));
                answered += 1;
                if answered == BATCH {
                    more = true;
                    break;
                }
            }
        }
        let learned = !heard.is_empty();
        heard
            .into_iter()
            .for_each(|(generation, listens)| self.on_listens(generation, listens));
        if learned || more {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    /// A new generation is about to be measured by where the serving one listens: what that has closed since is no measure,
    /// and refuses connections from now on, as it would have without segue.
    pub(super) fn forget_closed_listeners(&mut self) {
        let Some(serving) = self.state.current() else { return };
        let seen = self.brokers.contains_key(&serving);
        let Some(it) = self.generations.get(&serving).filter(|_| seen) else {
            return;
        };
        // With one address there is nothing to compare; and to look costs something where connections are many.
        if it.listens.len() < 2 {
            return;
        }
        let Some(held) = task::held_sockets(&self.program_processes(serving)) else {
            return;
        };
        if let Err(error) = self.sockets.sweep(serving, |inode| held.contains(&inode)) {
            tracing::warn!(%error, "cannot let go of a closed listener");
        }
        let sockets = &mut self.sockets;
        if let Some(it) = self.generations.get_mut(&serving) {
            it.listens.retain(|listens| match listens {
                Listens::Tcp(place) => sockets.listens(serving, place),
                Listens::Unix(_) | Listens::Somewhere => true,
            });
        }
    }

    fn on_listens(&mut self, generation: u64, listens: Listens) {
        let address = match &listens {
            Listens::Tcp(place) => place.to_string(),
            Listens::Unix(path) => format!("unix:{}", String::from_utf8_lossy(path).replace('\0', "@")),
            Listens::Somewhere => "a port of the kernel's choice, or a socket that was passed".to_owned(),
        };
        let Some(it) = self.generations.get_mut(&generation) else {
            return;
        };
        // A program that closes and opens a socket again and again has said it once.
        const MOST: usize = 1_000;
        if it.listens.len() < MOST && it.listens.insert(listens) {
            tracing::info!(generation, address, "listening");
        }
        self.see_whether_ready(generation);
    }

    /// A generation that listens wherever the serving one does is ready; without a serving one, that listens at all.
    pub(super) fn see_whether_ready(&mut self, generation: u64) {
        let by_listening = matches!(self.settings.ready, Ready::Auto | Ready::Listening);
        let starting = |it: &&crate::machine::Generation| it.number == generation && it.role == Role::Starting;
        if !by_listening || self.state.generations().iter().find(starting).is_none() {
            return;
        }
        let Some(own) = self.generations.get(&generation).map(|it| &it.listens) else {
            return;
        };
        let serving = self.state.current().filter(|serving| *serving != generation);
        let serving = serving.and_then(|serving| self.generations.get(&serving));
        let missing = serving.is_some_and(|serving| {
            let mut known = serving.listens.iter().filter(|it| **it != Listens::Somewhere);
            known.any(|it| !own.contains(it))
        });
        let event = Event::BecameReady { generation };
        if !own.is_empty() && !missing && !self.events.contains(&event) {
            self.events.push_back(event);
        }
    }

    /// The old generation may be gone meanwhile, so that less is asked of the new one.
    pub(super) fn see_who_is_ready(&mut self) {
        let starting = |it: &&crate::machine::Generation| it.role == Role::Starting;
        let starting = self.state.generations().iter().filter(starting);
        let starting: Vec<u64> = starting.map(|it| it.number).collect();
        starting.into_iter().for_each(|number| self.see_whether_ready(number));
    }

    /// The program has not listened for a while: says what is waited for.
    pub(super) fn tell_what_is_waited_for(&self, generation: u64) {
        let starting = |it: &&crate::machine::Generation| it.number == generation && it.role == Role::Starting;
        let waits = self.state.generations().iter().find(starting).is_some();
        let Some(it) = self.generations.get(&generation).filter(|_| waits) else {
            return;
        };
        let missing = if self.front.is_some() {
            "it does not accept connections on its PORT"
        } else if it.listens.is_empty() {
            "it does not listen on any socket"
        } else {
            "it does not listen on every address that the serving generation listens on"
        };
        tracing::warn!(
            generation,
            missing,
            remedy = "SEGUE_READY=started for a program that never will",
            "not ready yet"
        );
    }
}

/// Sends a word when the program has had enough time to listen.
pub(super) async fn wait_for_listening(generation: u64, sender: mpsc::UnboundedSender<Message>) {
    tokio::time::sleep(PATIENCE).await;
    // The loop outlives its tasks.
    sender.send(Message::Waiting(generation)).ok();
}
