//! The server behind a proxy under test: it says hello over HTTP, and stays as it is while the proxy is restarted.

use std::{
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    thread,
};

pub struct Upstream {
    port: u16,
}

impl Upstream {
    /// Starts it; it goes with the test's process.
    pub fn start() -> Upstream {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                thread::spawn(move || serve(stream));
            }
        });
        Upstream { port }
    }

    pub fn port(&self) -> u16 {
        self.port
    }
}

fn serve(stream: TcpStream) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut stream = BufReader::new(stream);
    loop {
        let (mut last, mut line) = (false, String::new());
        while line.trim() != "" || line.is_empty() {
            last |= line.to_ascii_lowercase().starts_with("connection: close") || line.ends_with("HTTP/1.0\r\n");
            line.clear();
            if stream.read_line(&mut line).ok()? == 0 {
                return None;
            }
        }
        let end = if last { "close" } else { "keep-alive" };
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: {end}\r\n\r\nhello\n");
        stream.get_mut().write_all(answer.as_bytes()).ok()?;
        if last {
            return None;
        }
    }
}
