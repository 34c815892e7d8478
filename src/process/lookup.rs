//! Finds a program as execvp(3) would, and looks at it as the kernel would. Never runs it.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::unistd::{AccessFlags, faccessat};

/// What the kernel reads of a file to learn what it is: BINPRM_BUF_SIZE.
const HEAD: u64 = 256;

/// Where programs are sought when PATH is unset, as in musl.
pub(super) const DEFAULT_PATH: &str = "/usr/local/bin:/bin:/usr/bin";

/// Why a program cannot be run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ProgramError {
    /// There is no such file; exit code 127.
    #[error("not found{}", path.as_ref().map(|path| format!(" on PATH ({path})")).unwrap_or_default())]
    NotFound {
        /// Where it was sought, unless it was named with a slash.
        path: Option<String>,
    },
    /// The file is a directory, a device or the like; exit code 126.
    #[error("{} is not a regular file", .0.display())]
    NotAFile(PathBuf),
    /// The file may not be executed; exit code 126.
    #[error("{} is not executable, see chmod +x and the mount option noexec", .0.display())]
    NotExecutable(PathBuf),
    /// The interpreter of a script is missing; the kernel calls that "not found" too.
    #[error(
        "its #! line asks for {interpreter:?}, which is not there{}",
        carriage_return(interpreter)
    )]
    NoInterpreter {
        /// What follows the `#!`.
        interpreter: String,
    },
    /// The loader of a dynamically linked program is missing; the kernel calls that "not found" too.
    #[error("it is linked for the loader {0}, which is not there: another libc? (musl and glibc differ)")]
    NoLoader(String),
    /// It was built for other machines.
    #[error("it is built for {0}, this machine is {here}", here = std::env::consts::ARCH)]
    OtherArchitecture(String),
}

/// Where the program is: `word` itself if it has a slash, else the first executable file of that name on `path`.
///
/// # Errors
///
/// `NotFound`; or, if files of that name are all that is wrong, what is wrong with the first of them.
pub(crate) fn find(word: &OsStr, path: Option<&OsStr>) -> Result<PathBuf, ProgramError> {
    if word.as_bytes().contains(&b'/') {
        return executable(Path::new(word)).map(|()| PathBuf::from(word));
    }
    let path = path.unwrap_or(OsStr::new(DEFAULT_PATH));
    let not_found = || ProgramError::NotFound {
        path: Some(path.to_string_lossy().into_owned()),
    };
    if word.is_empty() {
        return Err(not_found());
    }
    let mut refused = None;
    for directory in path.as_bytes().split(|byte| *byte == b':') {
        let directory = if directory.is_empty() {
            Path::new(".")
        } else {
            Path::new(OsStr::from_bytes(directory))
        };
        let file = directory.join(word);
        match executable(&file) {
            Ok(()) => return Ok(file),
            Err(ProgramError::NotFound { .. }) => {}
            Err(error) => refused = refused.or(Some(error)),
        }
    }
    Err(refused.unwrap_or_else(not_found))
}

fn executable(file: &Path) -> Result<(), ProgramError> {
    let Ok(metadata) = file.metadata() else {
        return Err(ProgramError::NotFound { path: None });
    };
    if !metadata.is_file() {
        return Err(ProgramError::NotAFile(file.to_path_buf()));
    }
    faccessat(AT_FDCWD, file, AccessFlags::X_OK, AtFlags::AT_EACCESS)
        .map_err(|_| ProgramError::NotExecutable(file.to_path_buf()))
}

/// Whether the kernel could run this executable file here. A file that cannot be read is believed to be right.
///
/// # Errors
///
/// `NoInterpreter`, `NoLoader` or `OtherArchitecture`.
pub(crate) fn runnable(file: &Path) -> Result<(), ProgramError> {
    let mut head = Vec::new();
    let Ok(mut opened) = File::open(file) else {
        return Ok(());
    };
    if opened.by_ref().take(HEAD).read_to_end(&mut head).is_err() {
        return Ok(());
    }
    match head.strip_prefix(b"#!") {
        Some(line) => script(line),
        None => elf(&opened, &head),
    }
}

/// The most frequent reason by far: a checkout on Windows.
fn carriage_return(interpreter: &str) -> &'static str {
    if interpreter.ends_with('\r') {
        ": the line ends with a carriage return, save the file with LF line ends"
    } else {
        ""
    }
}

fn script(line: &[u8]) -> Result<(), ProgramError> {
    let line = line
        .split(|byte| *byte == b'\n')
        .next()
        .unwrap_or_default()
        .trim_ascii_start();
    let word = line
        .split(|byte| matches!(byte, b' ' | b'\t'))
        .next()
        .unwrap_or_default();
    let interpreter = OsString::from(OsStr::from_bytes(word));
    if Path::new(&interpreter).is_file() {
        return Ok(());
    }
    Err(ProgramError::NoInterpreter {
        interpreter: interpreter.to_string_lossy().into_owned(),
    })
}

/// Looks at the machine and the loader of an ELF file, elf(5).
fn elf(file: &File, head: &[u8]) -> Result<(), ProgramError> {
    if !head.starts_with(b"\x7fELF") {
        return Ok(());
    }
    let little = head.get(5) == Some(&1);
    let machine = match head.get(18..20) {
        Some([low, high]) if little => u16::from_le_bytes([*low, *high]),
        Some([high, low]) => u16::from_be_bytes([*high, *low]),
        _ => return Ok(()),
    };
    let runs_here = match std::env::consts::ARCH {
        "x86_64" => matches!(machine, 3 | 62),
        "aarch64" => matches!(machine, 40 | 183),
        _ => true,
    };
    if !runs_here {
        return Err(ProgramError::OtherArchitecture(architecture(machine)));
    }
    match loader(file, head) {
        Some(loader) if !Path::new(OsStr::from_bytes(&loader)).exists() => {
            Err(ProgramError::NoLoader(String::from_utf8_lossy(&loader).into_owned()))
        }
        Some(_) | None => Ok(()),
    }
}

