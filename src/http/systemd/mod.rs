//! Speaks systemd's two protocols, from a program's side: the sockets that it is passed, and the word that it is ready.
//!
//! Segue speaks them as systemd does, so that a program which uses these works under both. Nothing here reads or
//! changes anything but what it says; nothing ends the process.
//!
//! ```
//! # extern crate segue_http as segue;
//! use std::net::TcpListener;
//! use segue::systemd::{listen_fds, notify};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // The sockets that segue (or systemd) has bound, else one of our own.
//! let mut passed = listen_fds::take()?;
//! let listener = match passed.pop() {
//!     Some(passed) => TcpListener::from(passed.socket),
//!     None => TcpListener::bind("127.0.0.1:0")?,
//! };
//! // From here on the program accepts: `false` if nobody asked to be told.
//! let told = notify::ready()?;
//! # assert!(!told && listener.local_addr()?.port() > 0);
//! # Ok(())
//! # }
//! ```
//!
//! - [`listen_fds`]: sd_listen_fds(3), <https://www.freedesktop.org/software/systemd/man/latest/sd_listen_fds.html>
//! - [`notify`]: sd_notify(3), <https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html>

pub mod listen_fds;
pub mod notify;
