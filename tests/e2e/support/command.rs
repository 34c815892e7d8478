//! Commands that are told to a running segue, as a person tells them.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

/// A place for a control socket, and commands that go there.
pub struct Desk {
    directory: tempfile::TempDir,
}

/// What a command has said.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Desk {
    pub fn new() -> Desk {
        Desk {
            directory: super::directory(),
        }
    }

    /// What SEGUE_CONTROL is to say.
    pub fn path(&self) -> PathBuf {
        self.directory.path().join("segue.sock")
    }

    /// `segue WORDS`, to its end.
    pub fn tell(&self, words: &[&str]) -> Said {
        said(&mut self.command(words))
    }

    /// `segue WORDS`, not started yet.
    pub fn command(&self, words: &[&str]) -> Command {
        command(&self.path(), words)
    }

    /// `segue status --json`.
    pub fn status(&self) -> serde_json::Value {
        let said = self.tell(&["status", "--json"]);
        serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {said:?}"))
    }
}

pub fn command(control: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_segue"));
    command.args(words).env_clear().env("SEGUE_CONTROL", control);
    command.stdin(Stdio::null());
    command
}

/// Runs a command to its end.
pub fn said(command: &mut Command) -> Said {
    let Output { status, stdout, stderr } = command.output().unwrap();
    Said {
        code: status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&stdout).into_owned(),
        err: String::from_utf8_lossy(&stderr).into_owned(),
    }
}
