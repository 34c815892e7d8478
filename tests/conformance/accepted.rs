//! The connections that real servers accept have the options that they have without segue, whether a server sets them on each
//! connection or on its listener, as Apache does.

use std::{
    ffi::OsString,
    fs,
    io::Write,
    net::{SocketAddr, TcpStream},
    path::Path,
    process::Command,
};

use crate::{
    compare::REUSEPORT_IS_HIDDEN,
    letting_go::start,
    programs::built,
    support::{self, free_port, loopback, wait},
};

/// A server, and its files: `{port}` and `{dir}` are filled in.
struct Server {
    words: &'static [&'static str],
    conf: &'static str,
}

const APACHE: Server = Server {
    words: &["apache2", "-D", "FOREGROUND", "-f", "{dir}/conf"],
    conf: "LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so\n\
           LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so\n\
           ServerName localhost\nListen 127.0.0.1:{port}\nPidFile {dir}/pid\nDefaultRuntimeDir {dir}\n\
           ErrorLog /dev/stderr\nDocumentRoot {dir}\n",
};
const NGINX: Server = Server {
    words: &["nginx", "-c", "{dir}/conf"],
    conf: "daemon off; pid {dir}/pid; error_log stderr; events {}\n\
           http { access_log off; server { listen 127.0.0.1:{port} so_keepalive=on; } }\n",
};
const LIGHTTPD: Server = Server {
    words: &["lighttpd", "-D", "-f", "{dir}/conf"],
    conf: "server.bind = \"127.0.0.1\"\nserver.port = {port}\nserver.document-root = \"{dir}\"\n",
};
const HAPROXY: Server = Server {
    words: &["haproxy", "-f", "{dir}/conf"],
    conf: "defaults\n mode http\n timeout client 30s\n timeout connect 1s\n timeout server 1s\n\
           frontend f\n bind 127.0.0.1:{port}\n",
};

/// Every option of a connection that the server has accepted.
fn options(server: &Server, with_segue: bool) -> String {
    let (files, port) = (support::directory(), free_port());
    let directory = files.path().to_str().unwrap();
    let fill = |text: &str| text.replace("{port}", &port.to_string()).replace("{dir}", directory);
    fs::write(files.path().join("conf"), fill(server.conf)).unwrap();
    let words: Vec<OsString> = server.words.iter().map(|word| fill(word).into()).collect();
    let running = start(with_segue, &words, &[]);
    // Part of a request: it is accepted, and the rest is waited for.
    let asked = || {
        let client = wait::until("it listens", || TcpStream::connect(loopback(port)).ok());
        (&client).write_all(b"GET / HTTP/1.1\r\n").unwrap();
        let accepted = wait::until("it has accepted", || held(&client));
        (client, accepted)
    };
    // One that comes right after listen(2) has not what nginx sets on its listener after that.
    let _first = asked();
    let (_client, (process, number)) = asked();
    let accepted = Command::new(built("accepted.c"))
        .args([process.to_string(), number.to_string()])
        .output()
        .unwrap();
    assert!(accepted.status.success(), "{accepted:?}\n{}", running.stderr());
    String::from_utf8(accepted.stdout).unwrap()
}

/// The process that holds the other end of a connection, and the number of the file there.
fn held(client: &TcpStream) -> Option<(i32, i32)> {
    let (near, far) = (client.local_addr().unwrap(), client.peer_addr().unwrap());
    let inode = inode(far, near)?;
    let processes = fs::read_dir("/proc").unwrap().flatten();
    for process in processes {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let files = fs::read_dir(process.path().join("fd"));
        for file in files.into_iter().flatten().flatten() {
            if fs::read_link(file.path()).is_ok_and(|link| link == Path::new(&format!("socket:[{inode}]"))) {
                return Some((pid, file.file_name().to_str()?.parse().ok()?));
            }
        }
    }
    None
}

/// proc_net_tcp(5): the socket between these addresses, seen from the first.
fn inode(local: SocketAddr, remote: SocketAddr) -> Option<u64> {
    let ends = |address: SocketAddr| format!("0100007F:{:04X}", address.port());
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let mut lines = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let fields = lines.find(|it| it.len() > 9 && it[1] == ends(local) && it[2] == ends(remote))?;
    fields[9].parse().ok().filter(|inode| *inode != 0)
}

fn alike(server: &Server) {
    let (program, required) = (server.words[0], std::env::var_os("TESTS_REQUIRE_SERVERS").is_some());
    let there = Command::new("sh")
        .args(["-c", &format!("command -v {program}")])
        .output();
    if !there.unwrap().status.success() {
        assert!(!required, "{program} is missing");
        eprintln!("skipped: {program} is not here");
        return;
    }
    let (with, without) = (options(server, true), options(server, false));
    for (with, without) in with.lines().zip(without.lines()) {
        let known = !REUSEPORT_IS_HIDDEN && without == "SO_REUSEPORT=0";
        assert!(
            with == without || known,
            "{program}: {with}, and {without} without segue"
        );
    }
    assert_eq!(with.lines().count(), without.lines().count());
}

#[test]
fn apache_s() {
    alike(&APACHE);
}

#[test]
fn nginx_s() {
    alike(&NGINX);
}

#[test]
fn lighttpd_s() {
    alike(&LIGHTTPD);
}

#[test]
fn haproxy_s() {
    alike(&HAPROXY);
}
