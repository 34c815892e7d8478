//! A command line, split into words as a shell would split it. It is run without a shell, so nothing is expanded.

use super::{Reason, Value};

/// A program and its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// The program first; never empty.
    pub words: Vec<String>,
}

impl Value for Command {
    const ACCEPTS: &'static str = "command";

    fn parse(text: &str) -> Result<Self, Reason> {
        if text.contains('\0') {
            return Err("a command cannot contain a zero byte".into());
        }
        let words =
            shell_words::split(text).map_err(|_| Reason::from("a quote is open, close it or escape it as \\'"))?;
        match words.first() {
            Some(program) if !program.is_empty() => Ok(Command { words }),
            _ => Err("no command in it, give one such as /bin/prepare --now".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_and_nothing_is_expanded() {
        let command = Command::parse(r#"sh -c 'echo "$HOME"' a\ b $x"#).unwrap();
        assert_eq!(command.words, ["sh", "-c", r#"echo "$HOME""#, "a b", "$x"]);
    }

    #[test]
    fn no_commands() {
        for text in ["", "''", "sh -c 'x", "a\0b"] {
            Command::parse(text).unwrap_err();
        }
    }
}