/// The PT_INTERP entry of a 64-bit little-endian ELF file, if there is one.
fn loader(file: &File, head: &[u8]) -> Option<Vec<u8>> {
    const PT_INTERP: u64 = 3;
    if head.get(4..6) != Some(&[2, 1]) {
        return None;
    }
    let (table, size, count) = (number(head, 32, 8)?, number(head, 54, 2)?, number(head, 56, 2)?);
    for index in 0..count.min(64) {
        let mut entry = [0; 56];
        file.read_exact_at(&mut entry, table.checked_add(index * size)?).ok()?;
        if number(&entry, 0, 4)? == PT_INTERP {
            let mut path = vec![0; usize::try_from(number(&entry, 32, 8)?.min(4096)).ok()?];
            file.read_exact_at(&mut path, number(&entry, 8, 8)?).ok()?;
            path.truncate(path.iter().position(|byte| *byte == 0)?);
            return Some(path);
        }
    }
    None
}

/// A little-endian number of so many bytes.
fn number(bytes: &[u8], at: usize, length: usize) -> Option<u64> {
    let bytes = bytes.get(at..at.checked_add(length)?)?;
    Some(
        bytes
            .iter()
            .rev()
            .fold(0, |number, byte| number << 8 | u64::from(*byte)),
    )
}

fn architecture(machine: u16) -> String {
    let name = match machine {
        3 => "x86",
        8 => "mips",
        20 | 21 => "powerpc",
        22 => "s390x",
        40 => "arm",
        62 => "x86_64",
        183 => "aarch64",
        243 => "riscv",
        258 => "loongarch",
        other => return format!("another machine (ELF {other})"),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn file(directory: &Path, name: &str, content: &[u8], mode: u32) -> PathBuf {
        let file = directory.join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, content).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        file
    }

    #[test]
    fn the_first_executable_on_the_path_is_it() {
        let directory = tempfile::tempdir().unwrap();
        let refused = file(directory.path(), "a/tool", b"", 0o644);
        let found = file(directory.path(), "b/tool", b"", 0o755);
        fs::create_dir(directory.path().join("b/folder")).unwrap();
        let path = |text: &str| OsString::from(text.replace('D', directory.path().to_str().unwrap()));
        assert_eq!(find(OsStr::new("tool"), Some(&path("D/none:D/a:D/b"))), Ok(found));
        assert_eq!(
            find(OsStr::new("tool"), Some(&path("D/a"))),
            Err(ProgramError::NotExecutable(refused.clone()))
        );
        assert_eq!(
            find(refused.as_os_str(), None),
            Err(ProgramError::NotExecutable(refused))
        );
        let folder = find(OsStr::new("folder"), Some(&path("D/b")));
        assert!(matches!(folder, Err(ProgramError::NotAFile(_))));
        for word in ["", "tool2", "folder/x"] {
            let missing = find(OsStr::new(word), Some(&path("D/b")));
            assert!(matches!(missing, Err(ProgramError::NotFound { .. })), "{word}");
        }
    }

    #[test]
    fn a_path_that_is_unset_has_a_default() {
        assert!(find(OsStr::new("sh"), None).is_ok());
    }

    #[test]
    fn a_script_needs_its_interpreter() {
        let directory = tempfile::tempdir().unwrap();
        let script = |line: &str| runnable(&file(directory.path(), "script", line.as_bytes(), 0o755));
        assert_eq!(script("#! /bin/sh -e\necho"), Ok(()));
        assert_eq!(script("no script at all"), Ok(()));
        assert_eq!(
            script("#!/none -x\n"),
            Err(ProgramError::NoInterpreter {
                interpreter: "/none".to_owned()
            })
        );
        let crlf = script("#!/bin/sh\r\necho\r\n").unwrap_err().to_string();
        assert!(crlf.contains("carriage return"), "{crlf}");
    }

    #[test]
    fn a_binary_of_another_machine_is_said_so() {
        let directory = tempfile::tempdir().unwrap();
        let mut head = vec![0; 64];
        head[..6].copy_from_slice(b"\x7fELF\x02\x01");
        head[18] = 243;
        let error = runnable(&file(directory.path(), "tool", &head, 0o755));
        assert_eq!(error, Err(ProgramError::OtherArchitecture("riscv".to_owned())));
        let own = fs::read(std::env::current_exe().unwrap()).unwrap();
        assert_eq!(runnable(&file(directory.path(), "own", &own, 0o755)), Ok(()));
        assert_eq!(runnable(&file(directory.path(), "short", b"\x7fELF", 0o755)), Ok(()));
    }

    #[test]
    fn a_binary_of_another_libc_is_said_so() {
        let directory = tempfile::tempdir().unwrap();
        let mut own = fs::read(find(OsStr::new("sh"), None).unwrap()).unwrap();
        let Some(at) = own
            .windows(5)
            .position(|window| window == b"/lib6" || window == b"/lib/")
        else {
            return;
        };
        own[at + 1] = b'x';
        let error = runnable(&file(directory.path(), "foreign", &own, 0o755));
        assert!(matches!(error, Err(ProgramError::NoLoader(_))), "{error:?}");
    }
}
