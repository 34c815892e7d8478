//! TELLS how an exec came out, over a pipe that closes itself when it succeeds.

use std::os::fd::{AsRawFd, OwnedFd, RawFd};

/// Why a program could not be executed, after the fork.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExecFault {
    /// What was being done.
    pub step: Step,
    /// Which attribute, where one could not be set.
    pub index: u8,
    /// How it failed.
    pub errno: i32,
}

/// The steps of the child that can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Step {
    /// Entering the caller's directory.
    Directory = 1,
    /// Putting files to their numbers.
    Files = 2,
    /// Becoming the program.
    Exec = 3,
    /// Having its calls trapped.
    Trap = 4,
    /// Having an attribute that a setting gives it.
    Attribute = 5,
    /// Becoming another user.
    User = 6,
    /// Entering a directory of its own.
    OwnDirectory = 7,
}

/// The reading end of the pipe that tells how the exec came out.
#[derive(Debug)]
pub struct Verdict(pub(super) OwnedFd);

impl AsRawFd for Verdict {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl Verdict {
    /// `None` while it is open.
    #[must_use]
    pub fn read(&self) -> Option<Result<(), ExecFault>> {
        let mut bytes = [0_u8; 6];
        match nix::unistd::read(&self.0, &mut bytes) {
            Ok(0) => Some(Ok(())),
            Ok(_) => {
                let [step, index, errno @ ..] = bytes;
                let step = match step {
                    1 => Step::Directory,
                    2 => Step::Files,
                    4 => Step::Trap,
                    5 => Step::Attribute,
                    6 => Step::User,
                    7 => Step::OwnDirectory,
                    _ => Step::Exec,
                };
                Some(Err(ExecFault {
                    step,
                    index,
                    errno: i32::from_ne_bytes(errno),
                }))
            }
            Err(nix::Error::EAGAIN | nix::Error::EINTR) => None,
            Err(_) => Some(Ok(())),
        }
    }
}
