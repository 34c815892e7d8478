//! Tells the supervisor how this process is (`NOTIFY_SOCKET`).

use std::{
    env, io,
    os::{
        linux::net::SocketAddrExt,
        unix::{
            ffi::OsStrExt,
            net::{SocketAddr, UnixDatagram},
        },
    },
};

/// Sends assignments, one a line, such as `READY=1`. `Ok(false)`: nobody asked to be told.
///
/// # Errors
///
/// Those of the socket; a supervisor that is gone is `ConnectionRefused` or `NotFound`.
pub fn send(assignments: &str) -> io::Result<bool> {
    let Some(address) = env::var_os("NOTIFY_SOCKET") else {
        return Ok(false);
    };
    let address = match address.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(&address)?,
    };
    UnixDatagram::unbound()?.send_to_addr(assignments.as_bytes(), &address)?;
    Ok(true)
}

/// Says that the program may get traffic: `READY=1`.
///
/// # Errors
///
/// As [`send`].
pub fn ready() -> io::Result<bool> {
    send("READY=1\n")
}

/// Says that the program is about to end: `STOPPING=1`.
///
/// # Errors
///
/// As [`send`].
pub fn stopping() -> io::Result<bool> {
    send("STOPPING=1\n")
}
