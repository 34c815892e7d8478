//! TELLS the service manager above segue (systemd with `Type=notify`, or a segue) what it wants to know: READY, RELOADING,
//! STOPPING, and how much longer that may take (sd_notify(3)). Never waits for it.

use std::{ffi::OsString, time::Duration};

use super::Supervisor;
use crate::{
    machine::{Limits, Phase, State},
    systemd::notify,
};

/// More than segue's own deadline, so that segue is not killed while it kills.
const MARGIN: Duration = Duration::from_secs(10);

/// What the service manager knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Nothing,
    Ready { generation: u64 },
    Reloading,
    Stopping,
}

/// The service manager, if there is one.
#[derive(Debug)]
pub(super) struct Upstream {
    socket: Option<OsString>,
    told: Told,
}

impl Upstream {
    /// The one that `NOTIFY_SOCKET` names.
    pub(super) fn new(environment: &[(OsString, OsString)]) -> Upstream {
        let socket = environment.iter().find(|(name, _)| name == "NOTIFY_SOCKET");
        Upstream {
            socket: socket.map(|(_, path)| path.clone()).filter(|path| !path.is_empty()),
            told: Told::Nothing,
        }
    }
}

impl Supervisor {
    /// After a turn: tells what has changed.
    pub(super) fn tell_upstream(&mut self) {
        if self.upstream.socket.is_none() {
            return;
        }
        let now = state(&self.state, self.upstream.told);
        if now == self.upstream.told {
            return;
        }
        // Whoever hears that it is ready may ask it at once.
        self.let_in();
        let Some(socket) = &self.upstream.socket else { return };
        let text = assignments(now, &self.limits, monotonic());
        match notify::send_to(socket, &text) {
            Ok(()) => self.upstream.told = now,
            // Its queue is full: the next turn tells.
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            // `segue start` listens only until it has heard what it wants.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
                tracing::debug!(%error, "nobody hears what NOTIFY_SOCKET is told");
                self.upstream.told = now;
            }
            Err(error) => {
                tracing::warn!(%error, "cannot tell the service manager (NOTIFY_SOCKET)");
                self.upstream.told = now;
            }
        }
    }
}

fn state(state: &State, told: Told) -> Told {
    match state.phase() {
        Phase::Booting => Told::Nothing,
        Phase::Running if state.is_restarting() && told != Told::Nothing => Told::Reloading,
        Phase::Running if state.is_ready() => Told::Ready {
            generation: state.current().unwrap_or_default(),
        },
        Phase::Running => told,
        Phase::Stopping { .. } | Phase::Closing | Phase::Finishing { .. } | Phase::Ended => Told::Stopping,
    }
}

fn assignments(now: Told, limits: &Limits, monotonic: u64) -> String {
    let extend = |wait: Option<Duration>| {
        let wait = wait.map(|wait| wait.saturating_add(MARGIN).as_micros());
        wait.map(|wait| format!("EXTEND_TIMEOUT_USEC={wait}\n"))
            .unwrap_or_default()
    };
    match now {
        Told::Nothing => String::new(),
        Told::Ready { generation } => format!("READY=1\nSTATUS=generation {generation} serves\n"),
        Told::Reloading => {
            let wait = limits.ready_timeout.map(|wait| wait.saturating_add(limits.probation));
            let extend = extend(wait);
            format!("RELOADING=1\nMONOTONIC_USEC={monotonic}\n{extend}STATUS=a new generation is on its way\n")
        }
        Told::Stopping => format!("STOPPING=1\n{}STATUS=stopping\n", extend(limits.stop_timeout)),
    }
}

fn monotonic() -> u64 {
    let time = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC);
    let time = time.map(Duration::from).unwrap_or_default();
    u64::try_from(time.as_micros()).unwrap_or_default()
}
