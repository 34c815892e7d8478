//! KNOWS the registers of aarch64: where a call has its number, arguments and result (syscall(2)).
#![expect(unsafe_code, reason = "ptrace, for the number of the call that is under way")]

use std::io;

/// `struct user_pt_regs` of asm/ptrace.h.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(super) struct Registers {
    general: [u64; 31],
    sp: u64,
    pc: u64,
    pstate: u64,
}

/// The length of the instruction that makes a call.
pub(super) const CALL_LENGTH: u64 = 4;

/// Is this `svc #0`?
pub(super) fn is_call_instruction(word: u64) -> bool {
    word & 0xffff_ffff == 0xd400_0001
}

impl Registers {
    /// Where the thread goes on.
    pub(super) fn instruction(&self) -> u64 {
        self.pc
    }

    /// What a call has returned.
    pub(super) fn result(&self) -> i64 {
        let [result, ..] = self.general;
        result.cast_signed()
    }

    /// About to make a call by the instruction there.
    pub(super) fn calling(&self, at: u64, number: u64, [a, b, c, d, e, f]: [u64; 6]) -> Registers {
        let mut registers = Registers { pc: at, ..*self };
        let [x0, x1, x2, x3, x4, x5, _, _, x8, ..] = &mut registers.general;
        [*x0, *x1, *x2, *x3, *x4, *x5, *x8] = [a, b, c, d, e, f, number];
        registers
    }

    /// As they were, with this result of the call that was under way.
    pub(super) fn returning(&self, value: i64, to: u64) -> Registers {
        let mut registers = Registers { pc: to, ..*self };
        let [x0, ..] = &mut registers.general;
        *x0 = value.cast_unsigned();
        registers
    }
}

/// Marks the thread as outside a call, so that the kernel restarts none.
pub(super) fn set_call_number(thread: libc::pid_t, _registers: &Registers) -> io::Result<()> {
    /// `NT_ARM_SYSTEM_CALL` of linux/elf.h.
    const SYSTEM_CALL: usize = 0x404;
    let mut number: i32 = -1;
    let mut part = libc::iovec {
        iov_base: (&raw mut number).cast(),
        iov_len: size_of::<i32>(),
    };
    // SAFETY: the part names four readable bytes that live until the call returns.
    let returned = unsafe { libc::ptrace(libc::PTRACE_SETREGSET, thread, SYSTEM_CALL, &raw mut part) };
    if returned == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
