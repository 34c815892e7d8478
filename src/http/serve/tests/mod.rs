//! TRIES a server with clients that send bytes by hand: what it does with each connection, and how it ends.

mod ending;
mod first;
mod limits;
mod multiplexed;
mod states;

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use http_body_util::BodyExt;
use hyper::{Request, Response, body::Incoming, service::service_fn};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{Notify, Semaphore},
    task::JoinHandle,
    time::timeout,
};

use super::{Connection, Connections, Report, Server};

/// No step of a test takes that long.
const DEADLINE: Duration = Duration::from_secs(20);

const GET: &str = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
const SLOW: &str = "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n";
const UPGRADE: &str = "GET /upgrade HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n";

async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(DEADLINE, what).await.expect("it takes far too long")
}

/// A server that is being tried.
struct Trial {
    address: SocketAddr,
    connections: Connections,
    stop: Arc<Notify>,
    /// As many slow requests are answered as it has permits.
    slow: Arc<Semaphore>,
    serves: JoinHandle<Report>,
}

impl Trial {
    async fn new(server: Server) -> Trial {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = server.connections();
        let (stop, slow) = (Arc::new(Notify::new()), Arc::new(Semaphore::new(0)));
        let (stopped, waits) = (Arc::clone(&stop), Arc::clone(&slow));
        let service = service_fn(move |request| respond(request, Arc::clone(&waits)));
        let serves = async move { server.serve([listener], service, stopped.notified()).await };
        Trial {
            address,
            connections,
            stop,
            slow,
            serves: tokio::spawn(serves),
        }
    }

    async fn connect(&self) -> Client {
        let before = self.connections.counts().accepted;
        let client = Client(soon(TcpStream::connect(self.address)).await.unwrap());
        soon(self.connections.wait_for(|counts| counts.accepted > before)).await;
        client
    }

    /// Waits for the end, and says how it was.
    async fn report(self) -> Report {
        soon(self.serves).await.unwrap()
    }

    /// Tells it to stop, and waits until it has heard.
    async fn stop(&self) {
        self.stop.notify_one();
        soon(self.connections.draining()).await;
    }
}

async fn respond(request: Request<Incoming>, slow: Arc<Semaphore>) -> Result<Response<String>, Infallible> {
    let connection = request.extensions().get::<Connection>().unwrap().clone();
    if request.method() == hyper::Method::POST {
        request.into_body().collect().await.unwrap();
        return Ok(Response::new("read\n".to_owned()));
    }
    if request.method() == hyper::Method::CONNECT {
        tokio::spawn(echo(request, connection));
        return Ok(Response::new(String::new()));
    }
    match request.uri().path() {
        "/slow" => slow.acquire().await.unwrap().forget(),
        "/upgrade" => {
            tokio::spawn(echo(request, connection));
            let response = Response::builder().status(101).header("connection", "upgrade");
            return Ok(response.header("upgrade", "echo").body(String::new()).unwrap());
        }
        "/large" => return Ok(Response::new("x".repeat(32 << 20))),
        _ => {}
    }
    Ok(Response::new(format!("{}\n", connection.id())))
}

/// Says everything back; `bye` when the server drains, and goes when it is told to.
async fn echo(request: Request<Incoming>, connection: Connection) {
    let upgraded = hyper::upgrade::on(request).await.unwrap();
    let mut stream = hyper_util::rt::TokioIo::new(upgraded);
    let (mut bytes, mut told) = ([0; 64], false);
    loop {
        let draining = connection.draining();
        tokio::select! {
            () = draining.cancelled(), if !told => {
                told = true;
                stream.write_all(b"bye").await.unwrap();
            }
            read = stream.read(&mut bytes) => match read {
                Ok(0) | Err(_) => return,
                Ok(count) => stream.write_all(&bytes[..count]).await.unwrap(),
            },
        }
    }
}

struct Client(TcpStream);

impl Client {
    async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        soon(self.0.write_all(bytes.as_ref())).await.unwrap();
    }

    /// Reads until it ends so.
    async fn until(&mut self, end: &str) -> String {
        let (mut text, mut byte) = (Vec::new(), [0]);
        while !text.ends_with(end.as_bytes()) {
            let count = soon(self.0.read(&mut byte)).await.unwrap();
            assert_ne!(count, 0, "it ended after {:?}", String::from_utf8_lossy(&text));
            text.push(byte[0]);
        }
        String::from_utf8(text).unwrap()
    }

    /// The next answer; those of these tests have a line of text.
    async fn answer(&mut self) -> String {
        let head = self.until("\r\n\r\n").await;
        let line = self.until("\n").await;
        head + &line
    }

    /// Everything up to the end, which is no reset.
    async fn end(&mut self) -> String {
        let mut text = String::new();
        soon(self.0.read_to_string(&mut text)).await.unwrap();
        text
    }

    async fn get(&mut self) -> String {
        self.send(GET).await;
        self.answer().await
    }
}
