//! Segue: a container entrypoint that restarts any program without dropping a connection.

#[doc(hidden)]
#[cfg(feature = "entrypoint")]
pub mod cli;
#[cfg(feature = "entrypoint")]
pub mod settings;
#[cfg(not(target_os = "linux"))]
compile_error!("segue runs on Linux; on Windows and macOS run it through Docker: docker-compose up --build");
pub mod handover;
pub mod machine;
pub mod process;
