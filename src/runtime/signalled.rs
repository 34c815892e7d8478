//! TRANSLATES signals into the machine's events: which of them stop, which restart, and what the program gets.

use super::Supervisor;
use crate::{
    machine::{Event, Reason},
    process::signals::{self, Received, Signals},
    settings::value::{OnHup, Signal},
};

impl Supervisor {
    /// Installs the handlers, for which there was no time at the start.
    pub(super) fn handle_signals(&mut self, signals: &mut Signals) {
        // Before the first of them is there: a program that is started from now on gets the defaults back.
        self.changed = self.changed.with(signals::handled());
        if let Err(error) = signals.handle() {
            tracing::warn!(%error, "cannot install signal handlers: signals are read as at the start");
        }
    }

    pub(super) fn on_signal(&mut self, received: Received) {
        let Received {
            signal: number,
            sender,
            user,
            from_kernel,
            value,
        } = received;
        if number == libc::SIGCHLD {
            return self.reap();
        }
        let signal = Signal::new(number);
        let named = signal.map_or_else(|| number.to_string(), |signal| signal.to_string());
        let name = named.strip_prefix("SIG").unwrap_or(&named).to_owned();
        self.desk.tally.count(move |metrics| metrics.signal(&name));
        tracing::debug!(signal = named, sender, user, "heard a signal");
        let restarts = self.settings.on_hup() == OnHup::Restart;
        match signal {
            Some(signal) if self.settings.stop_on.contains(signal) => {
                tracing::info!(signal = %named, sender, user, "asked to stop");
                self.stopped_by = Some(named);
                self.events.push_back(Event::StopRequested);
            }
            // One from the kernel says that the terminal is gone, which is no wish for a restart.
            Some(Signal::HUP) if restarts && !from_kernel => {
                self.choose_mode();
                self.events.push_back(Event::RestartRequested { reason: Reason::Hup });
            }
            Some(signal) => {
                if let Some(mapped) = self.settings.signal_map.apply(signal) {
                    self.events.push_back(Event::SignalReceived {
                        signal: mapped.number(),
                        value,
                    });
                }
            }
            None => self.events.push_back(Event::SignalReceived { signal: number, value }),
        }
    }
}
