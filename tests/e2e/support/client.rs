//! A client that keeps a server busy and counts every kind of failure.

use std::{
    fmt,
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

/// Longer than any answer of a server under test takes.
const TIMEOUT: Duration = Duration::from_secs(20);

/// What came of the requests.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Tally {
    pub succeeded: u64,
    pub refused: u64,
    pub reset: u64,
    pub timed_out: u64,
    pub truncated: u64,
    pub not_2xx: u64,
    pub other: Vec<String>,
}

impl Tally {
    /// All that did not succeed.
    pub fn failed(&self) -> u64 {
        let other = u64::try_from(self.other.len()).unwrap();
        self.refused + self.reset + self.timed_out + self.truncated + self.not_2xx + other
    }

    fn count(&mut self, outcome: Result<String, io::Error>) {
        match outcome {
            Ok(_) => self.succeeded += 1,
            Err(error) => match error.kind() {
                io::ErrorKind::ConnectionRefused => self.refused += 1,
                io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => self.reset += 1,
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => self.timed_out += 1,
                io::ErrorKind::UnexpectedEof => self.truncated += 1,
                io::ErrorKind::InvalidData => self.not_2xx += 1,
                _ => self.other.push(error.to_string()),
            },
        }
    }

    fn add(&mut self, more: Tally) {
        self.succeeded += more.succeeded;
        self.refused += more.refused;
        self.reset += more.reset;
        self.timed_out += more.timed_out;
        self.truncated += more.truncated;
        self.not_2xx += more.not_2xx;
        self.other.extend(more.other);
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} succeeded, {} failed: {self:?}", self.succeeded, self.failed())
    }
}

/// One request over a connection of its own; the body.
pub fn get(address: SocketAddr, path: &str) -> io::Result<String> {
    ask(address, "GET", path)
}

/// One request that must not be sent twice.
pub fn post(address: SocketAddr, path: &str) -> io::Result<String> {
    ask(address, "POST", path)
}

fn ask(address: SocketAddr, method: &str, path: &str) -> io::Result<String> {
    exchange_by(method, connect(address)?, path)
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    Ok(stream)
}

/// Sends a request. It is there before any that is sent later; [`answer`] waits for what comes.
pub fn begin(address: SocketAddr, path: &str) -> io::Result<TcpStream> {
    let mut stream = connect(address)?;
    send("GET", &mut stream, path)?;
    Ok(stream)
}

/// One request over this connection, which ends with it.
pub fn exchange(stream: impl Read + Write, path: &str) -> io::Result<String> {
    exchange_by("GET", stream, path)
}

fn exchange_by(method: &str, mut stream: impl Read + Write, path: &str) -> io::Result<String> {
    send(method, &mut stream, path)?;
    answer(stream)
}

fn send(method: &str, stream: &mut impl Write, path: &str) -> io::Result<()> {
    // In one piece: a server that reads once would answer the first of several, and close under the others.
    let request = format!("{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())
}

/// What comes until the connection ends; the body.
pub fn answer(mut stream: impl Read) -> io::Result<String> {
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse::<usize>().ok())?
    });
    if length.is_some_and(|length| body.len() < length) {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let success = head.split(' ').nth(1).is_some_and(|status| status.starts_with('2'));
    if success {
        Ok(body.to_owned())
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidData, head.to_owned()))
    }
}

/// One thing that a client does.
pub type Work = Box<dyn FnMut() -> io::Result<String>>;

/// Clients that send one request after the other, each over a connection of its own.
pub struct Load {
    stop: Arc<AtomicBool>,
    workers: Vec<JoinHandle<Tally>>,
    so_far: Arc<Mutex<u64>>,
}

impl Load {
    /// Starts so many of them.
    pub fn start(address: SocketAddr, path: &str, clients: usize) -> Load {
        let path = path.to_owned();
        Load::of(clients, move || {
            let path = path.clone();
            Box::new(move || get(address, &path))
        })
    }

    /// Starts so many clients that each do this again and again.
    pub fn of(clients: usize, work: impl Fn() -> Work + Send + Sync + 'static) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let so_far = Arc::new(Mutex::new(0));
        let work = Arc::new(work);
        let worker = |_| {
            let (stop, so_far, work) = (Arc::clone(&stop), Arc::clone(&so_far), Arc::clone(&work));
            thread::spawn(move || {
                let (mut tally, mut work) = (Tally::default(), work());
                while !stop.load(Ordering::Relaxed) {
                    tally.count(work());
                    *so_far.lock().unwrap() += 1;
                }
                tally
            })
        };
        Load {
            workers: (0..clients).map(worker).collect(),
            stop,
            so_far,
        }
    }

    /// Waits until so many more requests were answered, one way or the other.
    pub fn more(&self, requests: u64) {
        let target = *self.so_far.lock().unwrap() + requests;
        super::wait::until("requests are answered", || {
            (*self.so_far.lock().unwrap() >= target).then_some(())
        });
    }

    /// Lets each finish its request; what came of all.
    pub fn stop(self) -> Tally {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Tally::default();
        for worker in self.workers {
            all.add(worker.join().unwrap());
        }
        all
    }
}

/// One connection that is kept, and asked over again and again.
pub struct Kept {
    stream: io::BufReader<TcpStream>,
}

/// What came of a request over a kept connection.
#[derive(Debug, PartialEq, Eq)]
pub enum Kind {
    /// An answer; `last`: with the word that the connection ends.
    Answered { last: bool },
    /// The server had closed before a byte of the answer: between two requests, or under this one.
    Closed,
}

impl Kept {
    pub fn connect(address: SocketAddr) -> io::Result<Kept> {
        let stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_nodelay(true)?;
        Ok(Kept {
            stream: io::BufReader::new(stream),
        })
    }

    /// Does the server close it before this time has passed?
    pub fn closes_within(&mut self, time: Duration) -> bool {
        let stream = self.stream.get_ref();
        stream.set_read_timeout(Some(time)).unwrap();
        let peeked = stream.peek(&mut [0]);
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        match peeked {
            Ok(count) => count == 0,
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        }
    }

    /// One request; an error is an answer that broke off, or that did not come in time.
    pub fn get(&mut self) -> io::Result<Kind> {
        use io::BufRead;
        let sent = self.stream.get_mut().write_all(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n");
        let (mut length, mut last, mut head) = (0, false, String::new());
        if sent.is_err() {
            return Ok(Kind::Closed);
        }
        match self.stream.read_line(&mut head) {
            Ok(0) => return Ok(Kind::Closed),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset && head.is_empty() => return Ok(Kind::Closed),
            Err(error) => return Err(error),
            Ok(_) if !head.starts_with("HTTP/1.1 200") => return Err(io::Error::other(head)),
            Ok(_) => {}
        }
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let line = line.trim().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().map_err(io::Error::other)?;
            }
            last |= line == "connection: close";
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        Ok(Kind::Answered { last })
    }
}
