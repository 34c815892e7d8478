//! Answers commands: one file each, every one of which writes to the writer that it is given and returns an exit code.

pub mod check;
pub mod settings;
