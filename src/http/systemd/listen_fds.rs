//! Takes the sockets that were passed to this process (`LISTEN_PID`, `LISTEN_FDS`, `LISTEN_FDNAMES`).
#![expect(unsafe_code, reason = "a passed socket is known by its number only")]

use std::{
    env,
    os::fd::{FromRawFd, OwnedFd, RawFd},
    sync::atomic::{AtomicBool, Ordering},
};

/// The number of the first passed socket.
const FIRST: RawFd = 3;

/// A passed socket.
#[derive(Debug)]
pub struct Passed {
    /// The socket; set close-on-exec.
    pub socket: OwnedFd,
    /// Its name; `unknown` where it was given none.
    pub name: String,
}

/// Why sockets that were passed cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// `LISTEN_FDS` holds no number.
    #[error("LISTEN_FDS={0:?} is no number")]
    Count(String),
    /// One of the numbers is no open file.
    #[error("file {0}, which LISTEN_FDS counts, is not open")]
    Closed(RawFd),
    /// They were taken before.
    #[error("the passed sockets were taken before")]
    Taken,
}

/// Takes the sockets that were passed to this process; none if `LISTEN_PID` is not its number.
///
/// # Errors
///
/// [`Error`], each kind of it; and [`Error::Taken`] on every call after the first, since each socket has one owner.
pub fn take() -> Result<Vec<Passed>, Error> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    let own = std::process::id().to_string();
    let Ok(count) = env::var("LISTEN_FDS") else {
        return Ok(Vec::new());
    };
    if env::var("LISTEN_PID").ok().as_deref() != Some(&own) {
        return Ok(Vec::new());
    }
    let number: u16 = count.parse().map_err(|_| Error::Count(count.clone()))?;
    if TAKEN.swap(true, Ordering::Relaxed) {
        return Err(Error::Taken);
    }
    let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':').filter(|name| !name.is_empty());
    (FIRST..)
        .take(usize::from(number))
        .map(|number| {
            let name = names.next().unwrap_or("unknown").to_owned();
            // SAFETY: F_SETFD needs no pointer, and tells by an error that the file is not open.
            let open = unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) } != -1;
            if !open {
                return Err(Error::Closed(number));
            }
            // SAFETY: it is open, the protocol gives it to this process, and `TAKEN` sees to it that this is once.
            let socket = unsafe { OwnedFd::from_raw_fd(number) };
            Ok(Passed { socket, name })
        })
        .collect()
}
