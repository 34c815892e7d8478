//! READS what /proc/PID/status tells of a process or thread: its users, its capabilities, the signals that it catches.

use std::{fs::File, io::Read};

use super::sigset::SignalSet;

/// Longer than the kernel writes it, in bytes.
const LONGEST: u64 = 64 * 1024;

/// CAP_NET_BIND_SERVICE of capabilities(7): ports below the unprivileged ones.
pub const NET_BIND_SERVICE: u32 = 10;
/// CAP_SYS_PTRACE of capabilities(7): other processes may be looked into, as far as Yama lets anybody.
pub const SYS_PTRACE: u32 = 19;
/// CAP_SYS_ADMIN of capabilities(7): with it, a seccomp filter needs no `no_new_privs`.
pub const SYS_ADMIN: u32 = 21;

/// A part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Status {
    /// The user as which it opens files (the effective one, unless setfsuid(2) says otherwise).
    pub user: u32,
    /// The group as which it opens files.
    pub group: u32,
    /// The process that the thread belongs to.
    pub process: i32,
    /// The user, if it is one and the same in every respect (real, effective, saved).
    pub only_user: Option<u32>,
    /// The group, likewise.
    pub only_group: Option<u32>,
    /// How many seccomp filters it has; 0 where the kernel does not tell (before 5.9).
    pub filters: u32,
    /// Can it gain no privilege any more (`no_new_privs`)?
    pub sealed: bool,
    catches: SignalSet,
    capabilities: u64,
    /// Those that it may take into use.
    permitted: u64,
}

impl Status {
    /// Has the program a handler for this signal that tells something of it? Many runtimes install handlers of their own, those of
    /// SIGTERM among them, and end at once all the same unless the program says more.
    #[must_use]
    pub fn handles(&self, signal: i32) -> bool {
        self.catches.contains(signal) && !self.has_handlers_of_a_runtime()
    }

    /// They give themselves away by the faults that they catch: Go and Java all of them, Ruby and Node some. Rust's library catches
    /// two for the sake of its messages, and leaves all other signals to the program. Node catches none on machines where its engine
    /// has no use for them, but two signals that end it, and one that begins to debug.
    fn has_handlers_of_a_runtime(&self) -> bool {
        let standard = self.catches.and(SignalSet::of(1..32));
        let rust = SignalSet::of([libc::SIGBUS, libc::SIGSEGV]);
        let faults = standard.and(rust.with(SignalSet::of([libc::SIGILL, libc::SIGFPE])));
        if faults == SignalSet::EMPTY {
            standard == SignalSet::of([libc::SIGINT, libc::SIGUSR1, libc::SIGTERM])
        } else {
            faults != rust
        }
    }

    /// The capabilities that it may take into use.
    #[must_use]
    pub fn permitted(&self) -> u64 {
        self.permitted
    }

    /// Has it this capability?
    #[must_use]
    pub fn can(&self, capability: u32) -> bool {
        self.capabilities.checked_shr(capability).unwrap_or(0) & 1 == 1
    }
}

/// The status of a process or thread; `None` if it is gone.
#[must_use]
pub fn of(pid: i32) -> Option<Status> {
    parse(&text(pid)?)
}

/// What matters of a thread that is traced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OfTraced {
    /// The process that it belongs to.
    pub process: i32,
    /// That one's parent.
    pub parent: i32,
    /// Is it traced?
    pub is_traced: bool,
    /// Is it a zombie?
    pub is_dead: bool,
}

/// The same of this thread; `None` if it is gone.
#[must_use]
pub fn of_traced(thread: i32) -> Option<OfTraced> {
    let text = text(thread)?;
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    Some(OfTraced {
        process: field("Tgid:")?.parse().ok()?,
        parent: field("PPid:")?.parse().ok()?,
        is_traced: field("TracerPid:") != Some("0"),
        is_dead: field("State:")?.starts_with(['Z', 'X']),
    })
}

