//! Speaks HTTP/1.1 as a client, byte by byte, so that each way to fail is told from the others. Never tries twice.

use std::{io, net::SocketAddr, os::fd::AsRawFd, time::Duration};

use nix::sys::socket::{MsgFlags, recv};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

use super::tally::{Failed, Failure};

/// Longer than any answer takes.
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes that the kernel takes for a narrow connection; it doubles the number.
const NARROW: u32 = 128 * 1024;

/// A request for this path.
pub fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n").into_bytes()
}

/// A connection.
#[derive(Debug)]
pub struct Http1 {
    pub stream: TcpStream,
    /// What has come of the next answers.
    buffer: Vec<u8>,
    answered: u64,
    /// The server has said that it takes no more.
    pub last: bool,
}

impl Http1 {
    pub async fn open(address: SocketAddr) -> Result<Http1, Failed> {
        Http1::on(within(TcpStream::connect(address)).await?)
    }

    /// One that the kernel does not take much for, so that what is sent has to wait at the server.
    pub async fn open_narrow(address: SocketAddr) -> Result<Http1, Failed> {
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(NARROW)?;
        Http1::on(within(socket.connect(address)).await?)
    }

    fn on(stream: TcpStream) -> Result<Http1, Failed> {
        stream.set_nodelay(true)?;
        Ok(Http1 {
            stream,
            buffer: Vec::new(),
            answered: 0,
            last: false,
        })
    }

    /// Would a client that looks before it sends take it for another request?
    pub fn is_usable(&self) -> bool {
        let look = recv(
            self.stream.as_raw_fd(),
            &mut [0],
            MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT,
        );
        !self.last && look == Err(nix::Error::EAGAIN)
    }

    pub async fn send(&mut self, bytes: &[u8]) -> Result<(), Failed> {
        within(self.stream.write_all(bytes)).await
    }

    /// The next answer's body.
    pub async fn answer(&mut self) -> Result<Vec<u8>, Failed> {
        match timeout(TIMEOUT, self.read_answer(Duration::ZERO)).await {
            Ok(answer) => answer,
            Err(late) => Err(Failure::TimedOut.because(late)),
        }
    }

    /// The same, taken so slowly that it has to be waited for: a pause after each piece.
    pub async fn slow_answer(&mut self, pause: Duration) -> Result<Vec<u8>, Failed> {
        match timeout(TIMEOUT, self.read_answer(pause)).await {
            Ok(answer) => answer,
            Err(late) => Err(Failure::TimedOut.because(late)),
        }
    }

    async fn read_answer(&mut self, pause: Duration) -> Result<Vec<u8>, Failed> {
        let end = loop {
            if let Some(at) = self.buffer.windows(4).position(|it| it == b"\r\n\r\n") {
                break at + 4;
            }
            if self.read().await? == 0 {
                return Err(match (self.buffer.is_empty(), self.answered) {
                    (false, _) => Failure::Truncated.because("in the head"),
                    (true, 0) => Failure::ClosedFresh.because("before an answer"),
                    (true, answers) => Failure::ClosedReused.because(format_args!("after {answers} answers")),
                });
            }
        };
        let head = String::from_utf8_lossy(&self.buffer[..end]).to_ascii_lowercase();
        self.buffer.drain(..end);
        if !head.starts_with("http/1.1 200") {
            return Err(Failure::BadStatus.because(head.lines().next().unwrap_or_default()));
        }
        let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let length: usize = field("content-length:").and_then(|it| it.parse().ok()).unwrap_or(0);
        self.last |= field("connection:") == Some("close");
        while self.buffer.len() < length {
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
            if self.read().await? == 0 {
                return Err(Failure::Truncated.because(format_args!("{} of {length} bytes", self.buffer.len())));
            }
        }
        self.answered += 1;
        let rest = self.buffer.split_off(length);
        Ok(std::mem::replace(&mut self.buffer, rest))
    }

    async fn read(&mut self) -> io::Result<usize> {
        self.buffer.reserve(256 * 1024);
        self.stream.read_buf(&mut self.buffer).await
    }
}

async fn within<T>(done: impl Future<Output = io::Result<T>>) -> Result<T, Failed> {
    match timeout(TIMEOUT, done).await {
        Ok(done) => Ok(done?),
        Err(late) => Err(Failure::TimedOut.because(late)),
    }
}
