//! TAKES the sockets that segue itself was given (sd_listen_fds(3)): a host's systemd, `podman`, and runc, which sets
//! `LISTEN_PID=1`, pass them from file 3 on. They go to every generation, shared, because their makers bound them.

use std::{
    ffi::{OsStr, OsString},
    os::fd::OwnedFd,
};

use crate::process::files;

/// The variables that tell of passed sockets. They are for one process only and go no further as they are.
pub const VARIABLES: [&str; 4] = ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID"];

/// A socket that segue was given.
#[derive(Debug)]
pub struct Given {
    /// The socket.
    pub socket: OwnedFd,
    /// Its name; `unknown` where there is none, as systemd has it.
    pub name: String,
}

/// Were sockets passed to this process?
#[must_use]
pub fn are_ours(environment: &[(OsString, OsString)]) -> bool {
    let own = std::process::id().to_string();
    value(environment, "LISTEN_PID").is_some_and(|pid| pid == own.as_str()) && count(environment) > 0
}

/// Adopts them, if they are for this process. To be called once, before any other file is opened at their numbers.
#[must_use]
pub fn take(environment: &[(OsString, OsString)]) -> Vec<Given> {
    if !are_ours(environment) {
        return Vec::new();
    }
    let names = value(environment, "LISTEN_FDNAMES")
        .and_then(OsStr::to_str)
        .unwrap_or("");
    let mut names = names.split(':').filter(|name| !name.is_empty());
    let numbers = (3..).take(count(environment));
    let named = numbers.map(|number| (number, names.next().unwrap_or("unknown").to_owned()));
    named
        .filter_map(|(number, name)| files::adopt(number).map(|socket| Given { socket, name }))
        .collect()
}

fn count(environment: &[(OsString, OsString)]) -> usize {
    // More than any system passes, so that nonsense does not make a long loop.
    const MOST: usize = 1024;
    value(environment, "LISTEN_FDS")
        .and_then(|count| count.to_str()?.parse().ok())
        .map_or(0, |it: usize| it.min(MOST))
}

fn value<'a>(environment: &'a [(OsString, OsString)], name: &str) -> Option<&'a OsStr> {
    environment.iter().find(|it| it.0 == name).map(|it| it.1.as_os_str())
}
