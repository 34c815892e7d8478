//! Segue: a container entrypoint that restarts any program without dropping a connection.
//!
//! The binary `segue` is made of the modules that the feature `entrypoint` (on by default) adds; they are public for
//! the binary and its tests, and promise nothing. For programs there are
//!
//! - [`systemd`]: be handed sockets, say that you are ready. It is always there and depends on next to nothing:
//!   `segue = { version = "0.1", default-features = false }`
//! - [`serve`]: a server for hyper services that stops without failing a request. It is there with the feature `serve`:
//!   `segue = { version = "0.1", default-features = false, features = ["serve"] }`

#![deny(missing_docs)]

#[cfg(not(target_os = "linux"))]
compile_error!("segue runs on Linux; on Windows and macOS run it through Docker: docker-compose up --build");

#[cfg(all(feature = "serve", target_os = "linux"))]
#[doc(inline)]
pub use segue_http::serve;
#[cfg(target_os = "linux")]
#[doc(inline)]
pub use segue_http::systemd;

#[cfg(all(feature = "entrypoint", target_os = "linux"))]
#[doc(hidden)]
pub mod cli;
#[cfg(all(feature = "entrypoint", target_os = "linux"))]
#[doc(hidden)]
pub mod control;
#[cfg(all(feature = "entrypoint", target_os = "linux"))]
#[doc(hidden)]
pub mod evidence;
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
pub use segue_http::{caller, proxy};
#[cfg(all(feature = "entrypoint", target_os = "linux"))]
#[doc(hidden)]
pub mod readiness;
#[cfg(all(feature = "entrypoint", target_os = "linux"))]
#[doc(hidden)]
pub mod runtime;
#[cfg(all(feature = "entrypoint", target_os = "linux"))]
#[doc(hidden)]
pub mod settings;
#[cfg(all(feature = "entrypoint", target_os = "linux"))]
#[doc(hidden)]
pub mod telemetry;
#[cfg(all(feature = "entrypoint", target_os = "linux"))]
#[doc(hidden)]
pub mod verify;
#[cfg(all(feature = "entrypoint", target_os = "linux"))]
#[doc(hidden)]
pub mod watch;

/// So that what README shows is compiled and run.
#[cfg(all(doctest, feature = "serve", target_os = "linux"))]
#[doc = include_str!("../README.md")]
#[derive(Debug)]
pub struct Readme;
