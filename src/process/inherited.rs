//! READS what segue was started with, before anything of it changes: signal mask, dispositions, standard streams, open
//! files, directory. The program gets exactly this.
//!
//! The first call of the process: it blocks every signal, so that none is lost before there is somebody to hear it.

use std::{
    ffi::CString,
    fs, io,
    os::{
        fd::{AsRawFd, IntoRawFd, OwnedFd, RawFd},
        unix::ffi::{OsStrExt, OsStringExt},
    },
    path::PathBuf,
};

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::sigset::{self, SignalSet};

/// What segue was started with.
#[derive(Debug, Clone)]
pub struct Inherited {
    /// The blocked signals.
    pub mask: SignalSet,
    /// The ignored signals.
    pub ignored: SignalSet,
    /// Open files beyond the standard streams; generation 1 gets them, then segue closes its own.
    pub foreign: Vec<RawFd>,
    /// The directory; `None` where it cannot be told.
    pub directory: Option<CString>,
    /// Was a terminal's foreground ours?
    pub foreground: bool,
    /// How many files a process may have open: the soft and the hard limit, if they can be told.
    pub files_limit: Option<(u64, u64)>,
}

impl Inherited {
    /// Blocks every signal and looks around.
    #[must_use]
    pub fn take() -> Inherited {
        let mask = sigset::block_all();
        let ignored = sigset::ignored();
        // A child that is ignored cannot be waited for.
        if ignored.contains(libc::SIGCHLD) {
            sigset::set_disposition(libc::SIGCHLD, libc::SIG_DFL);
        }
        let foreign = foreign_files();
        fill_closed_streams();
        let directory = std::env::current_dir()
            .ok()
            .and_then(|path| CString::new(path.into_os_string().into_vec()).ok());
        Inherited {
            mask,
            ignored,
            foreign,
            directory,
            foreground: super::terminal::is_ours(),
            files_limit: getrlimit(Resource::RLIMIT_NOFILE).ok(),
        }
    }

    /// Gives the signals back, for commands that run no program.
    pub fn restore(&self) {
        sigset::set_mask(self.mask);
    }

    /// Leaves the caller's directory, so that segue pins no mount, and closes its own copies of the foreign files, so
    /// that nobody waits for an end of file that segue holds up. To be called once generation 1 has them.
    pub fn let_go(&mut self, keep: &[RawFd]) {
        for file in self.foreign.drain(..) {
            if !keep.contains(&file) {
                super::files::close(file);
            }
        }
        if let Err(error) = nix::unistd::chdir("/") {
            tracing::debug!(%error, "cannot leave the directory");
        }
    }

    /// Lets segue itself have as many files as it may: it holds a copy of every listening socket of the program, some of
    /// which have thousands. The program gets the soft limit back.
    pub fn raise_files_limit(&self) {
        if let Some((soft, hard)) = self.files_limit.filter(|(soft, hard)| soft < hard)
            && let Err(error) = setrlimit(Resource::RLIMIT_NOFILE, hard, hard)
        {
            tracing::debug!(soft, hard, %error, "cannot raise the limit on open files");
        }
    }

    /// The directory as a path, for messages.
    #[must_use]
    pub fn directory(&self) -> Option<PathBuf> {
        self.directory
            .as_ref()
            .map(|it| PathBuf::from(std::ffi::OsStr::from_bytes(it.to_bytes())))
    }
}

/// Open files ≥ 3, as /proc tells; none where there is no /proc.
fn foreign_files() -> Vec<RawFd> {
    // The lowest free number tells at once that nothing lies beyond it in the usual case of a tight table.
    let Ok(listing) = fs::read_dir("/proc/self/fd") else {
        return Vec::new();
    };
    let names = listing.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<RawFd>().ok());
    let mut files: Vec<RawFd> = names.filter(|file| *file >= 3).collect();
    // The listing saw its own descriptor, which is closed by now.
    files.retain(|file| super::files::is_open(*file));
    files
}

/// A closed standard stream stays closed for the program, but must not become the number of a file of segue's own.
fn fill_closed_streams() {
    for stream in 0..=2 {
        if super::files::is_open(stream) {
            continue;
        }
        let null: io::Result<OwnedFd> = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/null")
            .map(Into::into);
        match null {
            // Opened close-on-exec, as the lowest free number, which is this one.
            Ok(null) if null.as_raw_fd() == stream => {
                let _kept_open = null.into_raw_fd();
            }
            Ok(_) | Err(_) => {}
        }
    }
}
