//! DECIDES what state a connection is in after what happened on it. No I/O, no clock.

/// What a connection is at, as the outside sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Nothing has come yet.
    New,
    /// A request is being received or answered.
    Active,
    /// All requests are answered.
    Idle,
    /// It was upgraded, and belongs to whoever took it.
    Hijacked,
    /// Nothing more will be answered on it.
    Closed,
}

/// The same, as it matters within.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Stage {
    /// Nothing has come yet.
    New,
    /// All requests are answered, and a part of another has come.
    Heading,
    /// A request is answered.
    Active,
    /// A request is answered, and the client does not take the response.
    Stalled,
    /// All requests are answered.
    Idle,
    /// It was upgraded.
    Hijacked,
    /// It is shut down, and its last bytes may still be on their way.
    Closing,
    /// It is gone.
    Closed,
}

/// What happens on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// Bytes were read.
    Read,
    /// The client speaks HTTP/2: many requests at a time.
    Preface,
    /// A request's head has come.
    Begun,
    /// Its response is written, though maybe not yet sent.
    Written,
    /// Nothing more could be sent for now.
    Blocked,
    /// All that was written is sent.
    Sent,
    /// A request is answered by an upgrade.
    Upgraded,
    /// It is shut down.
    ShutDown,
    /// It is gone.
    Closed,
}

/// A connection's stage, and the requests whose responses are not written yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Progress {
    pub(super) stage: Stage,
    pub(super) multiplexed: bool,
    requests: u32,
}

impl Progress {
    /// That of a new connection.
    pub(super) const NEW: Progress = Progress {
        stage: Stage::New,
        multiplexed: false,
        requests: 0,
    };

    /// What it is after an event.
    #[must_use]
    pub(super) fn after(self, event: Event) -> Progress {
        let requests = match event {
            Event::Begun => self.requests.saturating_add(1),
            Event::Written => self.requests.saturating_sub(1),
            Event::Read
            | Event::Preface
            | Event::Blocked
            | Event::Sent
            | Event::Upgraded
            | Event::ShutDown
            | Event::Closed => self.requests,
        };
        let multiplexed = self.multiplexed || event == Event::Preface;
        let none = requests == 0;
        let stage = match (event, self.stage) {
            (_, Stage::Closed) | (Event::Closed, _) => Stage::Closed,
            (_, Stage::Hijacked) | (Event::Upgraded, _) => Stage::Hijacked,
            (_, Stage::Closing) | (Event::ShutDown, _) => Stage::Closing,
            (Event::Preface, Stage::New | Stage::Heading) => Stage::Idle,
            // HTTP/2 has frames that are no request.
            (Event::Read, Stage::New | Stage::Idle) if !multiplexed => Stage::Heading,
            // A request that comes while an earlier response is stuck does not give the client new time.
            (Event::Begun, Stage::New | Stage::Heading | Stage::Active | Stage::Idle) => Stage::Active,
            (Event::Blocked, Stage::Active) => Stage::Stalled,
            (Event::Sent, Stage::Active | Stage::Stalled) if none => Stage::Idle,
            (Event::Sent, Stage::Stalled) => Stage::Active,
            // There what is sent is not told from what is to be sent for another request.
            (Event::Written, Stage::Active) if none && multiplexed => Stage::Idle,
            (
                Event::Read | Event::Preface | Event::Begun | Event::Written | Event::Blocked | Event::Sent,
                same @ (Stage::New | Stage::Heading | Stage::Active | Stage::Stalled | Stage::Idle),
            ) => same,
        };
        Progress {
            stage,
            multiplexed,
            requests,
        }
    }

    /// All of it in one number.
    pub(super) fn pack(self) -> u64 {
        u64::from(self.requests) << 16 | u64::from(self.multiplexed) << 8 | self.stage as u64
    }

    /// What [`Progress::pack`] has made a number of.
    pub(super) fn unpack(number: u64) -> Progress {
        let stages = [
            Stage::New,
            Stage::Heading,
            Stage::Active,
            Stage::Stalled,
            Stage::Idle,
            Stage::Hijacked,
            Stage::Closing,
        ];
        let stage = stages.into_iter().find(|stage| *stage as u64 == number & 0xff);
        Progress {
            stage: stage.unwrap_or(Stage::Closed),
            multiplexed: number & 0x100 != 0,
            requests: u32::try_from(number >> 16).unwrap_or(u32::MAX),
        }
    }
}

impl Stage {
    /// May it make way for another? Not while it is answered.
    pub(super) fn is_evictable(self) -> bool {
        match self {
            Stage::New | Stage::Idle | Stage::Heading | Stage::Closing => true,
            Stage::Active | Stage::Stalled | Stage::Hijacked | Stage::Closed => false,
        }
    }

    /// As the outside sees it.
    pub(super) fn state(self) -> State {
        match self {
            Stage::New => State::New,
            Stage::Heading | Stage::Active | Stage::Stalled => State::Active,
            Stage::Idle => State::Idle,
            Stage::Hijacked => State::Hijacked,
            Stage::Closing | Stage::Closed => State::Closed,
        }
    }
}

#[cfg(test)]
mod tests;
