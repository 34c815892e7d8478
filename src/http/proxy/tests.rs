//! TRIES the proxy over real sockets, with programs that say exactly what a test wants said.

mod exchanges;
mod hazards;
mod restarts;
mod upgrades;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::Proxy;

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(20);

/// Serves the proxy on a port of its own.
async fn front(proxy: &Proxy) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = super::front::server();
    tokio::spawn(proxy.serve(server, vec![listener.into()], CancellationToken::new()));
    address
}

/// A program that speaks for itself: each connection is given to `talk`.
async fn program<F>(talk: impl Fn(TcpStream) -> F + Send + 'static) -> u16
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(talk(stream));
        }
    });
    port
}

/// What a program has been sent, all connections together.
type Seen = Arc<Mutex<String>>;

/// A program that keeps all it sees, and answers each head at once in the same words.
async fn listener(answer: &'static str) -> (u16, Seen) {
    let seen = Seen::default();
    let heard = Arc::clone(&seen);
    let port = program(move |mut stream| {
        let heard = Arc::clone(&heard);
        async move {
            let mut rest = String::new();
            let mut bytes = [0; 65536];
            while let Ok(count @ 1..) = stream.read(&mut bytes).await {
                let text = String::from_utf8_lossy(&bytes[..count]).into_owned();
                heard.lock().unwrap().push_str(&text);
                rest.push_str(&text);
                while let Some(end) = rest.find("\r\n\r\n") {
                    rest.drain(..end + 4);
                    stream.write_all(answer.as_bytes()).await.unwrap();
                }
            }
        }
    })
    .await;
    (port, seen)
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A proxy, and what it forwards to.
async fn with(port: u16) -> (Proxy, SocketAddr) {
    let proxy = Proxy::new(Some(LONG));
    proxy.steer(1, port);
    let front = front(&proxy).await;
    (proxy, front)
}

/// Reads until the text is there; what has come.
async fn until(stream: &mut TcpStream, text: &str) -> String {
    let mut come = Vec::new();
    let read = async {
        let mut bytes = [0; 65536];
        loop {
            let count = stream.read(&mut bytes).await.unwrap_or(0);
            come.extend_from_slice(&bytes[..count]);
            if count == 0 || String::from_utf8_lossy(&come).contains(text) {
                return String::from_utf8_lossy(&come).into_owned();
            }
        }
    };
    timeout(LONG, read)
        .await
        .unwrap_or_else(|_| panic!("{text} did not come"))
}

/// All that comes for these bytes, until the connection is closed.
async fn talk(front: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(front).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    until(&mut stream, "\0").await
}

async fn wait_for(what: &str, mut is: impl FnMut() -> bool) {
    let wait = async {
        while !is() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(LONG, wait)
        .await
        .unwrap_or_else(|_| panic!("{what} did not come"));
}
