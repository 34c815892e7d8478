//! LAYS OUT a message with a file (`SCM_RIGHTS`, unix(7)) for a page of the program's memory, and sends and receives one on
//! our side. The layout is pure: an address in, bytes out.

use std::{
    io,
    io::{IoSlice, IoSliceMut},
    os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd},
};

use nix::{
    cmsg_space,
    sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg},
};

use crate::process::files;

/// A `struct msghdr` with one byte of data and room for one file, as the kernel reads and writes it.
#[derive(Debug)]
pub(super) struct Message {
    bytes: [u8; LENGTH],
    control: u64,
}

/// Where the parts are: `msghdr` (56 bytes), `iovec` (16), the byte (8 with padding), `cmsghdr` (16) and the file (8 with
/// padding). Both machines have 64-bit pointers and little ends.
const IOVEC: usize = 56;
const BYTE: usize = IOVEC + 16;
const CONTROL: usize = BYTE + 8;
const FILE: usize = CONTROL + 16;
const LENGTH: usize = FILE + 8;
const CONTROL_LENGTH: u64 = (LENGTH - CONTROL) as u64;

impl Message {
    /// To be sent, with the file of this number.
    pub(super) fn with_file(page: u64, file: RawFd) -> Message {
        let mut message = Message::with_room(page);
        // The length of a control message does not count the padding.
        message.put(CONTROL, CONTROL_LENGTH - 4);
        let kind = u64::from(libc::SOL_SOCKET.unsigned_abs()) | u64::from(libc::SCM_RIGHTS.unsigned_abs()) << 32;
        message.put(CONTROL + 8, kind);
        message.put(FILE, file.unsigned_abs().into());
        message
    }

    /// To be received into.
    pub(super) fn with_room(page: u64) -> Message {
        let at = |offset: usize| page + offset as u64;
        let mut message = Message {
            bytes: [0; LENGTH],
            control: at(CONTROL),
        };
        // msg_name, msg_namelen; msg_iov, msg_iovlen; msg_control, msg_controllen; msg_flags.
        for (offset, word) in [(16, at(IOVEC)), (24, 1), (32, at(CONTROL)), (40, CONTROL_LENGTH)] {
            message.put(offset, word);
        }
        message.put(IOVEC, at(BYTE));
        message.put(IOVEC + 8, 1);
        message
    }

    fn put(&mut self, offset: usize, word: u64) {
        let place = self.bytes.get_mut(offset..offset + 8).unwrap_or_default();
        place
            .iter_mut()
            .zip(word.to_ne_bytes())
            .for_each(|(to, from)| *to = from);
    }

    /// For the page.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Where the number of the received file is.
    pub(super) fn file_at(&self) -> u64 {
        self.control + 16
    }
}

/// As many as the kernel lets a message have (SCM_MAX_FD): where there is not room for all, some would be open, and nobody would know which.
const MOST_FILES: usize = 253;

/// The file that has come, whatever the program has sent: one, and no more.
///
/// # Errors
///
/// None has come.
pub fn receive(socket: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let mut byte = [0];
    let mut parts = [IoSliceMut::new(&mut byte)];
    let mut space = cmsg_space!([RawFd; MOST_FILES]);
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
    let message = recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut space), flags)?;
    let mut first = None;
    for control in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(received) = control {
            // Each is taken, so that none stays open.
            for file in received {
                first.get_or_insert(files::made(file));
            }
        }
    }
    first.ok_or_else(|| io::Error::from_raw_os_error(libc::EMFILE))
}

/// Sends a file.
pub(super) fn send(socket: &OwnedFd, file: BorrowedFd<'_>) -> io::Result<()> {
    let rights = [file.as_raw_fd()];
    let control = [ControlMessage::ScmRights(&rights)];
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    sendmsg::<()>(socket.as_raw_fd(), &[IoSlice::new(&[0])], &control, flags, None)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The layout is the one that libc has for this machine.
    #[test]
    #[expect(unsafe_code, reason = "the kernel is given the bytes as a program would have them")]
    fn the_kernel_takes_it_for_a_message() {
        let (ours, theirs) = std::os::unix::net::UnixDatagram::pair().unwrap();
        let file = std::fs::File::open("/dev/null").unwrap();
        let mut page = vec![0_u8; 4096];
        let message = Message::with_file(page.as_ptr() as u64, file.as_raw_fd());
        page[..LENGTH].copy_from_slice(message.bytes());
        // SAFETY: the page holds a msghdr whose pointers lead into the page.
        let sent = unsafe { libc::sendmsg(theirs.as_raw_fd(), page.as_ptr().cast(), 0) };
        assert_eq!(sent, 1, "{}", io::Error::last_os_error());
        let received = receive(std::os::fd::AsFd::as_fd(&ours)).unwrap();
        let same = |file: RawFd| std::fs::metadata(format!("/proc/self/fd/{file}")).unwrap();
        use std::os::unix::fs::MetadataExt;
        assert_eq!(same(received.as_raw_fd()).rdev(), same(file.as_raw_fd()).rdev());

        send(&OwnedFd::from(ours), std::os::fd::AsFd::as_fd(&file)).unwrap();
        let message = Message::with_room(page.as_ptr() as u64);
        page[..LENGTH].copy_from_slice(message.bytes());
        // SAFETY: as above, and all of it is writable.
        let got = unsafe { libc::recvmsg(theirs.as_raw_fd(), page.as_mut_ptr().cast(), 0) };
        assert_eq!(got, 1);
        let offset = usize::try_from(message.file_at() - page.as_ptr() as u64).unwrap();
        let number = i32::from_ne_bytes(page[offset..offset + 4].try_into().unwrap());
        let received = files::made(number);
        assert_eq!(same(received.as_raw_fd()).rdev(), same(file.as_raw_fd()).rdev());
    }
}