/// The numbers of a process, in this PID namespace and in those below it; the number itself if it is gone.
#[must_use]
pub fn numbers(pid: i32) -> Vec<i32> {
    let text = text(pid).unwrap_or_default();
    let numbers = text
        .lines()
        .find_map(|line| line.strip_prefix("NSpid:"))
        .unwrap_or_default();
    let numbers = numbers.split_whitespace().filter_map(|number| number.parse().ok());
    [pid].into_iter().chain(numbers).collect()
}

/// As the kernel writes it, in two reads: programs wait in their calls while this is looked at.
fn text(pid: i32) -> Option<String> {
    let file = File::open(format!("/proc/{pid}/status")).ok()?;
    let mut bytes = Vec::with_capacity(4096);
    file.take(LONGEST).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

fn parse(text: &str) -> Option<Status> {
    let mut status = Status::default();
    let mut missing = 5;
    for (name, value) in text.lines().filter_map(|line| line.split_once(':')) {
        let value = value.trim();
        let mask = || u64::from_str_radix(value, 16);
        match name {
            "Uid" => (status.user, status.only_user) = ids(value)?,
            "Gid" => (status.group, status.only_group) = ids(value)?,
            "Tgid" => status.process = value.parse().ok()?,
            "SigCgt" => status.catches = SignalSet(mask().ok()?),
            "CapEff" => status.capabilities = mask().ok()?,
            "CapPrm" => {
                status.permitted = mask().unwrap_or(0);
                continue;
            }
            "Seccomp_filters" => {
                status.filters = value.parse().unwrap_or(0);
                continue;
            }
            "NoNewPrivs" => {
                status.sealed = value == "1";
                continue;
            }
            _ => continue,
        }
        missing -= 1;
    }
    (missing == 0).then_some(status)
}

/// Real, effective, saved, and that of the file system: the last, and the one that all of the first three are.
fn ids(value: &str) -> Option<(u32, Option<u32>)> {
    let numbers: Vec<u32> = value.split_ascii_whitespace().map_while(|it| it.parse().ok()).collect();
    let (first, last) = (*numbers.first()?, *numbers.last()?);
    let same = numbers.iter().take(3).all(|it| *it == first);
    Some((last, same.then_some(first)))
}

#[cfg(test)]
mod tests {
    use super::{NET_BIND_SERVICE, SYS_ADMIN, of, parse};

    #[test]
    fn a_status_of_the_kernel_s() {
        let text = "Name:\tx\nTgid:\t12\nPid:\t12\nUid:\t0\t1000\t1000\t1001\nGid:\t0\t5\t5\t6\nSigCgt:\t0000000000004002\n\
            CapEff:\t0000000000000400\n";
        let status = parse(text).unwrap();
        assert_eq!((status.user, status.group, status.process), (1001, 6, 12));
        assert!(status.handles(15) && status.handles(2) && !status.handles(1));
        assert!(status.can(NET_BIND_SERVICE) && !status.can(SYS_ADMIN) && !status.can(99));
        assert_eq!((status.only_user, status.only_group), (None, None));
        assert_eq!(parse("Uid:\t0"), None);
    }

    /// Masks as servers had them in Go, Java, Ruby and Node, and as Node's would be without WebAssembly; of nginx and hyper.
    #[test]
    fn runtimes_that_catch_everything_handle_nothing() {
        let with = |mask: &str| {
            let text = format!("Tgid:\t1\nUid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\nSigCgt:\t{mask}\nCapEff:\t0\n");
            parse(&text).unwrap()
        };
        for runtime in [
            "fffffffd7fc1fefd",
            "2000000101005ccd",
            "0000000042017e4f",
            "0000000100004602",
            "0000000100004202",
        ] {
            assert!(!with(runtime).handles(15), "{runtime}");
        }
        let nginx = with("0000000198016a07");
        assert!(nginx.handles(3) && nginx.handles(15));
        assert!(with("0000000000004440").handles(15) && !with("0000000000000440").handles(15));
    }

    #[test]
    fn this_process() {
        let own = i32::try_from(std::process::id()).unwrap();
        let status = of(own).unwrap();
        assert_eq!((status.user, status.process), (nix::unistd::geteuid().as_raw(), own));
    }
}
