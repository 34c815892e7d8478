//! Tells the supervisor how this process is (`NOTIFY_SOCKET`).

use std::{
    env,
    ffi::OsStr,
    io,
    os::{
        linux::net::SocketAddrExt,
        unix::{
            ffi::OsStrExt,
            net::{SocketAddr, UnixDatagram},
        },
    },
    time::Duration,
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
    UnixDatagram::unbound()?.send_to_addr(assignments.as_bytes(), &parse(&address)?)?;
    Ok(true)
}

/// Sends assignments to this address, as `NOTIFY_SOCKET` has it, without ever waiting.
///
/// # Errors
///
/// As [`send`]; `WouldBlock` while the supervisor's queue is full.
pub fn send_to(address: &OsStr, assignments: &str) -> io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.send_to_addr(assignments.as_bytes(), &parse(address)?)?;
    Ok(())
}

/// Says that the program is about to end, and how long that may take, from now on: `STOPPING=1`, `EXTEND_TIMEOUT_USEC=`.
///
/// # Errors
///
/// As [`send`].
pub fn stopping_within(longest: Duration) -> io::Result<bool> {
    send(&format!("STOPPING=1\nEXTEND_TIMEOUT_USEC={}\n", longest.as_micros()))
}

/// Says that the start or the stop that is under way takes longer than expected: up to this long, from now on.
/// `EXTEND_TIMEOUT_USEC=`
///
/// # Errors
///
/// As [`send`].
pub fn extend_timeout(longest: Duration) -> io::Result<bool> {
    send(&format!("EXTEND_TIMEOUT_USEC={}\n", longest.as_micros()))
}

fn parse(address: &OsStr) -> io::Result<SocketAddr> {
    match address.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
        _ => SocketAddr::from_pathname(address),
    }
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
