//! FINDS the running segue that a command is for: by `SEGUE_CONTROL`, else the one of this PID namespace, and where there are
//! several by `SEGUE_PID_FILE`. Says what to do where there is none to be found.

use std::{
    ffi::OsString,
    io::{self, ErrorKind},
    path::Path,
};

use crate::{
    control::{
        client::{Client, Silence},
        place::DIRECTORIES,
        protocol::{Answer, Command},
        search::{self, Found},
        status::Status,
    },
    process::pid_file::PidFile,
    settings::{self, Settings, value::Control},
};

/// Why no segue can be asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum Missing {
    /// None is running.
    #[error("{0}")]
    NotRunning(String),
    /// There may be one, but it cannot be asked.
    #[error("{0}")]
    Closed(String),
}

impl Missing {
    /// Is it certain that none is running?
    pub(super) fn is_not_running(&self) -> bool {
        matches!(self, Missing::NotRunning(_))
    }
}

/// The settings that commands go by; a fault in one of them is the running segue's to tell, not theirs.
pub(super) fn own_settings(vars: &[(OsString, OsString)]) -> Settings {
    let only = |names: &[&str]| {
        let vars = vars
            .iter()
            .filter(|(name, _)| names.iter().any(|it| name == it))
            .cloned();
        settings::read(vars).ok()
    };
    let all = settings::read(vars.iter().cloned()).ok();
    let some = all.or_else(|| only(&["SEGUE_CONTROL", "SEGUE_PID_FILE"]));
    // Without any variable there is nothing to be wrong.
    #[expect(clippy::unwrap_used, reason = "a test reads the defaults")]
    some.unwrap_or_else(|| settings::read([]).unwrap()).settings
}

/// Connects to it.
pub(super) fn find(settings: &Settings) -> Result<Client, Missing> {
    let found = match &settings.control {
        Control::Off => {
            return Err(Missing::Closed(
                "SEGUE_CONTROL=off: the running segue has no control socket that could be asked".into(),
            ));
        }
        Control::Path(path) => search::ask_at(path).map_err(|error| at_path(path, &error))?,
        Control::Auto => automatic(settings)?,
    };
    Client::new(found.stream).map_err(|error| Missing::Closed(error.to_string()))
}

fn at_path(path: &Path, error: &io::Error) -> Missing {
    if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) {
        return Missing::NotRunning(format!("no segue is running with SEGUE_CONTROL={}", path.display()));
    }
    Missing::Closed(format!("cannot ask the segue at {}: {error}", path.display()))
}

fn automatic(settings: &Settings) -> Result<Found, Missing> {
    let (found, closed) = search::search(&DIRECTORIES, &search::namespace());
    let mut found = search::meant(found);
    if found.len() > 1
        && let Some(path) = &settings.pid_file
        && let Ok(Some(Some(pid))) = PidFile::living(path)
    {
        found.retain(|it| it.pid == pid);
    }
    if found.len() > 1 {
        return Err(Missing::Closed(choices(found)));
    }
    match (found.pop(), closed.first()) {
        (Some(found), _) => Ok(found),
        (None, Some((path, error))) => Err(Missing::Closed(format!(
            "cannot ask the segue at {}: {error}",
            path.display()
        ))),
        (None, None) => Err(Missing::NotRunning(format!(
            "no segue is running here (looked in {} for the socket of one; elsewhere: SEGUE_CONTROL=/path/to.sock)",
            DIRECTORIES.join(", ")
        ))),
    }
}

fn choices(found: Vec<Found>) -> String {
    let mut text = "several are running here; say which one by SEGUE_CONTROL:".to_owned();
    for Found { path, pid, stream } in found {
        let program = Client::new(stream).ok().and_then(|mut it| status(&mut it, false).ok());
        let program = program.map(|status| status.program.join(" ")).unwrap_or_default();
        text.push_str(&format!("\n  SEGUE_CONTROL={}   pid {pid}   {program}", path.display()));
    }
    text
}

/// How it is.
pub(super) fn status(client: &mut Client, connections: bool) -> Result<Status, Silence> {
    match client.ask(&Command::Status { connections })? {
        Answer::Status(status) => Ok(*status),
        Answer::Error(why) => Err(Silence::NotUnderstood(why)),
        Answer::Restart(_) | Answer::Stopped { .. } | Answer::Done {} => {
            Err(Silence::NotUnderstood("the answer is to another question".into()))
        }
    }
}
