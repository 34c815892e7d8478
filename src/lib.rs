//! Segue: a container entrypoint that restarts any program without dropping a connection.
//!
//! The binary `segue` is made of the modules that the feature `entrypoint` (on by default) adds; they are public for
//! the binary and its tests, and promise nothing. A program that wants to be handed its sockets and to say when it is
//! ready needs [`systemd`] only, which depends on next to nothing.

#[cfg(not(target_os = "linux"))]
compile_error!("segue runs on Linux; on Windows and macOS run it through Docker: docker-compose up --build");

#[cfg(target_os = "linux")]
pub mod systemd;

#[cfg(all(feature = "entrypoint", target_os = "linux"))]
#[doc(hidden)]
pub mod cli;
#[cfg(all(feature = "entrypoint", target_os = "linux"))]
#[doc(hidden)]
pub mod control;
#[cfg(all(feature = "entrypoint", target_os = "linux"))]
#[doc(hidden)]
pub mod handover;
#[cfg(all(feature = "entrypoint", target_os = "linux"))]
#[doc(hidden)]
pub mod machine;
#[cfg(all(feature = "entrypoint", target_os = "linux"))]
#[doc(hidden)]
pub mod process;
#[cfg(all(feature = "entrypoint", target_os = "linux"))]
#[doc(hidden)]
pub mod proxy;
#[cfg(all(feature = "entrypoint", target_os = "linux"))]
#[doc(hidden)]
pub mod readiness;
#[cfg(all(feature = "entrypoint", target_os = "linux"))]
#[doc(hidden)]
pub mod runtime;
#[cfg(all(feature = "entrypoint", target_os = "linux"))]
#[doc(hidden)]
pub mod serve;
#[cfg(all(feature = "entrypoint", target_os = "linux"))]
#[doc(hidden)]
pub mod settings;
#[cfg(all(feature = "entrypoint", target_os = "linux"))]
#[doc(hidden)]
pub mod telemetry;
#[cfg(all(feature = "entrypoint", target_os = "linux"))]
#[doc(hidden)]
pub mod verify;
