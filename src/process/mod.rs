//! RUNS processes: starts, signals and reaps them. The only half of segue that knows a pid.

pub mod again;
pub mod attribute;
pub mod file_type;
pub(crate) mod files;
pub mod helper;
pub mod identity;
pub mod inherited;
pub(crate) mod lookup;
pub mod mounts;
pub mod pid_file;
pub mod privileges;
pub mod program;
pub mod reaper;
pub mod regular;
pub mod rest;
pub mod send;
pub mod signals;
pub mod sigset;
pub mod spawn;
pub mod status;
pub mod terminal;
pub mod trap;
pub mod tree;
pub mod user;
mod verdict;
