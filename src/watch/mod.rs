//! NOTICES that watched files have another content than before. It hears of changes from the kernel, or looks again and again
//! where the kernel does not hear; it says what has changed, once per burst, and does nothing about it.

mod changes;
mod debounce;
mod ear;
mod guards;
mod inotify;
mod loops;
mod mark;
mod pace;
pub mod rules;
pub mod target;
#[cfg(test)]
mod tests;
mod walk;
mod watcher;
pub mod wire;

use std::{convert::Infallible, path::PathBuf, time::Duration};

use self::watcher::Watcher;
pub use self::{
    changes::Changes,
    loops::{Loops, Verdict},
};

/// What is watched, and how.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Each path as the user wrote it, and where that is: an absolute path.
    pub paths: Vec<(PathBuf, PathBuf)>,
    /// Patterns of what does not count, as in a `.gitignore`.
    pub ignore: Vec<String>,
    /// Files that are segue's own, absolute; they never count.
    pub own: Vec<PathBuf>,
    /// Quiet time after a change before it is looked at.
    pub debounce: Duration,
    /// Longest wait for quiet.
    pub max_delay: Duration,
    /// How changes are noticed.
    pub backend: Backend,
    /// Time between two looks where it polls.
    pub poll_interval: Duration,
    /// Time between two full comparisons where inotify tells; zero is never.
    pub check_interval: Duration,
    /// Longest random wait before a change is told.
    pub jitter: Duration,
}

/// How changes are noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// By inotify where it hears.
    Auto,
    /// By inotify.
    Inotify,
    /// By looking.
    Poll,
}

/// What there is to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// Files have changed.
    Changed(Changes),
    /// It is at this.
    State(Watching),
    /// Does a file system not answer any more?
    Silent(bool),
    /// Nobody watches any more.
    Ended,
}

/// What is watched, for people.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Watching {
    /// `inotify`, `poll`, or both.
    pub backend: String,
    /// Why it polls, where nobody asked for that.
    pub why: Option<String>,
    /// Files whose content counts.
    pub files: usize,
    /// Directories that are heard of.
    pub directories: usize,
    /// Watched paths that are not there.
    pub missing: Vec<PathBuf>,
}

/// Watches for ever. Needs a tokio runtime with time and I/O.
pub async fn run(plan: Plan, mut tell: Box<dyn FnMut(Notice) + Send>) -> Infallible {
    let mut watcher = Watcher::begin(plan).await;
    loop {
        tell(Notice::State(watcher.watching()));
        let changes = watcher.next().await;
        if !changes.is_empty() {
            tell(Notice::Changed(changes));
        }
    }
}
