//! READS locks as the kernel prints them in /proc/PID/fdinfo/N (proc(5)). Pure.

/// A lock that is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lock {
    /// `flock`, `POSIX` or `OFD`.
    pub(super) kind: &'static str,
}

/// What follows `lock:` in a line; `None` if it tells of a lock that others can read beside, or of one that is waited for.
fn write_lock(line: &str) -> Option<Lock> {
    let mut words = line.split_whitespace();
    words.next().filter(|number| number.ends_with(':'))?;
    let kind = match words.next()? {
        "FLOCK" => "flock",
        "POSIX" => "POSIX",
        "OFDLCK" => "OFD",
        _ => return None,
    };
    let (_advisory, access) = (words.next()?, words.next()?);
    (access == "WRITE").then_some(Lock { kind })
}

/// The first write lock among the lines of /proc/PID/fdinfo/N: those that this very file holds.
#[must_use]
pub(super) fn of_file(fdinfo: &str) -> Option<Lock> {
    fdinfo
        .lines()
        .filter_map(|line| line.strip_prefix("lock:"))
        .find_map(write_lock)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_prints() {
        let lock = |kind| Some(Lock { kind });
        for (line, expected) in [
            ("1: FLOCK  ADVISORY  WRITE 4711 08:01:1234 0 EOF", lock("flock")),
            ("2: POSIX  ADVISORY  WRITE 12 00:2c:99 0 0", lock("POSIX")),
            ("3: OFDLCK ADVISORY  WRITE -1 00:2c:99 0 EOF", lock("OFD")),
            ("4: POSIX  ADVISORY  READ 12 00:2c:99 128 128", None),
            ("5: FLOCK  ADVISORY  READ 12 00:2c:99 0 EOF", None),
            ("5: -> FLOCK  ADVISORY  WRITE 13 00:2c:99 0 EOF", None),
            ("6: LEASE  ACTIVE    WRITE 12 00:2c:99 0 EOF", None),
            ("7: DELEG  ACTIVE    READ 12 00:2c:99 0 EOF", None),
            ("", None),
            ("8: FLOCK ADVISORY", None),
            ("FLOCK ADVISORY WRITE 1", None),
        ] {
            assert_eq!(write_lock(line), expected, "{line}");
        }
        let fdinfo = "pos:\t0\nflags:\t0100002\nmnt_id:\t29\nino:\t5\nlock:\t1: POSIX  ADVISORY  READ 9 00:1:5 0 0\n\
                      lock:\t2: POSIX  ADVISORY  WRITE 9 00:1:5 1 1\n";
        assert_eq!(of_file(fdinfo), lock("POSIX"));
        assert_eq!(of_file("pos:\t0\nflags:\t0100002\n"), None);
    }
}
