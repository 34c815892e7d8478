//! RESOLVES the program's name to the files to try, and says in words why none could be executed.

use std::{
    ffi::{CString, OsStr},
    os::unix::ffi::OsStrExt,
    path::Path,
};

use super::{
    lookup,
    spawn::{ExecFault, Step},
};
use crate::machine::Fault;

/// The files to try for `name`, in order: itself if it holds a slash, else one in each directory of `path`.
#[must_use]
pub fn candidates(name: &OsStr, path: Option<&OsStr>) -> Vec<CString> {
    let name = name.as_bytes();
    if name.is_empty() {
        return Vec::new();
    }
    if name.contains(&b'/') {
        return CString::new(name).into_iter().collect();
    }
    let path = path.unwrap_or(OsStr::new(lookup::DEFAULT_PATH)).as_bytes();
    let file = |directory: &[u8]| {
        let directory: &[u8] = if directory.is_empty() { b"." } else { directory };
        CString::new([directory, b"/", name].concat()).ok()
    };
    path.split(|byte| *byte == b':').filter_map(file).collect()
}

/// A string for the kernel; what follows a NUL cannot be passed on.
#[must_use]
pub fn c_string(text: &OsStr) -> Option<CString> {
    CString::new(text.as_bytes()).ok()
}

/// The fault of a program that could not be executed: 127 where there is none, 126 where there is one that cannot run.
#[must_use]
pub fn exec_fault(name: &OsStr, path: Option<&OsStr>, directory: Option<&Path>, fault: ExecFault) -> Fault {
    let errno = nix::Error::from_raw(fault.errno);
    let found = || lookup::find(name, path).and_then(|file| lookup::runnable(&file));
    let (code, what) = match (fault.step, errno) {
        (Step::Directory, _) => {
            let directory = directory.map_or_else(|| "?".into(), |it| it.display().to_string());
            (
                126,
                format!("its directory {directory} cannot be entered: {}", errno.desc()),
            )
        }
        (Step::Trap, _) => (71, super::trap::refusal(fault.errno)),
        (Step::Files, _) => (126, format!("its sockets cannot be passed: {}", errno.desc())),
        // Settings ask for these, and are named by those who know them.
        (Step::Attribute | Step::User | Step::OwnDirectory, _) => (78, errno.desc().to_owned()),
        (Step::Exec, nix::Error::ENOENT | nix::Error::ENOTDIR) => (
            127,
            found()
                .err()
                .map_or_else(|| "not found".into(), |error| error.to_string()),
        ),
        (Step::Exec, nix::Error::EACCES | nix::Error::ENOEXEC) => {
            let unknown = || format!("{} (built for another machine, or cut short?)", errno.desc());
            (126, found().err().map_or_else(unknown, |error| error.to_string()))
        }
        (Step::Exec, nix::Error::ETXTBSY) => (126, "it is open for writing".into()),
        (Step::Exec, nix::Error::E2BIG) => (126, "its arguments and environment are too long".into()),
        (Step::Exec, other) => (126, other.desc().to_owned()),
    };
    Fault {
        code,
        reason: format!("cannot run {name:?}: {what}"),
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::candidates;

    #[test]
    fn names_are_looked_up_as_execvp_does() {
        let look = |name: &str, path: Option<&str>| -> Vec<String> {
            let found = candidates(OsStr::new(name), path.map(OsStr::new));
            found.iter().map(|it| it.to_str().unwrap().to_owned()).collect()
        };
        assert_eq!(look("sh", Some("/a:/b")), ["/a/sh", "/b/sh"]);
        assert_eq!(look("sh", Some(":/b:")), ["./sh", "/b/sh", "./sh"]);
        assert_eq!(look("sh", None), ["/usr/local/bin/sh", "/bin/sh", "/usr/bin/sh"]);
        assert_eq!(look("./sh", Some("/a")), ["./sh"]);
        assert_eq!(look("", Some("/a")), [""; 0]);
    }
}
