//! JUDGES whether a second generation beside the serving one would harm what they have in common: files that are locked or being
//! written, memory that is not there for two. Looks, and changes nothing; what follows from it others decide.

pub mod cgroup;
mod files;
mod locks;
pub mod look;
pub mod memory;

use std::{fmt, path::PathBuf};

pub use self::memory::Shortage;

/// Why two generations at once would do harm: the first thing that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Evidence {
    /// A process holds a lock that keeps others from writing.
    Lock {
        /// Who holds it.
        process: i32,
        /// `flock`, `POSIX` or `OFD`.
        kind: &'static str,
        /// The locked file.
        path: PathBuf,
    },
    /// A process writes to a file that is no log.
    Writes {
        /// Who has it open.
        process: i32,
        /// The file.
        path: PathBuf,
    },
    /// There is no memory for a second one.
    Memory(Shortage),
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Evidence::Lock { process, kind, path } => {
                write!(f, "process {process} holds a write lock ({kind}) on {}", path.display())
            }
            Evidence::Writes { process, path } => {
                write!(f, "process {process} has {} open for writing", path.display())
            }
            Evidence::Memory(shortage) => shortage.fmt(f),
        }
    }
}
