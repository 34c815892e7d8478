//! LEAVES the last reason where Kubernetes looks for it: `terminationMessagePath`, by default `/dev/termination-log`.

use std::{fs::OpenOptions, io::Write, os::unix::fs::OpenOptionsExt, path::Path};

/// Where Kubernetes mounts it.
pub const DEFAULT: &str = "/dev/termination-log";

/// What Kubernetes keeps of it.
const LIMIT: usize = 4096;

/// Writes `reason`. A path that was asked for by name is `created`; the default one is used only where it exists.
pub fn write(path: &Path, created: bool, reason: &str) {
    let mut options = OpenOptions::new();
    // A FIFO without a reader must not hold PID 1 up, and a link that others have left there must not lead it to another file.
    options
        .write(true)
        .truncate(true)
        .create(created)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_NOFOLLOW);
    let end = reason.floor_char_boundary(LIMIT);
    let written = options
        .open(path)
        .and_then(|mut file| file.write_all(reason.get(..end).unwrap_or(reason).as_bytes()));
    match written {
        Ok(()) => {}
        Err(error) if !created && error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) if error.raw_os_error() == Some(libc::ELOOP) => {
            tracing::warn!(path = %path.display(), "cannot write the termination log: it is a symbolic link");
        }
        Err(error) => tracing::warn!(path = %path.display(), %error, "cannot write the termination log"),
    }
}
