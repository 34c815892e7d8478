//! SERVES the endpoint's tests: an endpoint on a real socket with a loop behind it, and a client that is as good or bad as it
//! is told to be.

mod abuse;
mod answers;

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpSocket, TcpStream},
    sync::mpsc,
    time::timeout,
};

use super::{PATIENCE, Patience, run_within, server};
use crate::{
    control::{Question, metrics::Metrics, sample, status::Status},
    serve::Server,
};

/// No step of a test takes that long.
const DEADLINE: Duration = Duration::from_secs(20);

async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(DEADLINE, what).await.expect("it takes too long")
}

/// An endpoint with a loop behind it, until it is dropped.
struct Endpoint {
    address: SocketAddr,
    _tasks: tokio::task::JoinSet<()>,
    asked: Arc<AtomicUsize>,
}

/// Answers as the runtime does.
async fn turn(mut questions: mpsc::Receiver<Question>, status: Status, asked: Arc<AtomicUsize>) {
    let metrics = Metrics::new();
    while let Some(question) = questions.recv().await {
        asked.fetch_add(1, Ordering::Relaxed);
        match question {
            Question::Command { .. } => panic!("nothing may be changed over TCP"),
            Question::Status { connections, answer } => {
                let mut status = status.clone();
                if !connections {
                    status.generations.iter_mut().for_each(|it| it.connections = None);
                }
                let _gone = answer.send(Box::new(status));
            }
            Question::Metrics { answer } => {
                let _gone = answer.send(metrics.openmetrics(&status));
            }
        }
    }
}

impl Endpoint {
    fn new(status: Status) -> Endpoint {
        Endpoint::with(status, server())
    }

    fn with(status: Status, server: Server) -> Endpoint {
        let asked = Arc::new(AtomicUsize::new(0));
        let (sender, questions) = mpsc::channel(8);
        let turning = turn(questions, status, Arc::clone(&asked));
        Endpoint::serve(sender, server, PATIENCE, turning, asked)
    }

    fn serve(
        sender: mpsc::Sender<Question>,
        server: Server,
        patience: Patience,
        turning: impl Future<Output = ()> + Send + 'static,
        asked: Arc<AtomicUsize>,
    ) -> Endpoint {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(async move { match run_within(vec![listener], sender, server, patience).await {} });
        tasks.spawn(turning);
        Endpoint {
            address,
            _tasks: tasks,
            asked,
        }
    }

    async fn connect(&self) -> Client {
        let socket = TcpSocket::new_v4().unwrap();
        // So that no large answer fits into what the kernel holds for a client that does not read.
        socket.set_recv_buffer_size(65_536).unwrap();
        Client(BufReader::new(soon(socket.connect(self.address)).await.unwrap()))
    }

    /// One request on a connection of its own.
    async fn get(&self, target: &str) -> Answer {
        self.ask("GET", target, "").await
    }

    async fn ask(&self, method: &str, target: &str, fields: &str) -> Answer {
        let mut client = self.connect().await;
        client
            .send(&format!("{method} {target} HTTP/1.1\r\nHost: x\r\n{fields}\r\n"))
            .await;
        client.answer(method != "HEAD").await.expect("an answer")
    }
}

struct Client(BufReader<TcpStream>);

#[derive(Debug)]
struct Answer {
    status: u16,
    fields: HashMap<String, String>,
    body: String,
}

impl Client {
    async fn send(&mut self, text: &str) {
        soon(self.0.write_all(text.as_bytes())).await.unwrap();
    }

    async fn line(&mut self) -> Option<String> {
        let mut line = Vec::new();
        loop {
            match soon(self.0.read_u8()).await {
                Ok(b'\n') => return Some(String::from_utf8(line).unwrap().trim_end().to_owned()),
                Ok(byte) => line.push(byte),
                Err(_) => return None,
            }
        }
    }

    /// The next answer, or nothing if the connection was closed.
    async fn answer(&mut self, body: bool) -> Option<Answer> {
        let status = self.line().await?.split(' ').nth(1)?.parse().ok()?;
        let mut fields = HashMap::new();
        loop {
            let line = self.line().await?;
            let Some((name, value)) = line.split_once(": ") else {
                break;
            };
            fields.insert(name.to_ascii_lowercase(), value.to_owned());
        }
        let length = if body {
            fields["content-length"].parse().unwrap()
        } else {
            0
        };
        let mut body = vec![0; length];
        soon(self.0.read_exact(&mut body)).await.ok()?;
        let body = String::from_utf8(body).unwrap();
        Some(Answer { status, fields, body })
    }

    /// Reads to the end; nothing more may come but what is given back.
    async fn end(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        let _reset_is_an_end_too = soon(self.0.read_to_end(&mut rest)).await;
        rest
    }
}
