//! What holds for every datagram that comes to a NOTIFY_SOCKET.

use std::{
    future::poll_fn,
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixDatagram},
    },
};

use segue::readiness::notify::{Address, Notice, NotifySocket};

/// The longest that counts.
const LONGEST: usize = 4096;

/// Sent behind each: what comes first tells whether there was anything to be heard.
const NEXT: &[u8] = b"NEXT=1";

/// A datagram is heard whole or not at all, and says that the program is ready in a line of its own or not at all.
pub fn check(bytes: &[u8]) {
    if let Some(heard) = hear(bytes) {
        assert!(
            bytes.len() <= LONGEST,
            "a part of {} bytes was taken for all",
            bytes.len()
        );
        assert_eq!(heard.text, String::from_utf8_lossy(bytes));
        let is_ready = |line: &[u8]| [&b"READY=1"[..], b"READY=1\n", b"READY=1\r\n"].contains(&line);
        let mut lines = bytes.split_inclusive(|byte| *byte == b'\n');
        assert_eq!(heard.is_ready(), lines.any(is_ready), "{:?}", heard.text);
    } else {
        assert!(bytes.len() > LONGEST, "{} bytes were not heard", bytes.len());
    }
}

fn hear(bytes: &[u8]) -> Option<Notice> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .unwrap();
    runtime.block_on(async {
        let address = Address::open().unwrap();
        let name = SocketAddr::from_abstract_name(address.name.strip_prefix('@').unwrap()).unwrap();
        let mut socket = NotifySocket::hear(address).unwrap();
        let sender = UnixDatagram::unbound().unwrap();
        for datagram in [bytes, NEXT] {
            sender.send_to_addr(datagram, &name).unwrap();
        }
        let user = nix::unistd::geteuid().as_raw();
        let first = poll_fn(|context| socket.poll_next(context, |it| it == user)).await;
        assert_eq!(u32::try_from(first.pid).unwrap(), std::process::id());
        (first.text.as_bytes() != NEXT || bytes == NEXT).then_some(first)
    })
}
