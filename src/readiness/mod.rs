//! NOTICES when a generation is ready: by what it says (sd_notify), or by asking it. Never decides what follows.

pub mod file;
pub mod notify;
pub mod probe;
