//! Signals in their roles: which ones ask for a stop, which one stops the program, which become another on the way.
//! Each role refuses what cannot play it.

use std::fmt;

use super::{Reason, Signal, Value};

/// Refuses what segue cannot receive, or could not tell from its own affairs.
fn receivable(signal: Signal) -> Result<Signal, Reason> {
    if !signal.catchable() {
        return Err(format!("{signal} cannot be caught").into());
    }
    if signal == Signal::CHLD {
        return Err(format!("{signal} is how segue learns that a process has ended").into());
    }
    if signal.is_crash() {
        return Err(format!("{signal} is how the kernel reports a crash").into());
    }
    Ok(signal)
}

/// The signals that ask for a graceful stop; at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StopOn(pub Vec<Signal>);

impl StopOn {
    /// Whether this signal asks for a stop.
    pub fn contains(&self, signal: Signal) -> bool {
        self.0.contains(&signal)
    }
}

impl Value for StopOn {
    const ACCEPTS: &'static str = Signal::LIST;

    fn parse(text: &str) -> Result<Self, Reason> {
        let items: Vec<StopOnItem> = Value::parse(text)?;
        let mut signals = Vec::new();
        for StopOnItem(signal) in items {
            if !signals.contains(&signal) {
                signals.push(signal);
            }
        }
        if signals.is_empty() {
            Err("no signal in it, give one such as TERM".into())
        } else {
            Ok(StopOn(signals))
        }
    }
}

struct StopOnItem(Signal);

impl Value for StopOnItem {
    const ACCEPTS: &'static str = Signal::ACCEPTS;

    fn parse(text: &str) -> Result<Self, Reason> {
        Signal::parse(text).and_then(receivable).map(StopOnItem)
    }
}

/// The signal that tells the program to stop; neither STOP, which would only halt it, nor CHLD, which it ignores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StopSignal(pub Signal);

impl StopSignal {
    /// Whether this signal can end a program.
    pub(in crate::settings) fn can_be(signal: Signal) -> Result<Signal, Reason> {
        if signal == Signal::STOP || signal == Signal::CHLD {
            return Err(format!("{signal} does not end a program, give one such as TERM, QUIT or INT").into());
        }
        Ok(signal)
    }
}

impl Value for StopSignal {
    const ACCEPTS: &'static str = Signal::ACCEPTS;

    fn parse(text: &str) -> Result<Self, Reason> {
        Signal::parse(text).and_then(StopSignal::can_be).map(StopSignal)
    }
}

/// Which signals reach the program as another one, or not at all (`None`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SignalMap(pub Vec<(Signal, Option<Signal>)>);

impl SignalMap {
    /// What the map says of this signal: nothing, that it is dropped (`Some(None)`), or what it becomes.
    pub fn image(&self, signal: Signal) -> Option<Option<Signal>> {
        self.0.iter().find(|(from, _)| *from == signal).map(|(_, to)| *to)
    }

    /// What the program gets for this signal; `None` is nothing.
    pub fn apply(&self, signal: Signal) -> Option<Signal> {
        self.image(signal).unwrap_or(Some(signal))
    }
}

impl Value for SignalMap {
    const ACCEPTS: &'static str = "list of `SIGNAL:SIGNAL` or `SIGNAL:`";

    fn parse(text: &str) -> Result<Self, Reason> {
        let pairs: Vec<Pair> = Value::parse(text)?;
        Ok(SignalMap(pairs.into_iter().map(|Pair(from, to)| (from, to)).collect()))
    }
}

impl fmt::Display for SignalMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (from, to)) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{from}:{}", to.map(|to| to.to_string()).unwrap_or_default())?;
        }
        Ok(())
    }
}

struct Pair(Signal, Option<Signal>);

impl Value for Pair {
    const ACCEPTS: &'static str = SignalMap::ACCEPTS;

    fn parse(text: &str) -> Result<Self, Reason> {
        let Some((from, to)) = text.split_once(':') else {
            return Err("no colon, give pairs such as TERM:QUIT, or HUP: to drop one".into());
        };
        let from = Signal::parse(from.trim()).and_then(receivable)?;
        let to = if to.trim().is_empty() {
            None
        } else {
            Some(Signal::parse(to.trim())?)
        };
        Ok(Pair(from, to))
    }

    fn together(pairs: &[Self]) -> Result<(), Reason> {
        for (index, Pair(from, _)) in pairs.iter().enumerate() {
            if pairs.iter().take(index).any(|Pair(earlier, _)| earlier == from) {
                return Err(format!("{from} is mapped twice").into());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_is_asked_for_by_what_can_be_caught() {
        let stop_on = StopOn::parse("TERM, quit,15").unwrap();
        assert_eq!(stop_on.to_owned().0.len(), 2);
        assert!(stop_on.contains(Signal::TERM));
        for text in [",", "KILL", "STOP", "CHLD", "SEGV", "32", "TERM,KILL"] {
            StopOn::parse(text).unwrap_err();
        }
    }

    #[test]
    fn a_program_is_stopped_by_what_ends_it() {
        assert_eq!(StopSignal::parse("KILL"), Ok(StopSignal(Signal::KILL)));
        for text in ["STOP", "CHLD", "TREM"] {
            StopSignal::parse(text).unwrap_err();
        }
    }

    #[test]
    fn signals_become_others_or_nothing() {
        let map = SignalMap::parse("TERM:QUIT, HUP:").unwrap();
        assert_eq!(map.apply(Signal::TERM), Signal::new(3));
        assert_eq!(map.apply(Signal::HUP), None);
        assert_eq!(map.apply(Signal::KILL), Some(Signal::KILL));
        assert_eq!(SignalMap::parse(&map.to_string()), Ok(map));
    }

    #[test]
    fn maps_that_make_no_sense() {
        for text in [
            "TERM",
            ":TERM",
            "TERM:QIUT",
            "KILL:TERM",
            "CHLD:TERM",
            "SEGV:TERM",
            "TERM:QUIT,15:INT",
        ] {
            SignalMap::parse(text).unwrap_err();
        }
    }
}
