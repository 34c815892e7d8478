//! What the tests share: segue under test, a client that keeps it busy, and waiting for a state with a deadline.

pub mod client;
pub mod command;
pub mod datagrams;
pub mod docker;
pub mod segue;
pub mod servers;
pub mod traffic;
pub mod wait;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

/// A directory of the test's own, gone with the test.
pub fn directory() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("segue-test-").tempdir().unwrap()
}

/// The example server, which was built beside the tests.
pub fn hello() -> PathBuf {
    let binary = Path::new(env!("CARGO_BIN_EXE_segue"));
    let hello = binary.parent().unwrap().join("examples/hello");
    assert!(hello.exists(), "{} is missing: cargo build --examples", hello.display());
    hello
}

/// Writes an executable file.
pub fn script(path: &Path, text: &str) -> PathBuf {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    path.to_owned()
}

/// `launch` of the conformance tests, which refuses calls as the profiles of containers do.
pub fn refusing() -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/programs/launch.c");
    let to = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("refusing-{}", std::process::id()));
    let compiled = Command::new("cc").arg("-o").arg(&to).arg(source).status().unwrap();
    assert!(compiled.success());
    to
}

/// A program of `tests/e2e/programs`.
pub fn program(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/e2e/programs")
        .join(name)
}

/// A port of this machine's own.
pub fn loopback(port: u16) -> std::net::SocketAddr {
    std::net::SocketAddr::from(([127, 0, 0, 1], port))
}

/// A port for programs that cannot choose one themselves: below those that the kernel gives to clients, free now, and no
/// other test's until this process ends.
pub fn free_port() -> u16 {
    let places = std::env::temp_dir().join("segue-test-ports");
    fs::create_dir_all(&places).unwrap();
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap();
    let end: u16 = range.split_whitespace().next().unwrap().parse().unwrap();
    let first = 10_240;
    assert!(end > first + 1_000, "the kernel gives clients any port: {range}");
    let count = u32::from(end - first);
    for attempt in 0..count {
        let port = first + u16::try_from((std::process::id().wrapping_mul(37) + attempt) % count).unwrap();
        let file = fs::File::create(places.join(port.to_string())).unwrap();
        let Ok(held) = nix::fcntl::Flock::lock(file, nix::fcntl::FlockArg::LockExclusiveNonblock) else {
            continue;
        };
        let free = |address: &str| {
            std::net::TcpListener::bind((address, port)).is_ok() && std::net::UdpSocket::bind((address, port)).is_ok()
        };
        if free("127.0.0.1") && free("0.0.0.0") && free("::") {
            // Held until the process ends.
            std::mem::forget(held);
            return port;
        }
    }
    panic!("no port is free")
}
