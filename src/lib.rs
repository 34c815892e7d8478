//! Segue: a container entrypoint that restarts any program without dropping a connection.
//!
//! The binary `segue` is made of the modules that the feature `entrypoint` (on by default) adds; they are public for
//! the binary and its tests, and promise nothing. A program that wants to be handed its sockets and to say when it is
//! ready needs [`systemd`] only, which depends on next to nothing.

#[cfg(not(target_os = "linux"))]
compile_error!("segue runs on Linux; on Windows and macOS run it through Docker: docker-compose up --build");

pub mod systemd;

#[cfg(feature = "entrypoint")]
#[doc(hidden)]
pub mod cli;
#[cfg(feature = "entrypoint")]
#[doc(hidden)]
pub mod handover;
#[cfg(feature = "entrypoint")]
#[doc(hidden)]
pub mod machine;
#[cfg(feature = "entrypoint")]
#[doc(hidden)]
pub mod process;
#[cfg(feature = "entrypoint")]
#[doc(hidden)]
pub mod readiness;
#[cfg(feature = "entrypoint")]
#[doc(hidden)]
pub mod runtime;
#[cfg(feature = "entrypoint")]
#[doc(hidden)]
pub mod settings;
#[cfg(feature = "entrypoint")]
#[doc(hidden)]
pub mod telemetry;
