//! Secrets in files, and hooks, which may be run with segue's own privileges.

use std::path::PathBuf;

use super::{Command, Reason, Value, item};

/// A variable whose value is in a file: an item of `SEGUE_SECRETS`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secret {
    /// The variable.
    pub name: String,
    /// The file; `None`: the one that the variable NAME_FILE names.
    pub path: Option<PathBuf>,
}

impl Value for Secret {
    const ACCEPTS: &'static str = "`NAME` (path in `NAME_FILE`) or `NAME=PATH`";
    const LIST: &'static str = "list of `NAME` (path in `NAME_FILE`) or `NAME=PATH`";

    fn parse(text: &str) -> Result<Self, Reason> {
        let (name, path) = match text.split_once('=') {
            Some((name, path)) => (name.trim_end(), Some(path.trim_start())),
            None => (text, None),
        };
        let is_name = |name: &str| {
            let letters = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
            letters && !name.is_empty() && !name.starts_with(|first: char| first.is_ascii_digit())
        };
        if !is_name(name) {
            return Err(format!("{} is no name of a variable, give one such as DB_PASSWORD", item(name)).into());
        }
        if name.starts_with("SEGUE_") {
            return Err(format!("{} is a setting, and no secret of the program", item(name)).into());
        }
        if path.is_some_and(str::is_empty) {
            return Err(format!("no path after {}=", item(name)).into());
        }
        let (name, path) = (name.to_owned(), path.map(PathBuf::from));
        Ok(Secret { name, path })
    }

    fn together(items: &[Self]) -> Result<(), Reason> {
        let twice = items
            .iter()
            .enumerate()
            .find(|(index, it)| items.iter().take(*index).any(|other| other.name == it.name));
        twice.map_or(Ok(()), |(_, it)| Err(format!("{} is in it twice", it.name).into()))
    }
}

/// A command around a generation: `SEGUE_PRE_START`, `SEGUE_POST_STOP`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// What is run.
    pub command: Command,
    /// As segue itself, and not as `SEGUE_USER` (a `+` before it, as in systemd's units).
    pub is_privileged: bool,
}

impl Value for Hook {
    const ACCEPTS: &'static str = "command, `+` before it runs it as segue's own user";

    fn parse(text: &str) -> Result<Self, Reason> {
        let (text, is_privileged) = text.strip_prefix('+').map_or((text, false), |rest| (rest, true));
        let command = Command::parse(text.trim_start())?;
        Ok(Hook { command, is_privileged })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets() {
        let secret = |name: &str, path: Option<&str>| Secret {
            name: name.into(),
            path: path.map(PathBuf::from),
        };
        assert_eq!(Secret::parse("DB_PASSWORD").unwrap(), secret("DB_PASSWORD", None));
        assert_eq!(
            Secret::parse("A=/run/secrets/a=b").unwrap(),
            secret("A", Some("/run/secrets/a=b"))
        );
        for text in ["", "=x", "A=", "1A", "A B", "A-B", "SEGUE_USER=/x"] {
            Secret::parse(text).unwrap_err();
        }
        assert!(Vec::<Secret>::parse("A, B=/b").is_ok());
        assert_eq!(
            Vec::<Secret>::parse("A,B,A=/x").unwrap_err().to_string(),
            "A is in it twice"
        );
    }

    #[test]
    fn hooks() {
        let hook = Hook::parse("+ chown app /data").unwrap();
        assert_eq!((hook.command.words.len(), hook.is_privileged), (3, true));
        assert!(!Hook::parse("true").unwrap().is_privileged);
        Hook::parse("+").unwrap_err();
    }
}
