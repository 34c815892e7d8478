//! SETS attributes of a process between fork and exec: limits, umask, priority, OOM score. Segue's own stay as they are.
#![expect(unsafe_code, reason = "what is allowed between fork and exec are system calls")]

/// An attribute, and the setting that asks for it.
#[derive(Debug, Clone)]
pub struct Attribute {
    /// The setting's name.
    pub setting: &'static str,
    /// What is changed.
    pub change: Change,
}

/// What is changed.
#[derive(Debug, Clone)]
pub enum Change {
    /// A limit of setrlimit(2): which one, soft, hard.
    Limit(u32, u64, u64),
    /// Permissions that new files do not get.
    Umask(u32),
    /// The priority of setpriority(2).
    Nice(i32),
    /// oom_score_adj of proc(5), as text.
    OomScore(String),
}

impl Attribute {
    /// What permits it to root without all capabilities, and to others.
    #[must_use]
    pub fn privilege(&self) -> &'static str {
        match self.change {
            Change::Limit(..) => "; to raise a hard limit takes the capability SYS_RESOURCE",
            Change::Nice(_) => "; a value below the present one takes the capability SYS_NICE",
            Change::OomScore(_) => "; a value below the present one takes the capability SYS_RESOURCE",
            Change::Umask(_) => "",
        }
    }
}

impl Change {
    /// In the child; errno tells why it failed.
    pub(super) fn apply(&self) -> bool {
        match self {
            Change::Limit(resource, rlim_cur, rlim_max) => {
                let (rlim_cur, rlim_max) = (*rlim_cur, *rlim_max);
                let limit = libc::rlimit { rlim_cur, rlim_max };
                // SAFETY: `limit` lives until the call returns.
                unsafe { libc::setrlimit(*resource as _, &raw const limit) == 0 }
            }
            Change::Umask(mask) => {
                // SAFETY: numbers only.
                unsafe { libc::umask(*mask as libc::mode_t) };
                true
            }
            // SAFETY: numbers only.
            Change::Nice(nice) => unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, *nice) == 0 },
            Change::OomScore(score) => write_oom_score(score),
        }
    }
}

/// Of this process.
pub(super) fn write_oom_score(score: &str) -> bool {
    // SAFETY: a C string constant.
    let file = unsafe { libc::open(c"/proc/self/oom_score_adj".as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC) };
    if file < 0 {
        return false;
    }
    // SAFETY: as many readable bytes as are said, and the file that was opened above.
    let written = unsafe { libc::write(file, score.as_ptr().cast(), score.len()) };
    // SAFETY: as above; it is closed once, and leaves the errno of a failed write as it is.
    written >= 0 && unsafe { libc::close(file) } == 0
}
