//! WRITES lines to stderr without ever waiting: a log pipe that nobody empties must not stop PID 1.
//!
//! stderr is the program's too, so O_NONBLOCK must not be set on it. What cannot be written at once is dropped and
//! counted, and the count is written as soon as there is room.
#![expect(unsafe_code, reason = "pwritev2 with RWF_NOWAIT, which nix has no call for")]

use std::{
    io::{self, Write},
    os::fd::{AsRawFd, BorrowedFd},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        socket::{MsgFlags, send},
        stat::{SFlag, fstat},
    },
};

use crate::process::files;

static LOST: AtomicU64 = AtomicU64::new(0);
/// Was the last line cut short? Then the next begins on a line of its own.
static CUT: AtomicBool = AtomicBool::new(false);

/// A writer of whole lines, each by one `write`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Stderr;

impl Write for Stderr {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let stream = files::stream(2);
        let lost = LOST.load(Ordering::Relaxed);
        if lost > 0 {
            let cut = if CUT.load(Ordering::Relaxed) { "\n" } else { "" };
            let notice = format!(
                "{cut}{{\"level\":\"WARN\",\"message\":\"log lines lost, stderr was full\",\"lines\":{lost}}}\n"
            );
            if write_now(stream, notice.as_bytes()) == Ok(notice.len()) {
                CUT.store(false, Ordering::Relaxed);
                LOST.fetch_sub(lost, Ordering::Relaxed);
            }
        }
        match write_now(stream, line) {
            Ok(written) if written < line.len() => {
                CUT.store(written > 0, Ordering::Relaxed);
                LOST.fetch_add(1, Ordering::Relaxed);
            }
            Ok(_) => {}
            // A closed or broken stderr has no reader who could miss a line.
            Err(_) => {}
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes what can be written now; how much that was.
fn write_now(stream: BorrowedFd<'_>, bytes: &[u8]) -> Result<usize, Errno> {
    let kind = SFlag::from_bits_truncate(fstat(stream)?.st_mode) & SFlag::S_IFMT;
    let mut written = 0;
    while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
        let wrote = match kind {
            SFlag::S_IFIFO => write_pipe(stream, rest),
            SFlag::S_IFSOCK => send(
                stream.as_raw_fd(),
                rest,
                MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL,
            ),
            SFlag::S_IFCHR => write_if_ready(stream, rest),
            _ => nix::unistd::write(stream, rest),
        };
        match wrote {
            Ok(0) | Err(Errno::EAGAIN) => break,
            Ok(count) => written += count,
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(written)
}

/// RWF_NOWAIT on a pipe needs Linux 6.4. Before that, room for a page is asked for first; another writer may take it in
/// between, which is a wait of one write of the program's.
fn write_pipe(stream: BorrowedFd<'_>, bytes: &[u8]) -> Result<usize, Errno> {
    let part = libc::iovec {
        iov_base: bytes.as_ptr().cast_mut().cast(),
        iov_len: bytes.len(),
    };
    // SAFETY: one part of readable bytes, which a write does not change.
    let written = unsafe { libc::pwritev2(stream.as_raw_fd(), &raw const part, 1, -1, libc::RWF_NOWAIT) };
    match Errno::result(written) {
        Ok(written) => usize::try_from(written).map_err(|_| Errno::EIO),
        Err(Errno::EOPNOTSUPP | Errno::ENOSYS | Errno::EINVAL | Errno::EPERM) => write_if_ready(stream, bytes),
        Err(error) => Err(error),
    }
}

fn write_if_ready(stream: BorrowedFd<'_>, bytes: &[u8]) -> Result<usize, Errno> {
    let mut files = [PollFd::new(stream, PollFlags::POLLOUT)];
    if poll(&mut files, PollTimeout::ZERO)? == 0 {
        return Err(Errno::EAGAIN);
    }
    let page = bytes.len().min(libc::PIPE_BUF);
    nix::unistd::write(stream, bytes.get(..page).unwrap_or(bytes))
}
