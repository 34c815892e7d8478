//! NUMBERS of the system calls that are trapped, for each machine.

/// Calls of one machine: the audit architecture and the numbers (from the kernel's syscall tables).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Calls {
    /// `AUDIT_ARCH_…` of linux/audit.h.
    pub architecture: u32,
    /// bind(2).
    pub bind: u32,
    /// listen(2).
    pub listen: u32,
    /// setsockopt(2).
    pub setsockopt: u32,
    /// landlock_restrict_self(2).
    pub landlock_restrict_self: u32,
    /// connect(2).
    pub connect: u32,
    /// unlinkat(2).
    pub unlinkat: u32,
    /// renameat(2).
    pub renameat: u32,
    /// renameat2(2).
    pub renameat2: u32,
    /// unlink(2), which newer machines do without.
    pub unlink: Option<u32>,
    /// rename(2), likewise.
    pub rename: Option<u32>,
}

/// x86-64. The x32 calls have a bit set in their numbers and match none of these.
pub const X86_64: Calls = Calls {
    architecture: 0xc000_003e,
    bind: 49,
    listen: 50,
    setsockopt: 54,
    landlock_restrict_self: 446,
    connect: 42,
    unlinkat: 263,
    renameat: 264,
    renameat2: 316,
    unlink: Some(87),
    rename: Some(82),
};
/// aarch64.
pub const AARCH64: Calls = Calls {
    architecture: 0xc000_00b7,
    bind: 200,
    listen: 201,
    setsockopt: 208,
    landlock_restrict_self: 446,
    connect: 203,
    unlinkat: 35,
    renameat: 38,
    renameat2: 276,
    unlink: None,
    rename: None,
};

impl Calls {
    /// Those that name a path, and are told by their numbers alone.
    pub fn of_paths(&self) -> impl Iterator<Item = u32> {
        let always = [self.unlinkat, self.renameat, self.renameat2].map(Some);
        always.into_iter().chain([self.unlink, self.rename]).flatten()
    }
}

/// The machine that this was built for; `None` = hand-over by trapping was never made for it.
pub const NATIVE: Option<Calls> = if cfg!(target_arch = "x86_64") {
    Some(X86_64)
} else if cfg!(target_arch = "aarch64") {
    Some(AARCH64)
} else {
    None
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_machine_that_this_was_built_for() {
        let native = NATIVE.unwrap();
        let number = |call: libc::c_long| u32::try_from(call).unwrap();
        assert_eq!(native.bind, number(libc::SYS_bind));
        assert_eq!(native.listen, number(libc::SYS_listen));
        assert_eq!(native.setsockopt, number(libc::SYS_setsockopt));
        assert_eq!(native.landlock_restrict_self, number(libc::SYS_landlock_restrict_self));
        assert_eq!(native.connect, number(libc::SYS_connect));
        assert_eq!(native.unlinkat, number(libc::SYS_unlinkat));
        assert_eq!(native.renameat, number(libc::SYS_renameat));
        assert_eq!(native.renameat2, number(libc::SYS_renameat2));
        #[cfg(target_arch = "x86_64")]
        assert_eq!(
            [native.unlink, native.rename],
            [libc::SYS_unlink, libc::SYS_rename].map(|it| Some(number(it)))
        );
    }
}
