//! Says what is wrong with a setting: one line each, with the variable's full name and what would be right. Never prints.

use std::fmt;

/// Longer values are cut in messages: a fault is one line that a person reads.
const SHOWN: usize = 200;

/// What is wrong with one setting.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name}={}: {reason}", quoted(value, SHOWN))]
pub struct Fault {
    /// The variable's full name, such as `SEGUE_STOP_TIMEOUT`.
    pub name: &'static str,
    /// The value as it was given; one that is not UTF-8 has replacement characters.
    pub value: String,
    /// What is wrong and what would be right.
    pub reason: Reason,
}

impl Fault {
    pub(crate) fn new(name: &'static str, value: impl Into<String>, reason: impl Into<Reason>) -> Self {
        Fault {
            name,
            value: value.into(),
            reason: reason.into(),
        }
    }
}

/// Why a value is not acceptable and what would be, in lower case and without a full stop.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Reason(String);

impl From<String> for Reason {
    fn from(text: String) -> Self {
        Reason(text)
    }
}

impl From<&str> for Reason {
    fn from(text: &str) -> Self {
        Reason(text.to_owned())
    }
}

/// Everything that is wrong with the settings of one environment.
///
/// Displays as one line per fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults {
    /// At least one, in the order of the table.
    pub faults: Vec<Fault>,
    /// What does not keep segue from starting; it may explain a fault.
    pub warnings: Vec<Warning>,
}

impl std::error::Error for Faults {}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.faults.iter().enumerate() {
            let line_break = if index == 0 { "" } else { "\n" };
            write!(f, "{line_break}{fault}")?;
        }
        Ok(())
    }
}

/// A variable that looks as if it were meant for segue, and is not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Warning {
    /// No setting has this name.
    #[error("{name}: no such setting{}", nearest.map(|name| format!(", did you mean {name}?")).unwrap_or_default())]
    Unknown {
        /// The variable's name.
        name: String,
        /// The setting that was probably meant.
        nearest: Option<&'static str>,
    },
    /// The name begins with `SEGUE_` and is not UTF-8.
    #[error("{name}: no such setting, the name is not UTF-8")]
    NotUtf8 {
        /// The name with replacement characters.
        name: String,
    },
}

/// `text` in quotes on one line, at most `limit` characters of it.
pub(super) fn quoted(text: &str, limit: usize) -> String {
    match text.char_indices().nth(limit) {
        Some((end, _)) => format!("{:?}", format!("{}…", text.get(..end).unwrap_or_default())),
        None => format!("{text:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_one_line_however_wild_the_value() {
        let fault = Fault::new("SEGUE_LOG", "a\nb\"c", "no level");
        assert_eq!(fault.to_string(), r#"SEGUE_LOG="a\nb\"c": no level"#);
    }

    #[test]
    fn a_long_value_is_cut() {
        let fault = Fault::new("SEGUE_LOG", "é".repeat(5000), "no level");
        assert_eq!(
            fault.to_string(),
            format!("SEGUE_LOG=\"{}…\": no level", "é".repeat(200))
        );
    }

    #[test]
    fn faults_are_one_line_each() {
        let faults = vec![Fault::new("A", "1", "x"), Fault::new("B", "2", "y")];
        assert_eq!(
            Faults {
                faults,
                warnings: Vec::new()
            }
            .to_string(),
            "A=\"1\": x\nB=\"2\": y"
        );
    }
}
