//! NAMES the ways to a copy of a program's socket. Pure.

use std::fmt;

/// How segue came by a copy of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Method {
    /// pidfd_getfd(2).
    Pidfd,
    /// ptrace(2).
    Ptrace,
    /// The program was given a socket of segue's in place of its own, and cannot notice.
    Exchange,
}

impl Method {
    /// As `segue status` has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Method::Pidfd => "pidfd_getfd",
            Method::Ptrace => "ptrace",
            Method::Exchange => "exchange",
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
