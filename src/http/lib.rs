//! The part of [segue](https://docs.rs/segue) that requests go through; programs use it by that name.
//!
//! It is a package of its own so that it can be compiled for speed.

#![deny(missing_docs)]

#[cfg(all(feature = "proxy", target_os = "linux"))]
#[doc(hidden)]
pub mod caller;
#[cfg(all(feature = "proxy", target_os = "linux"))]
#[doc(hidden)]
pub mod proxy;
#[cfg(all(feature = "serve", target_os = "linux"))]
pub mod serve;
#[cfg(target_os = "linux")]
pub mod systemd;
