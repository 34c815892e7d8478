//! What holds for every message that comes from a program that was made to pass its socket.

use std::{
    fs::{self, File},
    io::IoSlice,
    os::{
        fd::{AsFd, AsRawFd},
        unix::net::UnixStream,
    },
};

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use segue::handover::trapped::tracer::message;

/// Other threads of the program may write to that socket, too: a message gives one file if it brings any, none of the others stays open,
/// and nothing waits.
pub fn check(bytes: &[u8]) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let (first, rest) = bytes.split_first().unwrap_or((&0, &[]));
    let (count, close) = (usize::from(first & 7), first & 8 != 0);
    let files: Vec<File> = (0..count).map(|_| File::open("/dev/null").unwrap()).collect();
    let numbers: Vec<_> = files.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&numbers)];
    let control = if numbers.is_empty() { &[][..] } else { &rights[..] };
    let rest = &rest[..rest.len().min(4096)];
    if !rest.is_empty() {
        sendmsg::<()>(
            theirs.as_raw_fd(),
            &[IoSlice::new(rest)],
            control,
            MsgFlags::empty(),
            None,
        )
        .unwrap();
    }
    let before = open();
    let theirs = (!close).then_some(theirs);
    let received = message::receive(ours.as_fd());
    let comes = count > 0 && !rest.is_empty();
    assert_eq!(received.is_ok(), comes, "{count} files with {} bytes", rest.len());
    let null = |file: &dyn AsRawFd| fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).unwrap();
    if let Ok(file) = &received {
        assert_eq!(null(file).to_str(), Some("/dev/null"));
    }
    drop(received);
    assert_eq!(open(), before - usize::from(theirs.is_none()), "files are left open");
}

/// How many files are open. (No other thread of the test opens any meanwhile.)
fn open() -> usize {
    let is_ours = |number: &i32| nix::fcntl::fcntl(number_of(*number), nix::fcntl::FcntlArg::F_GETFD).is_ok();
    (0..256).filter(is_ours).count()
}

fn number_of(number: i32) -> std::os::fd::BorrowedFd<'static> {
    // SAFETY: F_GETFD has no effect, and tells by EBADF that the number is none.
    #[expect(unsafe_code, reason = "a number is looked at, open or not")]
    unsafe {
        std::os::fd::BorrowedFd::borrow_raw(number)
    }
}
