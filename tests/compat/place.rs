//! What one run of a server has for itself: ports, a directory, and an upstream to forward to.

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{support, table::Row, upstream::Upstream};

/// Where the servers from PyPI are.
pub fn venv() -> PathBuf {
    if let Some(given) = std::env::var_os("TESTS_COMPAT_VENV") {
        return PathBuf::from(given);
    }
    let home = std::env::var_os("HOME").unwrap_or_else(|| "/root".into());
    let cache = std::env::var_os("XDG_CACHE_HOME").map_or_else(|| Path::new(&home).join(".cache"), PathBuf::from);
    cache.join("segue-compat/venv")
}

/// Programs of the rows: applications for the servers that need one.
pub fn programs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compat/programs")
}

pub struct Place {
    directory: tempfile::TempDir,
    ports: [u16; 3],
    upstream: Upstream,
}

impl Place {
    pub fn new() -> Place {
        Place {
            directory: support::directory(),
            ports: std::array::from_fn(|_| support::free_port()),
            upstream: Upstream::start(),
        }
    }

    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Where the server is to answer.
    pub fn address(&self) -> SocketAddr {
        support::loopback(self.ports[0])
    }

    /// A text of a row, for this run.
    pub fn fill(&self, text: &str) -> String {
        let [port, port2, port3] = self.ports.map(|port| port.to_string());
        text.replace("{port}", &port)
            .replace("{port2}", &port2)
            .replace("{port3}", &port3)
            .replace("{upstream}", &self.upstream.port().to_string())
            .replace("{dir}", &self.directory.path().display().to_string())
            .replace("{venv}", &venv().display().to_string())
    }

    /// Puts there what the row needs; it may be read by a server that changes its user.
    pub fn prepare(&self, row: &Row) {
        fs::set_permissions(self.directory(), fs::Permissions::from_mode(0o755)).unwrap();
        for entry in fs::read_dir(programs()).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), self.directory().join(entry.file_name())).unwrap();
        }
        for (name, content) in row.files {
            fs::write(self.directory().join(name), self.fill(content) + "\n").unwrap();
        }
        if !row.prepare.is_empty() {
            let mut shell = Command::new("sh");
            shell
                .args(["-euc", &self.fill(row.prepare)])
                .current_dir(self.directory());
            let output = shell.output().unwrap();
            assert!(output.status.success(), "{}: {output:?}", row.prepare);
        }
    }
}
