//! The types of values that settings have: what each accepts, and what it says of anything else. One family per file.
//! Nothing here looks at the system: an address is read, never resolved, a path never opened.

mod account;
mod address;
mod attribute;
mod choice;
mod command;
mod duration;
mod http;
mod listen;
mod log;
mod place;
mod plain;
mod ready;
mod secret;
mod signal;
mod signals;
mod success;
mod watch;

pub use account::{Account, Groups, User};
pub use address::{Address, Admin};
pub use attribute::{Limit, Nice, Score, Umask};
pub use choice::{DrainMode, Handover, LogFormat, OnHup, RestartMode, RestartPolicy, WatchBackend};
pub use command::Command;
pub use http::HttpProbe;
pub use listen::Listen;
pub use log::LogFilter;
pub use place::{Control, TerminationLog};
pub use plain::Choice;
pub use ready::{Ready, ReadyTimeout};
pub use secret::{Hook, Secret};
pub use signal::Signal;
pub use signals::{SignalMap, StopOn, StopSignal};
pub use success::SuccessCodes;
pub use watch::{WatchAction, WatchPath};

pub(super) use duration::show as show_duration;

use super::fault::{Reason, quoted};

/// Something that the text of a setting can be read as.
pub trait Value: Sized {
    /// What is accepted, in a few words of Markdown.
    const ACCEPTS: &'static str;
    /// The same for a comma-separated list of it.
    const LIST: &'static str = Self::ACCEPTS;

    /// Reads a trimmed text.
    ///
    /// # Errors
    ///
    /// Says what is wrong with it and what would be right.
    fn parse(text: &str) -> Result<Self, Reason>;

    /// Reads the default of the table, for types that remember that nobody chose it.
    ///
    /// # Errors
    ///
    /// As `parse`; a test reads every default.
    fn from_default(text: &str) -> Result<Self, Reason> {
        Self::parse(text)
    }

    /// Looks at the items of a list together.
    ///
    /// # Errors
    ///
    /// Says which items contradict each other.
    fn together(_items: &[Self]) -> Result<(), Reason> {
        Ok(())
    }
}

/// An item of a value as messages show it.
fn item(text: &str) -> String {
    quoted(text, 60)
}
