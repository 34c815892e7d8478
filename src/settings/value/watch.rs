//! Which files are watched and what a change does. Paths are compared as text here; nothing is opened.

use std::path::{Component, Path, PathBuf};

use super::choice::none_of;
use super::{Command, Reason, Signal, Value};

const WORDS: [&str; 3] = ["restart", "signal:NAME", "exec:COMMAND"];

/// What a changed file does: `SEGUE_WATCH_ACTION`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchAction {
    /// Replaces the serving generation.
    Restart,
    /// Sends the serving generation a signal.
    Signal(Signal),
    /// Runs a command.
    Exec(Command),
}

impl Value for WatchAction {
    const ACCEPTS: &'static str = "`restart`, `signal:NAME`, `exec:COMMAND`";

    fn parse(text: &str) -> Result<Self, Reason> {
        match text.split_once(':') {
            None if text == "restart" => Ok(WatchAction::Restart),
            Some(("signal", name)) => Signal::parse(name.trim()).map(WatchAction::Signal),
            Some(("exec", command)) => Command::parse(command).map(WatchAction::Exec),
            _ => Err(none_of(text, &WORDS)),
        }
    }
}

/// One path of `SEGUE_WATCH`; never the whole system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchPath(pub PathBuf);

impl Value for WatchPath {
    const ACCEPTS: &'static str = PathBuf::ACCEPTS;
    const LIST: &'static str = PathBuf::LIST;

    fn parse(text: &str) -> Result<Self, Reason> {
        let path = PathBuf::parse(text)?;
        let plain: PathBuf = path
            .components()
            .filter(|component| *component != Component::CurDir)
            .collect();
        let refused = plain == Path::new("/") || plain.starts_with("/proc") || plain.starts_with("/sys");
        if refused {
            return Err("/, /proc and /sys are never quiet, give the directory of your files".into());
        }
        Ok(WatchPath(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions() {
        assert_eq!(WatchAction::parse("restart"), Ok(WatchAction::Restart));
        assert_eq!(WatchAction::parse("signal:HUP"), Ok(WatchAction::Signal(Signal::HUP)));
        let Ok(WatchAction::Exec(command)) = WatchAction::parse("exec:make -j2") else {
            panic!("no command")
        };
        assert_eq!(command.words, ["make", "-j2"]);
        for text in ["", "restart:", "reload", "signal:", "signal:HPU", "exec:", "exec:'"] {
            WatchAction::parse(text).unwrap_err();
        }
    }

    #[test]
    fn the_whole_system_is_not_watched() {
        for text in ["/", "//", "/.", "/proc", "/sys/class", "/proc/"] {
            WatchPath::parse(text).unwrap_err();
        }
        for text in ["/etc", "src", ".", "/system"] {
            WatchPath::parse(text).unwrap();
        }
    }
}
