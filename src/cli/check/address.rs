//! Tries whether an address can be bound, and says why not. A TCP address is bound and closed, never listened on; a socket
//! file is looked at, never made.

use std::fs;
use std::net::{Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrStorage, bind, setsockopt, socket, sockopt};
use nix::unistd::{AccessFlags, faccessat};

use crate::settings::value::Address;

/// Whether segue could bind this address now.
pub(super) fn bindable(address: &Address) -> Result<(), String> {
    match address {
        Address::Tcp(address) => tcp(*address, false),
        Address::AnyInterface(port) => either(*port, Ipv6Addr::UNSPECIFIED.into(), [0, 0, 0, 0].into(), false),
        Address::Localhost(port) => either(*port, [127, 0, 0, 1].into(), Ipv6Addr::LOCALHOST.into(), true),
        Address::Unix(path) => unix(path),
    }
    .map_err(|error| explain(error, address.port()))
}

/// Binds both loopbacks, or one dual-stack socket; a host without IPv6 does with IPv4.
fn either(port: u16, first: std::net::IpAddr, second: std::net::IpAddr, both: bool) -> Result<(), Errno> {
    let missing = |error: &Errno| matches!(error, Errno::EAFNOSUPPORT | Errno::EADDRNOTAVAIL);
    match (tcp((first, port).into(), !both), both) {
        (Ok(()), true) => tcp((second, port).into(), false).or_else(|error| missing(&error).then_some(()).ok_or(error)),
        (Err(error), false) if missing(&error) => tcp((second, port).into(), false),
        (result, _) => result,
    }
}

fn tcp(address: SocketAddr, dual_stack: bool) -> Result<(), Errno> {
    let family = if address.is_ipv4() {
        AddressFamily::Inet
    } else {
        AddressFamily::Inet6
    };
    let socket = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    // As segue binds: TIME_WAIT is no hindrance, a listener is.
    setsockopt(&socket, sockopt::ReuseAddr, &true)?;
    if address.is_ipv6() {
        setsockopt(&socket, sockopt::Ipv6V6Only, &!dual_stack)?;
    }
    bind(socket.as_raw_fd(), &SockaddrStorage::from(address))
}

fn unix(path: &Path) -> Result<(), Errno> {
    match fs::symlink_metadata(path) {
        Ok(file) if !file.file_type().is_socket() => Err(Errno::EEXIST),
        Ok(_) if UnixStream::connect(path).is_ok() => Err(Errno::EADDRINUSE),
        Ok(_) | Err(_) => {
            let directory = path.parent().unwrap_or(path);
            faccessat(
                AT_FDCWD,
                directory,
                AccessFlags::W_OK | AccessFlags::X_OK,
                AtFlags::AT_EACCESS,
            )
        }
    }
}

fn explain(error: Errno, port: Option<u16>) -> String {
    match (error, port) {
        (Errno::EADDRINUSE, _) => "in use, something else listens there".to_owned(),
        (Errno::EADDRNOTAVAIL, _) => "no address of this machine, give one that it has, or :PORT for all".to_owned(),
        (Errno::EAFNOSUPPORT, _) => "this machine has no IPv6, give an IPv4 address".to_owned(),
        (Errno::EACCES, Some(port)) => format!(
            "port {port} is privileged, give one from 1024 up, the capability NET_BIND_SERVICE, \
             or the sysctl net.ipv4.ip_unprivileged_port_start"
        ),
        (Errno::EACCES, None) => "its directory cannot be written".to_owned(),
        (Errno::ENOENT | Errno::ENOTDIR, None) => "its directory does not exist".to_owned(),
        (Errno::EEXIST, None) => "a file that is no socket is there".to_owned(),
        (error, _) => error.desc().to_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::unix::net::UnixListener;

    use super::*;

    fn why(text: &str) -> String {
        bindable(&text.parse().unwrap()).unwrap_err()
    }

    /// Others on the machine take ports, too, and their connections keep them for a while: of several one is enough.
    #[test]
    fn a_free_port_is_free_and_stays_free() {
        let free_and_stays_so = |port: u16| {
            [Address::AnyInterface(port), Address::Localhost(port)]
                .iter()
                .all(|address| bindable(address) == Ok(()))
                && TcpListener::bind(("127.0.0.1", port)).is_ok()
        };
        assert!((20_000..20_020).any(free_and_stays_so));
    }

    #[test]
    fn a_port_that_somebody_listens_on_is_in_use() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        for text in [
            format!("127.0.0.1:{port}"),
            format!("localhost:{port}"),
            format!(":{port}"),
        ] {
            assert!(why(&text).starts_with("in use"), "{text}");
        }
    }

    #[test]
    fn another_machines_address_is_not_ours() {
        assert!(why("192.0.2.1:80").contains("no address of this machine"));
    }

    #[test]
    fn a_socket_file_needs_a_place() {
        let directory = tempfile::tempdir().unwrap();
        let text = |name: &str| format!("unix:{}/{name}", directory.path().display());
        fs::write(directory.path().join("file"), "").unwrap();
        let listener = UnixListener::bind(directory.path().join("live")).unwrap();
        assert_eq!(bindable(&text("new").parse().unwrap()), Ok(()));
        assert!(why(&text("file")).contains("no socket"));
        assert!(why(&text("live")).contains("in use"));
        assert!(why(&text("missing/new")).contains("does not exist"));
        drop(listener);
        assert_eq!(
            bindable(&text("live").parse().unwrap()),
            Ok(()),
            "a stale socket is in nobody's way"
        );
    }
}
