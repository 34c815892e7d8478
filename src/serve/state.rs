//! DECIDES what state a connection is in after what happened on it, and how long it may stay in that. No I/O, no clock.

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;

use super::Limits;

/// How long a client may go on sending after the last response, so that it gets to read it: to close at once would reset
/// the connection and take the response away from it.
const LINGER: Duration = Duration::from_secs(2);

/// What a connection is at. One that is closed is not there any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// No request has come yet.
    New,
    /// A request is answered.
    Active,
    /// A request is answered, and the client does not take the response.
    Stalled,
    /// All requests are answered.
    Idle,
    /// All are answered, and a part of another has come.
    Heading,
    /// Nothing more will be answered.
    Closing,
}

/// What happens on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// Bytes were read.
    Read,
    /// A request's head has come.
    Begun,
    /// Its response is written, though maybe not yet sent.
    Written,
    /// Nothing more could be sent for now.
    Blocked,
    /// All that was written is sent.
    Sent,
    /// It is shut down.
    ShutDown,
}

/// A connection's state, and the requests whose responses are not written yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Progress {
    pub(super) state: State,
    requests: usize,
}

/// Where what happens is told; the receivers see the progress.
pub(super) type Teller = Arc<watch::Sender<Progress>>;

impl Progress {
    /// That of a new connection.
    pub(super) fn new() -> (Teller, watch::Receiver<Progress>) {
        let (teller, state) = watch::channel(Progress {
            state: State::New,
            requests: 0,
        });
        (Arc::new(teller), state)
    }

    /// What it is after an event.
    #[must_use]
    pub(super) fn after(self, event: Event) -> Progress {
        let requests = match event {
            Event::Begun => self.requests.saturating_add(1),
            Event::Written => self.requests.saturating_sub(1),
            Event::Read | Event::Blocked | Event::Sent | Event::ShutDown => self.requests,
        };
        let state = match (event, self.state) {
            (Event::ShutDown, _) => State::Closing,
            (_, State::Closing) => State::Closing,
            (Event::Read, State::Idle) => State::Heading,
            // A request that comes while an earlier response is stuck does not give the client new time.
            (Event::Begun, State::New | State::Idle | State::Heading | State::Active) => State::Active,
            (Event::Blocked, State::Active) => State::Stalled,
            (Event::Sent, State::Active | State::Stalled) if requests == 0 => State::Idle,
            (Event::Sent, State::Stalled) => State::Active,
            (Event::Read | Event::Begun | Event::Written | Event::Blocked | Event::Sent, same) => same,
        };
        Progress { state, requests }
    }
}

/// Tells what happened. Only a change of the state is seen.
pub(super) fn tell(teller: &Teller, event: Event) {
    teller.send_if_modified(|progress| {
        let before = progress.state;
        *progress = progress.after(event);
        progress.state != before
    });
}

impl State {
    /// May it make way for another? Not while it is answered.
    pub(super) fn is_evictable(self) -> bool {
        match self {
            State::New | State::Idle | State::Heading | State::Closing => true,
            State::Active | State::Stalled => false,
        }
    }

    /// How long it may stay so.
    pub(super) fn patience(self, limits: &Limits) -> Option<Duration> {
        match self {
            State::New | State::Heading => Some(limits.header_timeout),
            State::Active => None,
            State::Stalled => Some(limits.response_timeout),
            State::Idle => Some(limits.idle_timeout),
            State::Closing => Some(LINGER),
        }
    }
}

#[cfg(test)]
mod tests;
