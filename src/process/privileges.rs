//! LOOKS whether a program's file gives privileges (capabilities(7), set-id bits) that `no_new_privs` would take from it. Only
//! looks.
#![expect(unsafe_code, reason = "getxattr, which nix has no call for")]

use std::{
    ffi::{CStr, CString, OsStr},
    fs::File,
    io::Read,
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, OpenOptionsExt},
    },
    path::Path,
};

use nix::unistd::{getegid, geteuid};

use super::status::{self, SYS_ADMIN, SYS_PTRACE, Status};

/// The names of the capabilities that servers are given, by number.
const NAMES: [(u32, &str); 4] = [
    (10, "cap_net_bind_service"),
    (12, "cap_net_admin"),
    (13, "cap_net_raw"),
    (14, "cap_ipc_lock"),
];

/// Why nothing may be read of programs here, not even the address that they bind: Yama (ptrace(2)) forbids it. `None` where it does not, or
/// there is no Yama.
#[must_use]
pub fn nothing_is_read() -> Option<String> {
    let scope = std::fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").ok()?;
    yama_forbids(&scope, || own().is_some_and(|own| own.can(SYS_PTRACE)))
}

fn yama_forbids(scope: &str, may_trace: impl FnOnce() -> bool) -> Option<String> {
    let what_helps = match scope.trim() {
        "2" if !may_trace() => "with CAP_SYS_PTRACE, or at 1, it could be",
        "3" => "it can be only after the machine has begun anew with a lower one",
        _ => return None,
    };
    let scope = scope.trim();
    Some(format!(
        "kernel.yama.ptrace_scope is {scope}: nothing may be read of the program, not even the address that it binds; {what_helps}"
    ))
}

/// What `no_new_privs` would take from the program that is the first of these files; `None` if that is nothing, or if it is
/// set already, or not needed.
#[must_use]
pub fn at_stake(candidates: &[CString]) -> Option<String> {
    let is_program = |path: &&CString| {
        let found = std::fs::metadata(OsStr::from_bytes(path.as_bytes()));
        found.is_ok_and(|it| it.is_file() && it.mode() & 0o111 != 0)
    };
    let file = candidates.iter().find(is_program)?;
    let gained = of_file(file).or_else(|| of_file(&interpreter(file)?))?;
    is_needed().then_some(gained)
}

fn of_file(path: &CStr) -> Option<String> {
    let name = path.to_string_lossy();
    let stat = std::fs::metadata(OsStr::from_bytes(path.to_bytes())).ok()?;
    if stat.mode() & libc::S_ISUID != 0 && stat.uid() != geteuid().as_raw() {
        return Some(format!("{name} is set-user-ID (of user {})", stat.uid()));
    }
    let runs_as_group = libc::S_ISGID | libc::S_IXGRP;
    if stat.mode() & runs_as_group == runs_as_group && stat.gid() != getegid().as_raw() {
        return Some(format!("{name} is set-group-ID (of group {})", stat.gid()));
    }
    let gained = capabilities(&attribute(path)?)? & !own().map_or(0, |own| own.permitted());
    (gained != 0).then(|| format!("{name} has file capabilities ({})", names(gained)))
}

fn names(set: u64) -> String {
    let names = (0..64).filter(|number| set >> number & 1 == 1).map(|number| {
        let known = NAMES.iter().find(|it| it.0 == number);
        known.map_or_else(|| format!("number {number}"), |it| it.1.to_owned())
    });
    names.collect::<Vec<String>>().join(", ")
}

/// The interpreter that a script names.
fn interpreter(script: &CStr) -> Option<CString> {
    let path = Path::new(OsStr::from_bytes(script.to_bytes()));
    let mut options = File::options();
    let file = options
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path);
    let mut head = Vec::new();
    file.ok()?.take(256).read_to_end(&mut head).ok()?;
    let line = head.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let mut words = line
        .split(|byte| byte.is_ascii_whitespace())
        .filter(|word| !word.is_empty());
    CString::new(words.next()?).ok()
}

/// `struct vfs_cap_data` of linux/capability.h.
fn attribute(path: &CStr) -> Option<Vec<u8>> {
    let mut bytes = [0_u8; 64];
    // SAFETY: two C strings, and as many writable bytes as are said.
    let length = unsafe {
        libc::getxattr(
            path.as_ptr(),
            c"security.capability".as_ptr(),
            bytes.as_mut_ptr().cast(),
            bytes.len(),
        )
    };
    let length = usize::try_from(length).ok()?;
    Some(bytes.get(..length)?.to_vec())
}

/// The permitted set of the attribute: a revision, then the halves of the permitted and of the inheritable set in turn.
fn capabilities(attribute: &[u8]) -> Option<u64> {
    let word = |index: usize| {
        let bytes = attribute.get(index * 4..index * 4 + 4)?;
        Some(u32::from_le_bytes(bytes.try_into().ok()?))
    };
    let high = word(3).unwrap_or(0);
    Some(u64::from(word(1)?) | u64::from(high) << 32)
}

/// Segue's own status; without /proc it counts as one with no privileges.
fn own() -> Option<Status> {
    status::of(i32::try_from(std::process::id()).ok()?)
}

/// Is `no_new_privs` still to be set?
fn is_needed() -> bool {
    own().is_none_or(|own| !own.sealed && !own.can(SYS_ADMIN))
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    #[test]
    fn an_attribute_of_setcap_s() {
        // `setcap cap_net_bind_service=ep`, revision 2; and revision 3, with a root user behind.
        let two = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(capabilities(&two), Some(1 << 10));
        assert_eq!(names(1 << 10 | 1 << 40), "cap_net_bind_service, number 40");
        let three = [1, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0];
        assert_eq!(capabilities(&three), Some(1 << 33));
        assert_eq!(capabilities(&[1, 0]), None);
    }

    #[test]
    fn a_script_s_interpreter_and_plain_files() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("script");
        fs::write(&path, "#! /bin/sh -e\nexit\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let script = CString::new(path.as_os_str().as_bytes()).unwrap();
        assert_eq!(interpreter(&script).as_deref(), Some(c"/bin/sh"));
        assert_eq!(interpreter(c"/proc/self/exe"), None);
        assert_eq!(
            (of_file(&script), of_file(c"/bin/true"), of_file(c"/nowhere")),
            (None, None, None)
        );
    }

    #[test]
    fn set_id_bits_of_another_user_count() {
        if !geteuid().is_root() {
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("program");
        fs::copy("/bin/true", &path).unwrap();
        std::os::unix::fs::chown(&path, Some(65_534), Some(65_534)).unwrap();
        let file = CString::new(path.as_os_str().as_bytes()).unwrap();
        for (mode, expected) in [(0o4755, "set-user-ID"), (0o2755, "set-group-ID")] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert!(of_file(&file).unwrap().contains(expected));
        }
    }

    #[test]
    fn yama_at_2_and_3() {
        for (scope, may_trace, forbids) in [
            ("0\n", false, false),
            ("1\n", false, false),
            ("2\n", false, true),
            ("2\n", true, false),
            ("3\n", false, true),
            ("3\n", true, true),
            ("", false, false),
        ] {
            let why = yama_forbids(scope, || may_trace);
            assert_eq!(why.is_some(), forbids, "{scope:?} {may_trace}");
            assert!(why.is_none_or(|why| why.contains(&format!("ptrace_scope is {}:", scope.trim()))));
        }
    }
}
