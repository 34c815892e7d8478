//! RESOLVES the program's name to the files to try, and says in words why none could be executed.

use std::{
    ffi::{CString, OsStr, OsString},
    os::unix::ffi::{OsStrExt, OsStringExt},
};

use super::spawn::{ExecFault, Step};
use crate::machine::Fault;

/// Where to look when `PATH` is not set, as execvp(3) has it.
const DEFAULT_PATH: &[u8] = b"/bin:/usr/bin";

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
    let path = path.map_or(DEFAULT_PATH, OsStr::as_bytes);
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
pub fn exec_fault(name: &OsStr, directory: Option<&std::path::Path>, fault: ExecFault) -> Fault {
    let errno = nix::Error::from_raw(fault.errno);
    let shown = OsString::from_vec(name.as_bytes().to_vec());
    let shown = shown.to_string_lossy();
    let (code, what) = match (fault.step, errno) {
        (Step::Directory, _) => {
            let directory = directory.map_or_else(|| "?".into(), |it| it.display().to_string());
            (
                126,
                format!("its directory {directory} cannot be entered: {}", errno.desc()),
            )
        }
        (Step::Files, _) => (126, format!("its sockets cannot be passed: {}", errno.desc())),
        (Step::Exec, nix::Error::ENOENT) if name.as_bytes().contains(&b'/') && std::path::Path::new(name).exists() => (
            127,
            "the interpreter that it names (in its #! line, or as its loader) is not there".into(),
        ),
        (Step::Exec, nix::Error::ENOENT | nix::Error::ENOTDIR) if name.as_bytes().contains(&b'/') => {
            (127, "there is no such file".into())
        }
        (Step::Exec, nix::Error::ENOENT | nix::Error::ENOTDIR) => (127, "it is in no directory of PATH".into()),
        (Step::Exec, nix::Error::EACCES) if std::path::Path::new(name).is_dir() => (126, "it is a directory".into()),
        (Step::Exec, nix::Error::EACCES) => (126, "it is not executable (permission denied)".into()),
        (Step::Exec, nix::Error::ENOEXEC) => (
            126,
            "its format is not executable here: built for another machine, or cut short".into(),
        ),
        (Step::Exec, nix::Error::ETXTBSY) => (126, "it is open for writing".into()),
        (Step::Exec, nix::Error::E2BIG) => (126, "its arguments and environment are too long".into()),
        (Step::Exec, other) => (126, other.desc().to_owned()),
    };
    Fault {
        code,
        reason: format!("cannot run {shown:?}: {what}"),
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
        assert_eq!(look("sh", None), ["/bin/sh", "/usr/bin/sh"]);
        assert_eq!(look("./sh", Some("/a")), ["./sh"]);
        assert_eq!(look("", Some("/a")), [""; 0]);
    }
}
