//! Real servers, unmodified, that bind their own sockets: what transparent hand-over is for.

use std::{fs, path::Path};

use super::{hello, program};

/// Is this program here? A run that must prove everything fails without it.
pub fn is_installed(program: &str) -> bool {
    let there = std::process::Command::new("which")
        .arg(program)
        .output()
        .unwrap()
        .status
        .success();
    assert!(
        there || std::env::var_os("TESTS_REQUIRE_SERVERS").is_none(),
        "{program} is not installed"
    );
    if !there {
        eprintln!("skipped: {program} is not installed");
    }
    there
}

/// One of them, and how it is started on a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Server {
    /// Two workers, listeners on IPv4 and IPv6; drains on QUIT.
    Nginx,
    /// Its http module; dies at once on SIGTERM.
    Node,
    /// Its http.server; dies at once on SIGTERM, takes 50 ms for a request.
    Python,
    /// The example; drains on SIGTERM.
    Hello,
}

/// All of them.
pub const SERVERS: [Server; 4] = [Server::Nginx, Server::Node, Server::Python, Server::Hello];

impl Server {
    /// The words that run it, with the machine's own paths (or those of a container that has them at the same place).
    /// Files that it needs go to `files`, which it finds at `there`.
    pub fn words(self, port: u16, files: &Path, there: &str) -> Vec<String> {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        match self {
            Server::Nginx => {
                fs::write(files.join("nginx.conf"), nginx_conf(port)).unwrap();
                words(&["nginx", "-c", &format!("{there}/nginx.conf")])
            }
            Server::Node => {
                fs::copy(program("node.js"), files.join("node.js")).unwrap();
                words(&["node", &format!("{there}/node.js"), &port.to_string(), "0.0.0.0"])
            }
            Server::Python => {
                let naive = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/naive.py");
                fs::copy(naive, files.join("naive.py")).unwrap();
                words(&["/usr/bin/python3", &format!("{there}/naive.py"), &port.to_string()])
            }
            Server::Hello => {
                fs::copy(hello(), files.join("hello")).unwrap();
                words(&[&format!("{there}/hello"), &format!("0.0.0.0:{port}")])
            }
        }
    }

    /// What segue has to know of it: which signal it drains on.
    pub fn settings(self) -> Vec<(&'static str, &'static str)> {
        match self {
            Server::Nginx => vec![("SEGUE_STOP_SIGNAL", "QUIT")],
            Server::Node | Server::Python | Server::Hello => Vec::new(),
        }
    }

    /// The exit code of a stop.
    pub fn code(self) -> i32 {
        match self {
            Server::Nginx | Server::Hello => 0,
            Server::Node | Server::Python => 143,
        }
    }
}

fn nginx_conf(port: u16) -> String {
    format!(
        "worker_processes 2; daemon off; pid /tmp/nginx-{port}.pid; error_log stderr warn;\n\
         events {{ worker_connections 256; }}\n\
         http {{ access_log off; client_body_temp_path /tmp/b; proxy_temp_path /tmp/p; fastcgi_temp_path /tmp/f;\n\
         uwsgi_temp_path /tmp/u; scgi_temp_path /tmp/s;\n\
         server {{ listen 0.0.0.0:{port}; listen [::]:{port}; location / {{ return 200 \"hello\\n\"; }} }} }}\n"
    )
}
