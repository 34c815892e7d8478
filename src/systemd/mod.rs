//! Speaks systemd's two protocols, from a program's side: the sockets that it is passed, and the word that it is ready.
//!
//! Segue speaks them as systemd does, so that a program which uses these works under both. Nothing here reads or
//! changes anything but what it says; nothing ends the process.
//!
//! - [`listen_fds`]: sd_listen_fds(3), <https://www.freedesktop.org/software/systemd/man/latest/sd_listen_fds.html>
//! - [`notify`]: sd_notify(3), <https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html>

pub mod listen_fds;
pub mod notify;
