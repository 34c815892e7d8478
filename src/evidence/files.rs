//! JUDGES an open file: would two generations that have it open at once harm it? A log takes lines of both, a file that is named
//! by the process has no second writer, one that is deleted no second reader. Pure.

use std::path::{Component, Path};

use super::{Evidence, locks};

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A regular file, or a block device: it keeps what is written to it.
    Data,
    /// A directory.
    Directory,
    /// Anything else: terminals, pipes, devices.
    Other,
}

/// What is known of an open file.
#[derive(Debug, Clone)]
pub(super) struct OpenFile<'a> {
    /// Who has it open.
    pub(super) process: i32,
    /// The numbers of that process, in its own PID namespace, too.
    pub(super) numbers: &'a [i32],
    /// Its name.
    pub(super) path: &'a Path,
    /// What it is.
    pub(super) kind: Kind,
    /// Is it in no directory any more?
    pub(super) deleted: bool,
    /// Is it somebody's standard output or standard error?
    pub(super) is_output: bool,
    /// /proc/PID/fdinfo/N.
    pub(super) fdinfo: &'a str,
}

impl OpenFile<'_> {
    /// What speaks against a second generation, if anything does.
    #[must_use]
    pub(super) fn evidence(&self) -> Option<Evidence> {
        let pseudo = ["/proc", "/sys"].iter().any(|root| self.path.starts_with(root));
        if self.deleted || self.kind == Kind::Other || pseudo || is_named_by(self.path, self.numbers) {
            return None;
        }
        if let Some(lock) = locks::of_file(self.fdinfo) {
            return Some(Evidence::Lock {
                process: self.process,
                kind: lock.kind,
                path: self.path.to_owned(),
            });
        }
        let flags = flags(self.fdinfo)?;
        let writes = flags & libc::O_ACCMODE != libc::O_RDONLY && flags & libc::O_PATH == 0;
        let is_log = flags & libc::O_APPEND != 0 && is_named_as_log(self.path);
        (writes && self.kind == Kind::Data && !self.is_output && !is_log).then(|| Evidence::Writes {
            process: self.process,
            path: self.path.to_owned(),
        })
    }
}

/// The flags with which it is open: an octal number (proc(5)).
fn flags(fdinfo: &str) -> Option<i32> {
    let text = fdinfo.lines().find_map(|line| line.strip_prefix("flags:"))?;
    i32::from_str_radix(text.trim(), 8).ok()
}

/// `access.log`, `error_log`, `php8.2-fpm.log.1`, or any file in a directory `log` or `logs`: `log` as a word of its own.
fn is_named_as_log(path: &Path) -> bool {
    let text = |name: &std::ffi::OsStr| name.to_string_lossy().to_lowercase();
    let is_word = |word: &str| matches!(word, "log" | "logs");
    let of_letters = |name: &str| name.split(|it: char| !it.is_alphabetic()).any(is_word);
    let directory = |part: Component<'_>| matches!(part, Component::Normal(name) if is_word(&text(name)));
    let within = path.parent().is_some_and(|parent| parent.components().any(directory));
    within || path.file_name().is_some_and(|name| of_letters(&text(name)))
}

/// Below this, a number may be in a name by chance: a container's processes have small ones.
const TELLING: i32 = 1000;

/// Is one of these numbers the name, or, if it is large, a part of it? The next generation has other numbers.
fn is_named_by(path: &Path, numbers: &[i32]) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let whole = name.parse().is_ok_and(|name: i32| numbers.contains(&name));
    let text = path.to_string_lossy();
    let mut runs = text
        .split(|it: char| !it.is_ascii_digit())
        .filter_map(|run| run.parse().ok());
    whole || runs.any(|run: i32| run >= TELLING && numbers.contains(&run))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evidence(path: &str, fdinfo: &str, change: impl FnOnce(&mut OpenFile<'_>)) -> Option<String> {
        let mut file = OpenFile {
            process: 4711,
            numbers: &[4711, 27],
            path: Path::new(path),
            kind: Kind::Data,
            deleted: false,
            is_output: false,
            fdinfo,
        };
        change(&mut file);
        file.evidence().map(|it| it.to_string())
    }

    const READ: &str = "flags:\t0100000\n";
    const WRITE: &str = "pos:\t0\nflags:\t0100001\n";
    const BOTH: &str = "flags:\t02100002\n";
    const APPEND: &str = "flags:\t0102001\n";

    #[test]
    fn data_that_is_being_written() {
        for (path, fdinfo) in [
            ("/data/appendonlydir/appendonly.aof.1.incr.aof", APPEND),
            ("/var/lib/app/db.sqlite3-wal", BOTH),
            ("/dev/sda", WRITE),
            ("/data/000003.log", BOTH),
            ("/data/catalog.db", APPEND),
            ("/srv/blog", APPEND),
        ] {
            let expected = format!("process 4711 has {path} open for writing");
            assert_eq!(evidence(path, fdinfo, |_| {}), Some(expected));
            assert_eq!(evidence(path, READ, |_| {}), None);
            assert_eq!(evidence(path, "flags:\t010000001\n", |_| {}), None, "O_PATH");
            assert_eq!(evidence(path, fdinfo, |it| it.deleted = true), None);
            assert_eq!(evidence(path, fdinfo, |it| it.is_output = true), None);
            assert_eq!(evidence(path, fdinfo, |it| it.kind = Kind::Other), None);
            assert_eq!(evidence(path, fdinfo, |it| it.kind = Kind::Directory), None);
            assert_eq!(evidence(path, "", |_| {}), None, "nothing is known");
        }
    }

    #[test]
    fn logs_are_appended_to_and_named_as_such() {
        for path in [
            "/var/log/nginx/access.log",
            "/var/log/apache2/other",
            "/app/logs/today.txt",
            "/app/error_log",
            "/srv/localhost_access_log.2026-11-29.txt",
            "/tmp/gc.log.0.current",
            "/tmp/php8.2-fpm.log",
            "/tmp/App-Log",
        ] {
            assert_eq!(evidence(path, APPEND, |_| {}), None, "{path}");
            assert!(evidence(path, WRITE, |_| {}).is_some(), "{path} is not appended to");
        }
    }

    #[test]
    fn locks_count_however_the_file_is_open() {
        let fdinfo = format!("{READ}lock:\t1: FLOCK  ADVISORY  WRITE 4711 00:1:5 0 EOF\n");
        let expected = Some("process 4711 holds a write lock (flock) on /var/lib/app".to_owned());
        assert_eq!(
            evidence("/var/lib/app", &fdinfo, |it| it.kind = Kind::Directory),
            expected
        );
        assert_eq!(evidence("/var/lib/app", &fdinfo, |_| {}), expected);
        assert_eq!(evidence("/var/lib/app", &fdinfo, |it| it.is_output = true), expected);
        assert_eq!(evidence("/tmp/.ZendSem.x", &fdinfo, |it| it.deleted = true), None);
        assert_eq!(evidence("/dev/tty", &fdinfo, |it| it.kind = Kind::Other), None);
    }

    #[test]
    fn a_file_with_the_process_in_its_name_is_its_own() {
        for path in [
            "/tmp/hsperfdata_root/4711",
            "/tmp/hsperfdata_root/27",
            "/run/x.4711.tmp",
        ] {
            assert_eq!(evidence(path, BOTH, |_| {}), None, "{path}");
        }
        for path in [
            "/tmp/47110",
            "/tmp/14711",
            "/tmp/x",
            "/data/a.aof.27.incr.aof",
            "/data/27/x",
        ] {
            assert!(evidence(path, BOTH, |_| {}).is_some(), "{path}");
        }
    }
}
