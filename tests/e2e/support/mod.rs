//! What the tests share: segue under test, a client that keeps it busy, and waiting for a state with a deadline.

pub mod client;
pub mod docker;
pub mod segue;
pub mod wait;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
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

/// A port that was free a moment ago, for programs that cannot choose one themselves.
pub fn free_port() -> u16 {
    let probe = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    probe.local_addr().unwrap().port()
}
