//! SPELLS the control protocol: one JSON object a line for a request, and one for its answer, on a unix stream socket. Pure.
//!
//! ```text
//! → {"version":1,"command":"restart","wait":true}
//! ← {"version":1,"restart":{"generation":2,"reason":"command","outcome":"replaced",…}}
//! → {"version":1,"command":"sing"}
//! ← {"version":1,"error":"unknown command \"sing\"; …"}
//! ```
//!
//! Unknown fields are ignored, so that a newer client may say more; another version is refused.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::status::{Restart, Status};

/// The version that is spoken here.
pub const VERSION: u64 = 1;
/// The longest request.
pub const LONGEST_REQUEST: usize = 4096;
/// The longest answer: a status with thousands of listeners still fits.
pub const LONGEST_ANSWER: usize = 1 << 20;

/// What can be asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case")]
pub enum Command {
    /// How things are.
    Status {
        /// With the numbers of connections?
        #[serde(default)]
        connections: bool,
    },
    /// A new generation.
    Restart {
        /// Answer when it has come out, or at once?
        #[serde(default)]
        wait: bool,
    },
    /// The end, gracefully.
    Stop {
        /// Answer in the last moment, or at once?
        #[serde(default)]
        wait: bool,
    },
    /// Do not be ready any more.
    Drain,
    /// A signal to the serving generation.
    Signal {
        /// Its number.
        signal: i32,
    },
}

/// The names of the commands, for whoever gets one wrong.
const COMMANDS: &str = "status, restart, stop, drain, signal";

/// What comes back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// How things are.
    Status(Box<Status>),
    /// How the restart came out.
    Restart(Restart),
    /// Everything has ended, and so does segue.
    Stopped {
        /// With this exit code.
        code: u8,
    },
    /// It is done, or under way where nobody waits.
    Done {},
    /// It cannot be done, and why.
    Error(String),
}

/// A request, out of a line of it; the error is for whoever sent it.
///
/// # Errors
///
/// What is wrong with the line, and what would be right.
pub fn request(line: &[u8]) -> Result<Command, String> {
    let example = r#"a request is one JSON object on a line, such as {"version":1,"command":"status"}"#;
    let value: Value = serde_json::from_slice(line).map_err(|error| format!("not JSON ({error}); {example}"))?;
    if !value.is_object() {
        return Err(format!("not an object; {example}"));
    }
    match value.get("version").and_then(Value::as_u64) {
        Some(VERSION) => {}
        _ => {
            let given = value
                .get("version")
                .map_or_else(|| "no version".to_owned(), |it| format!("version {it}"));
            return Err(format!(
                "{given} is not spoken here, this is segue {} with version {VERSION}",
                env!("CARGO_PKG_VERSION")
            ));
        }
    }
    let command = value.get("command").cloned().unwrap_or_default();
    let known = command
        .as_str()
        .filter(|name| COMMANDS.split(", ").any(|known| known == *name));
    serde_json::from_value(value).map_err(|error| match known {
        Some(name) => format!("{name}: {error}"),
        None => format!("unknown command {command}; the commands are {COMMANDS}"),
    })
}

/// A request as a line, its end included.
#[must_use]
pub fn request_line(command: &Command) -> String {
    line(command)
}

/// An answer as a line, its end included.
#[must_use]
pub fn answer_line(answer: &Answer) -> String {
    line(answer)
}

/// An answer, out of a line of it.
///
/// # Errors
///
/// What is wrong with it: a segue of another version, or no segue at all.
pub fn answer(line: &[u8]) -> Result<Answer, String> {
    let mut value: Value = serde_json::from_slice(line).map_err(|error| format!("the answer is not JSON: {error}"))?;
    let version = value.as_object_mut().and_then(|it| it.remove("version"));
    if version.as_ref().and_then(Value::as_u64) != Some(VERSION) {
        return Err("the answer is of another version: the running segue is not the one whose command this is".into());
    }
    serde_json::from_value(value).map_err(|error| format!("the answer is not understood: {error}"))
}

fn line(content: &impl Serialize) -> String {
    let mut value = serde_json::to_value(content).unwrap_or_default();
    if let Some(object) = value.as_object_mut() {
        object.insert("version".into(), VERSION.into());
    }
    format!("{value}\n")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_said_is_what_is_heard() {
        for command in [
            Command::Status { connections: true },
            Command::Restart { wait: false },
            Command::Stop { wait: true },
            Command::Drain,
            Command::Signal { signal: 34 },
        ] {
            let line = request_line(&command);
            assert!(line.ends_with('\n') && line.lines().count() == 1, "{line}");
            assert_eq!(request(line.as_bytes()), Ok(command));
        }
        for said in [
            Answer::Done {},
            Answer::Stopped { code: 143 },
            Answer::Error("a\nb".into()),
        ] {
            let line = answer_line(&said);
            assert!(line.ends_with('\n') && line.lines().count() == 1, "{line}");
            assert_eq!(answer(line.as_bytes()), Ok(said));
        }
    }

    #[test]
    fn a_wrong_request_is_told_what_would_be_right() {
        for (line, why) in [
            ("", "such as {\"version\":1"),
            ("{\"version\":1", "not JSON"),
            ("[]", "not an object"),
            ("{\"command\":\"stop\"}", "no version is not spoken here"),
            ("{\"version\":2,\"command\":\"stop\"}", "version 2 is not spoken here"),
            ("{\"version\":\"1\",\"command\":\"stop\"}", "version \"1\""),
            ("{\"version\":1}", "unknown command null"),
            ("{\"version\":1,\"command\":\"sing\"}", "the commands are status"),
            ("{\"version\":1,\"command\":\"signal\"}", "signal: missing field"),
            (
                "{\"version\":1,\"command\":\"signal\",\"signal\":\"x\"}",
                "signal: invalid type",
            ),
        ] {
            let told = request(line.as_bytes()).unwrap_err();
            assert!(told.contains(why), "{line}: {told}");
        }
        let more = br#"{"version":1,"command":"stop","colour":"red"}"#;
        assert_eq!(request(more), Ok(Command::Stop { wait: false }));
    }

    proptest! {
        #[test]
        fn no_line_is_too_odd(line in proptest::collection::vec(any::<u8>(), 0..200), text in "\\PC{0,80}") {
            prop_assert!(request(&line).is_err() && request(text.as_bytes()).is_err());
            prop_assert!(answer(&line).is_err() && answer(text.as_bytes()).is_err());
        }
    }
}
