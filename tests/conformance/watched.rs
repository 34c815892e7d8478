//! Clients that note when each of their requests began, so that it can be said from when on all of them were answered.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// An answer that takes longer does not come.
const PATIENCE: Duration = Duration::from_secs(1);

/// When a request began, and what came of it.
pub type Request = (Instant, io::Result<String>);

/// One request over a connection of its own: the body of the answer.
pub fn ask(address: SocketAddr, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
    if head.starts_with("HTTP/1.1 200") || head.starts_with("HTTP/1.0 200") {
        Ok(body.to_owned())
    } else {
        Err(io::Error::other(head.to_owned()))
    }
}

/// Clients at work.
pub struct Clients {
    stop: Arc<AtomicBool>,
    requests: Arc<Mutex<Vec<Request>>>,
    threads: Vec<JoinHandle<()>>,
}

impl Clients {
    pub fn start(address: SocketAddr, many: usize) -> Clients {
        let (stop, requests) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let work = |_| {
            let (stop, requests) = (Arc::clone(&stop), Arc::clone(&requests));
            thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let begin = Instant::now();
                    let outcome = ask(address, "/");
                    requests.lock().unwrap().push((begin, outcome));
                }
            })
        };
        let threads = (0..many).map(work).collect();
        Clients {
            stop,
            requests,
            threads,
        }
    }

    /// How many began after this and have come out.
    pub fn since(&self, begin: Instant) -> usize {
        self.requests.lock().unwrap().iter().filter(|it| it.0 > begin).count()
    }

    /// What has come out so far.
    pub fn so_far(&self) -> Vec<Request> {
        let again = |it: &Request| {
            let outcome = it.1.as_ref().map(String::clone);
            (it.0, outcome.map_err(|error| io::Error::other(error.to_string())))
        };
        self.requests.lock().unwrap().iter().map(again).collect()
    }

    /// Lets each finish; all of their requests.
    pub fn stop(self) -> Vec<Request> {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().unwrap();
        }
        std::mem::take(&mut *self.requests.lock().unwrap())
    }
}

/// Each that began in this stretch was answered, and there were some.
pub fn all_answered(requests: &[Request], from: Instant, to: Instant, what: &str) {
    let within: Vec<&Request> = requests.iter().filter(|it| it.0 > from && it.0 < to).collect();
    let failed: Vec<String> = within
        .iter()
        .filter_map(|(begin, outcome)| Some(format!("{:?} {}", begin.duration_since(from), outcome.as_ref().err()?)))
        .collect();
    let (first, many) = (&failed[..failed.len().min(10)], within.len());
    assert!(
        failed.is_empty(),
        "{what}: {} of {many} failed: {first:#?}",
        failed.len()
    );
    assert!(many >= 20, "{what}: only {many} requests");
}
