//! A signal by name or number, as `kill -l` knows them. It never asks the C library, whose real-time signals begin elsewhere
//! (musl keeps 34 for itself).

use std::fmt;

use super::{Reason, Value};
use crate::settings::nearest::nearest;

const RTMIN: i32 = 34;
const RTMAX: i32 = 64;

/// The first name of a number is the one that is shown.
const NAMES: [(&str, i32); 34] = [
    ("HUP", libc::SIGHUP),
    ("INT", libc::SIGINT),
    ("QUIT", libc::SIGQUIT),
    ("ILL", libc::SIGILL),
    ("TRAP", libc::SIGTRAP),
    ("ABRT", libc::SIGABRT),
    ("BUS", libc::SIGBUS),
    ("FPE", libc::SIGFPE),
    ("KILL", libc::SIGKILL),
    ("USR1", libc::SIGUSR1),
    ("SEGV", libc::SIGSEGV),
    ("USR2", libc::SIGUSR2),
    ("PIPE", libc::SIGPIPE),
    ("ALRM", libc::SIGALRM),
    ("TERM", libc::SIGTERM),
    ("STKFLT", libc::SIGSTKFLT),
    ("CHLD", libc::SIGCHLD),
    ("CONT", libc::SIGCONT),
    ("STOP", libc::SIGSTOP),
    ("TSTP", libc::SIGTSTP),
    ("TTIN", libc::SIGTTIN),
    ("TTOU", libc::SIGTTOU),
    ("URG", libc::SIGURG),
    ("XCPU", libc::SIGXCPU),
    ("XFSZ", libc::SIGXFSZ),
    ("VTALRM", libc::SIGVTALRM),
    ("PROF", libc::SIGPROF),
    ("WINCH", libc::SIGWINCH),
    ("IO", libc::SIGIO),
    ("PWR", libc::SIGPWR),
    ("SYS", libc::SIGSYS),
    ("IOT", libc::SIGABRT),
    ("CLD", libc::SIGCHLD),
    ("POLL", libc::SIGIO),
];

/// A signal number from 1 to 64. Real-time ones count from `SIGRTMIN` = 34, as in `kill -l`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signal(i32);

impl Signal {
    /// Asks to restart.
    pub const HUP: Signal = Signal(libc::SIGHUP);
    /// Asks to stop.
    pub const TERM: Signal = Signal(libc::SIGTERM);
    /// Ends a process without asking.
    pub const KILL: Signal = Signal(libc::SIGKILL);
    /// Halts a process without asking.
    pub const STOP: Signal = Signal(libc::SIGSTOP);
    /// Tells a parent that a child has ended.
    pub const CHLD: Signal = Signal(libc::SIGCHLD);

    /// The signal with this number, if there is one: 1 to 64.
    pub fn new(number: i32) -> Option<Signal> {
        (1..=RTMAX).contains(&number).then_some(Signal(number))
    }

    /// Its number.
    pub fn number(self) -> i32 {
        self.0
    }

    /// Whether a process can have a handler for it: not for KILL and STOP, nor for 32 and 33, which the C library keeps.
    pub fn catchable(self) -> bool {
        self != Signal::KILL && self != Signal::STOP && !(32..RTMIN).contains(&self.0)
    }

    /// Whether the kernel raises it at an instruction that cannot go on, so that a handler has nothing to return to.
    pub fn is_crash(self) -> bool {
        matches!(self.0, libc::SIGILL | libc::SIGBUS | libc::SIGFPE | libc::SIGSEGV)
    }

    fn named(name: &str) -> Option<Signal> {
        if let Some((_, number)) = NAMES.iter().find(|(known, _)| *known == name) {
            return Some(Signal(*number));
        }
        let offset = |text: &str, sign: char| match text.strip_prefix(sign) {
            Some(digits) => digits
                .bytes()
                .all(|byte| byte.is_ascii_digit())
                .then(|| digits.parse().ok())
                .flatten(),
            None => text.is_empty().then_some(0),
        };
        let number = if let Some(rest) = name.strip_prefix("RTMIN") {
            offset(rest, '+').map(|offset: u8| RTMIN + i32::from(offset))
        } else if let Some(rest) = name.strip_prefix("RTMAX") {
            offset(rest, '-').map(|offset: u8| RTMAX - i32::from(offset))
        } else {
            None
        };
        number.filter(|number| (RTMIN..=RTMAX).contains(number)).map(Signal)
    }
}

impl Value for Signal {
    const ACCEPTS: &'static str = "signal";
    const LIST: &'static str = "list of signals";

    fn parse(text: &str) -> Result<Self, Reason> {
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            let number = text.parse().ok();
            return number
                .and_then(Signal::new)
                .ok_or_else(|| "signal numbers go from 1 to 64".into());
        }
        let upper = text.to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        Signal::named(name).ok_or_else(|| match nearest(name, NAMES.iter().map(|(name, _)| *name)) {
            Some(name) => format!("no such signal, did you mean {name}?").into(),
            None => "no such signal, give a name or number such as TERM, SIGTERM, 15 or RTMIN+3".into(),
        })
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.iter().find(|(_, number)| *number == self.0) {
            Some((name, _)) => write!(f, "SIG{name}"),
            None if self.0 == RTMIN => f.write_str("SIGRTMIN"),
            None if self.0 > RTMIN => write!(f, "SIGRTMIN+{}", self.0 - RTMIN),
            None => write!(f, "{}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers() {
        for (text, number) in [
            ("TERM", 15),
            ("sigterm", 15),
            ("SigTerm", 15),
            ("15", 15),
            ("CLD", 17),
            ("RTMIN", 34),
            ("SIGRTMIN+3", 37),
            ("rtmax-1", 63),
            ("RTMAX", 64),
            ("64", 64),
        ] {
            assert_eq!(Signal::parse(text).map(Signal::number), Ok(number), "{text}");
        }
    }

    #[test]
    fn no_signals() {
        for text in [
            "",
            "0",
            "65",
            "-9",
            "+9",
            "SIG",
            "RTMIN+31",
            "RTMAX-31",
            "RTMIN+",
            "RTMIN-1",
            "99999999999",
            "TÉRM",
        ] {
            Signal::parse(text).unwrap_err();
        }
        let reason = Signal::parse("SIGTREM").unwrap_err().to_string();
        assert_eq!(reason, "no such signal, did you mean TERM?");
    }

    #[test]
    fn every_signal_reads_back_as_it_is_shown() {
        for signal in (1..=64).filter_map(Signal::new) {
            assert_eq!(Signal::parse(&signal.to_string()), Ok(signal));
        }
        assert_eq!(Signal(37).to_string(), "SIGRTMIN+3");
    }

    #[test]
    fn four_cannot_be_caught() {
        let wild: Vec<i32> = (1..=64)
            .filter_map(Signal::new)
            .filter(|s| !s.catchable())
            .map(Signal::number)
            .collect();
        assert_eq!(wild, [9, 19, 32, 33]);
    }
}
