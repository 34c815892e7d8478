//! A program that answers an upload before it is over, and a client whose body is none: each gets its answer whole.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    process::Command,
};

use crate::support::{
    client, directory, free_port, loopback,
    segue::{As, Recipe},
    wait,
};

/// Answers without reading: closes, or goes on.
const NODE: &str = "require('http').createServer((q, r) => { \
    r.writeHead(Number(q.url.slice(1)), q.headers['x-close'] ? {Connection: 'close'} : {}); r.end('no\\n'); \
    }).listen(process.env.PORT, '127.0.0.1')";
/// Says the same and is gone, with all that has come unread: the kernel resets the connection.
const PYTHON: &str = "import os, socket\n\
    listener = socket.create_server(('127.0.0.1', int(os.environ['PORT'])))\n\
    while True:\n\
    \x20   connection, _ = listener.accept()\n\
    \x20   head = connection.recv(1000)\n\
    \x20   if not head: continue\n\
    \x20   status = head.split(b' ')[1][1:]\n\
    \x20   connection.sendall(b'HTTP/1.1 %s No\\r\\nContent-Length: 3\\r\\n\\r\\nno\\n' % status)\n\
    \x20   connection.close()\n";

#[test]
fn an_early_answer_to_an_upload_reaches_the_client_each_time() {
    let files = directory();
    let upload = files.path().join("upload");
    fs::write(&upload, vec![b'x'; 30_000_000]).unwrap();
    let programs: [&[&str]; 2] = [&["node", "-e", NODE], &["/usr/bin/python3", "-c", PYTHON]];
    for program in programs {
        let port = free_port();
        let mut segue = Recipe::plain(As::Subreaper, program)
            .set("SEGUE_PROXY", format!("127.0.0.1:{port}"))
            .start();
        segue.ready(1);
        for (status, more) in [
            ("413", &["--header", "X-Close: 1"][..]),
            ("401", &[]),
            ("307", &["--header", "Transfer-Encoding: chunked"]),
            (
                "429",
                &["--header", "X-Close: 1", "--header", "Transfer-Encoding: chunked"],
            ),
        ] {
            for round in 0..10 {
                let mut curl = Command::new("curl");
                curl.args([
                    "--silent",
                    "--max-time",
                    "60",
                    "--write-out",
                    "%{http_code}",
                    "--header",
                    "Expect:",
                ]);
                curl.args(more).arg("--upload-file").arg(&upload);
                let said = curl.arg(format!("http://127.0.0.1:{port}/{status}")).output().unwrap();
                let text = String::from_utf8_lossy(&said.stdout).into_owned();
                assert_eq!(
                    (said.status.code(), text),
                    (Some(0), format!("no\n{status}")),
                    "{program:?} {more:?} {round}"
                );
            }
        }
    }
}

/// What is wrong with a request is told to whoever sent it, and is no fault of the program's.
#[test]
fn a_malformed_body_is_answered_with_400() {
    let port = free_port();
    let reads = "require('http').createServer((q, r) => { q.on('data', () => {}); q.on('end', () => r.end('read')); q.on('error', () => {}); \
                 }).listen(process.env.PORT, '127.0.0.1')";
    let mut segue = Recipe::plain(As::Subreaper, ["node", "-e", reads])
        .set("SEGUE_PROXY", format!("127.0.0.1:{port}"))
        .start();
    segue.ready(1);
    wait::until("it answers", || client::get(loopback(port), "/").ok());
    for (body, status) in [
        ("2\r\nab\r\n0\r\n\r\n", "200"),
        ("0x2\r\nab\r\n0\r\n\r\n", "400"),
        ("zz\r\nab\r\n0\r\n\r\n", "400"),
        ("fffffffffffffffff\r\n", "400"),
        ("2\r\nab\r\nzz\r\n", "400"),
        ("2\r\nabcd\r\n0\r\n\r\n", "400"),
    ] {
        let mut stream = TcpStream::connect(loopback(port)).unwrap();
        write!(
            stream,
            "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n{body}"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{body:?}: {answer}");
    }
    assert_eq!(client::get(loopback(port), "/").unwrap(), "read");
}
