//! KNOWS the registers of x86-64: where a call has its number, arguments and result (syscall(2)). Pure.

use std::io;

/// The general registers, as ptrace(2) has them.
pub(super) type Raw = libc::user_regs_struct;

/// The general registers of a thread.
#[derive(Debug, Clone, Copy)]
#[repr(transparent)]
pub(super) struct Registers(Raw);

/// The length of the instruction that makes a call.
pub(super) const CALL_LENGTH: u64 = 2;

/// Is this `syscall`?
pub(super) fn is_call_instruction(word: u64) -> bool {
    word & 0xffff == 0x050f
}

impl Registers {
    /// Where the thread goes on.
    pub(super) fn instruction(&self) -> u64 {
        self.0.rip
    }

    /// What a call has returned.
    pub(super) fn result(&self) -> i64 {
        self.0.rax.cast_signed()
    }

    /// About to make a call by the instruction there.
    pub(super) fn calling(&self, at: u64, number: u64, [a, b, c, d, e, f]: [u64; 6]) -> Registers {
        Registers(Raw {
            rip: at,
            rax: number,
            // The thread is outside a call, so the kernel restarts none.
            orig_rax: u64::MAX,
            rdi: a,
            rsi: b,
            rdx: c,
            r10: d,
            r8: e,
            r9: f,
            ..self.0
        })
    }

    /// As they were, with this result of the call that was under way.
    pub(super) fn returning(&self, value: i64, to: u64) -> Registers {
        Registers(Raw {
            rip: to,
            rax: value.cast_unsigned(),
            orig_rax: u64::MAX,
            ..self.0
        })
    }
}

/// The number is in a register.
pub(super) fn set_call_number(_thread: libc::pid_t, _registers: &Registers) -> io::Result<()> {
    Ok(())
}
