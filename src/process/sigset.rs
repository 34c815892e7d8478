//! ASKS the kernel about signals by number, 1 to 64: mask, dispositions, and the two real-time signals (32, 33) that
//! libc keeps to itself and refuses to name. Never decides what a signal means.
#![expect(
    unsafe_code,
    reason = "libc's wrappers refuse signals 32 and 33, and nix knows no real-time signals"
)]

use std::{mem::MaybeUninit, ptr};

/// A set of signals, as the kernel has it: signal N is bit N − 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SignalSet(pub(super) u64);

impl SignalSet {
    /// Every signal.
    pub const ALL: SignalSet = SignalSet(u64::MAX);
    /// No signal.
    pub const EMPTY: SignalSet = SignalSet(0);

    /// The set of these.
    #[must_use]
    pub fn of(signals: impl IntoIterator<Item = i32>) -> SignalSet {
        let mut set = SignalSet::EMPTY;
        signals.into_iter().for_each(|signal| set.insert(signal));
        set
    }

    /// Is it in?
    #[must_use]
    pub fn contains(self, signal: i32) -> bool {
        self.0 & bit(signal) != 0
    }

    /// Puts one in.
    pub fn insert(&mut self, signal: i32) {
        self.0 |= bit(signal);
    }

    /// Those of both.
    #[must_use]
    pub fn with(self, others: SignalSet) -> SignalSet {
        SignalSet(self.0 | others.0)
    }

    /// Those that both have.
    #[must_use]
    pub fn and(self, others: SignalSet) -> SignalSet {
        SignalSet(self.0 & others.0)
    }

    /// Those that are in, ascending.
    pub fn iter(self) -> impl Iterator<Item = i32> {
        (1..=64).filter(move |signal| self.contains(*signal))
    }
}

fn bit(signal: i32) -> u64 {
    u32::try_from(signal - 1)
        .ok()
        .and_then(|shift| 1_u64.checked_shl(shift))
        .unwrap_or(0)
}

/// Blocks everything that can be blocked; returns what was blocked before.
pub(crate) fn block_all() -> SignalSet {
    set_mask(SignalSet::ALL)
}

/// Sets the mask; returns the one before. Safe between fork and exec.
pub(super) fn set_mask(set: SignalSet) -> SignalSet {
    let mut before: u64 = 0;
    // SAFETY: both pointers are to live u64s, the size the kernel's sigset has; it cannot fail with these arguments.
    unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            &raw const set.0,
            &raw mut before,
            size_of::<u64>(),
        )
    };
    SignalSet(before)
}

/// The signals that are ignored now.
pub(super) fn ignored() -> SignalSet {
    let ignored = |signal: &i32| {
        let mut action = MaybeUninit::<libc::sigaction>::zeroed();
        // SAFETY: a null new action only asks; `action` is writable; libc refuses numbers that it does not like.
        let asked = unsafe { libc::sigaction(*signal, ptr::null(), action.as_mut_ptr()) };
        // SAFETY: zeroed bytes are a valid sigaction, and libc has written one if it returned 0.
        asked == 0 && unsafe { action.assume_init() }.sa_sigaction == libc::SIG_IGN
    };
    SignalSet::of((1..=64).filter(ignored))
}

/// Sets the disposition to `SIG_DFL` or `SIG_IGN`. Safe between fork and exec.
pub(super) fn set_disposition(signal: i32, disposition: libc::sighandler_t) {
    // SAFETY: neither disposition runs code of ours; signal(2) is async-signal-safe.
    unsafe { libc::signal(signal, disposition) };
}

#[cfg(test)]
mod tests {
    use super::SignalSet;

    #[test]
    fn bits_are_where_the_kernel_has_them() {
        assert_eq!(SignalSet::of([1, 2, 15, 64]).0, 1 | 2 | 1 << 14 | 1 << 63);
        assert_eq!(SignalSet::of([0, 65, -1]), SignalSet::EMPTY);
        assert_eq!(SignalSet::ALL.iter().count(), 64);
    }
}
