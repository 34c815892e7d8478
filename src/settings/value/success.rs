//! Which ways of ending count as success although the program's code says otherwise.

use super::{Reason, Value};

/// What is reported as 0: `SEGUE_SUCCESS_CODES`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SuccessCodes {
    /// Exit codes.
    pub codes: Vec<u8>,
    /// Death of the very stop signal that was sent because a stop was asked for.
    pub stop: bool,
}

impl Value for SuccessCodes {
    const ACCEPTS: &'static str = "list of exit codes (0 to 255) and `stop`";

    fn parse(text: &str) -> Result<Self, Reason> {
        let items: Vec<Code> = Value::parse(text)?;
        let stop = items.iter().any(|Code(code)| code.is_none());
        Ok(SuccessCodes {
            codes: items.into_iter().filter_map(|Code(code)| code).collect(),
            stop,
        })
    }
}

/// An exit code, or the word `stop`.
struct Code(Option<u8>);

impl Value for Code {
    const ACCEPTS: &'static str = SuccessCodes::ACCEPTS;

    fn parse(text: &str) -> Result<Self, Reason> {
        if text == "stop" {
            return Ok(Code(None));
        }
        match text.parse() {
            Ok(code) if !text.starts_with('+') => Ok(Code(Some(code))),
            _ => Err("not an exit code, give numbers from 0 to 255, such as 143, or stop".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_the_word_stop() {
        assert_eq!(
            SuccessCodes::parse("143, stop,0"),
            Ok(SuccessCodes {
                codes: vec![143, 0],
                stop: true
            })
        );
        assert_eq!(SuccessCodes::parse(""), Ok(SuccessCodes::default()));
        for text in ["256", "-1", "+1", "Stop", "TERM", "143;130"] {
            SuccessCodes::parse(text).unwrap_err();
        }
    }
}
