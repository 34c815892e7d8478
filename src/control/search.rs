//! FINDS running segues by their control sockets, and of several the one that is meant.
//!
//! Anybody may write to some of the directories: what was found there is believed only if the kernel says that the process
//! behind it is of the same user, root or the namespace's first (SO_PEERCRED). A PID namespace may have several containers: of several
//! segues the one in the asker's own container is meant.

use std::{
    fs,
    io::{self, ErrorKind},
    os::unix::{fs::MetadataExt, net::UnixStream},
    path::{Path, PathBuf},
};

use nix::{
    sys::socket::{getsockopt, sockopt},
    unistd::geteuid,
};

use super::place::connect;

/// A segue that was found.
#[derive(Debug)]
pub struct Found {
    /// Its socket.
    pub path: PathBuf,
    /// Its number.
    pub pid: i32,
    /// A connection to it.
    pub stream: UnixStream,
}

/// The PID namespace of this process, as a number; `0` where there is no /proc.
#[must_use]
pub fn namespace() -> String {
    let link = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    let digits: String = link.to_string_lossy().chars().filter(char::is_ascii_digit).collect();
    if digits.is_empty() { "0".into() } else { digits }
}

/// Connects to the segue behind this path.
///
/// # Errors
///
/// Nobody listens there (`NotFound`, `ConnectionRefused`), or somebody who is not to be believed (`PermissionDenied`).
pub fn ask_at(path: &Path) -> io::Result<Found> {
    // Root may ask whomever it names.
    ask(path, geteuid().is_root())
}

fn ask(path: &Path, anybody: bool) -> io::Result<Found> {
    let stream = connect(path)?;
    let peer = getsockopt(&stream, sockopt::PeerCredentials)?;
    let own = geteuid().as_raw();
    if !anybody && !is_believed(peer.uid(), peer.pid()) {
        let why = format!(
            "the process behind it is of user {}, neither yours ({own}) nor root",
            peer.uid()
        );
        return Err(io::Error::new(ErrorKind::PermissionDenied, why));
    }
    Ok(Found {
        path: path.to_owned(),
        pid: peer.pid(),
        stream,
    })
}

/// Can nobody have put such a process there but who may do anything here anyway? Root also believes the user of the namespace's first
/// process: a container's, that is.
fn is_believed(user: u32, pid: i32) -> bool {
    let own = geteuid();
    let is_first_s = || fs::metadata("/proc/1").is_ok_and(|it| it.uid() == user);
    user == 0 || user == own.as_raw() || pid == 1 || own.is_root() && is_first_s()
}

impl Found {
    /// Is it in the container that asks? `None`: that cannot be told.
    fn is_in_this_container(&self) -> Option<bool> {
        let mounts = |of: &str| fs::read_link(format!("/proc/{of}/ns/mnt"));
        let pid = self.pid.to_string();
        if let (Ok(ours), Ok(theirs)) = (mounts("self"), mounts(&pid)) {
            return Some(ours == theirs);
        }
        let cgroup = |of: &str| fs::read(format!("/proc/{of}/cgroup"));
        Some(cgroup("self").ok()? == cgroup(&pid).ok()?)
    }
}

/// Of several the ones that can be meant: several containers may share a PID namespace and a directory.
#[must_use]
pub fn meant(mut found: Vec<Found>) -> Vec<Found> {
    if found.len() > 1 && found.iter().any(|it| it.is_in_this_container() == Some(true)) {
        found.retain(|it| it.is_in_this_container() == Some(true));
    }
    found
}

/// Every segue of this PID namespace that can be asked, and why others that are there cannot.
#[must_use]
pub fn search<P: AsRef<Path>>(directories: &[P], namespace: &str) -> (Vec<Found>, Vec<(PathBuf, io::Error)>) {
    let (mut found, mut closed) = (Vec::new(), Vec::new());
    let prefix = format!("segue-{namespace}");
    for directory in directories {
        let Ok(entries) = fs::read_dir(directory) else { continue };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let rest = name.strip_prefix(&prefix).and_then(|it| it.strip_suffix(".sock"));
            if rest.is_none_or(|rest| !rest.is_empty() && !rest.starts_with('-')) {
                continue;
            }
            match ask(&entry.path(), false) {
                Ok(it) => found.push(it),
                Err(error) if matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::NotFound) => {}
                Err(error) => closed.push((entry.path(), error)),
            }
        }
    }
    found.sort_unstable_by_key(|it| it.pid);
    (found, closed)
}
