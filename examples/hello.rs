//! A small HTTP server that restarts well: the program of the demo, the compose file and the end-to-end tests.
//!
//! It shows the three things that a program can do for whoever runs it: serve the sockets it was given (`LISTEN_FDS`), say
//! when it accepts (`NOTIFY_SOCKET`), and on SIGTERM answer all that clients have already sent. It needs nothing of segue.
//!
//! `hello [IP:PORT]` serves; `hello --probe http://IP:PORT/` exits 0 on a 2xx: a health check for images without a shell.
//! For tests: `HELLO_START_DELAY`, `HELLO_WORK` (milliseconds before the start, per request), `HELLO_NAIVE=1` (no SIGTERM).

use std::io::{self, Read, Write};
use std::net::{self, SocketAddr};
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::{linux::net::SocketAddrExt, unix};
use std::process::{self, ExitCode};
use std::{env, error::Error, future, pin::pin, time::Duration};

use hyper::{Method, Request, Response, StatusCode};
use hyper::{body::Incoming, header::CONNECTION, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{sleep, timeout};
use tokio::{net::TcpListener, net::TcpStream, sync::watch};

/// How long a connection that is quiet when the stop comes may still show a request that was already on its way.
const LINGER: Duration = Duration::from_secs(1);
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// In `Draining` every answer says `Connection: close`; in `Closing` connections without a request are closed.
#[derive(PartialEq, PartialOrd)]
enum Phase {
    Serving,
    Draining,
    Closing,
}

/// What every connection needs to answer, and to know when to end.
#[derive(Clone)]
struct Hello {
    generation: String,
    work: Duration,
    phase: watch::Receiver<Phase>,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let outcome = match arguments.as_slice() {
        [option, url] if option == "--probe" => probe(url),
        [address] => serve(address),
        [] => serve(&env::var("ADDRESS").unwrap_or_else(|_| "0.0.0.0:8080".to_owned())),
        _ => Err("usage: hello [IP:PORT] | hello --probe http://IP:PORT/".into()),
    };
    let Err(error) = outcome else { return ExitCode::SUCCESS };
    // With stderr closed there is nobody left to tell.
    writeln!(io::stderr(), "hello: {error}").ok();
    ExitCode::FAILURE
}

#[tokio::main(flavor = "current_thread")]
async fn serve(address: &str) -> Result<(), Box<dyn Error>> {
    let mut stop = pin!(stop_request()?);
    let (turn, phase) = watch::channel(Phase::Serving);
    let generation = env::var("SEGUE_GENERATION").unwrap_or_else(|_| "0".to_owned());
    let work = milliseconds("HELLO_WORK")?;
    let hello = Hello {
        generation,
        work,
        phase,
    };
    if timeout(milliseconds("HELLO_START_DELAY")?, stop.as_mut()).await.is_ok() {
        return Ok(());
    }
    let mut listeners = passed_listeners()?;
    if listeners.is_empty() {
        let address: SocketAddr = address.parse().map_err(|_| format!("'{address}' is not IP:PORT"))?;
        let bound = TcpListener::bind(address).await;
        listeners.push(bound.map_err(|error| format!("cannot listen on {address}: {error}"))?);
    }
    for listener in listeners {
        tokio::spawn(accept(listener, hello.clone()));
    }
    drop(hello);
    notify_ready()?;

    stop.await;
    turn.send_replace(Phase::Draining);
    // `closed` means that nobody watches any more: the accept queue is empty and every connection is gone.
    if timeout(LINGER, turn.closed()).await.is_err() {
        turn.send_replace(Phase::Closing);
        turn.closed().await;
    }
    Ok(())
}

/// Resolves at the first SIGTERM; the handler is in place when this returns. A naive program leaves SIGTERM as it found it.
fn stop_request() -> io::Result<impl Future<Output = ()>> {
    let naive = env::var("HELLO_NAIVE").is_ok_and(|value| value == "1");
    let mut terminate = (!naive).then(|| signal(SignalKind::terminate())).transpose()?;
    Ok(async move {
        match &mut terminate {
            Some(terminate) => drop(terminate.recv().await),
            None => future::pending().await,
        }
    })
}

/// Accepts until the stop, then takes what the kernel has already queued: those clients believe that they are connected.
async fn accept(listener: TcpListener, hello: Hello) -> io::Result<()> {
    loop {
        tokio::select! {
            () = hello.reached(Phase::Draining) => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => drop(tokio::spawn(hello.clone().converse(stream))),
                // Out of file descriptors, most likely; the client waits in the queue meanwhile.
                Err(_) => sleep(Duration::from_millis(10)).await,
            },
        }
    }
    // Ask the kernel itself: the runtime answers "nothing there" for what it has not been told of yet.
    let listener = listener.into_std()?;
    while let Ok((stream, _)) = listener.accept() {
        stream.set_nonblocking(true)?;
        tokio::spawn(hello.clone().converse(TcpStream::from_std(stream)?));
    }
    Ok(())
}

impl Hello {
    async fn reached(&self, wanted: Phase) {
        drop(self.phase.clone().wait_for(|phase| *phase >= wanted).await);
    }

    async fn converse(self, stream: TcpStream) {
        let service = service_fn(|request| self.answer(request));
        let mut connection = pin!(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        // An error on a connection is a client that went away, which is the client's business.
        tokio::select! {
            _ = connection.as_mut() => {}
            () = self.reached(Phase::Closing) => {
                connection.as_mut().graceful_shutdown();
                connection.await.ok();
            }
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> hyper::http::Result<Response<String>> {
        let query = request.uri().query().unwrap_or_default();
        let asked = query.strip_prefix("ms=").and_then(|number| number.parse().ok());
        let greeting = format!("hello from generation {} (pid {})\n", self.generation, process::id());
        let (status, pause, body) = match (request.method(), request.uri().path()) {
            (&Method::GET, "/") => (StatusCode::OK, 0, greeting),
            (&Method::GET, "/slow") => (StatusCode::OK, asked.unwrap_or(1000), greeting),
            (&Method::GET, "/generation") => (StatusCode::OK, 0, self.generation.clone()),
            (_, "/crash") => process::abort(),
            _ => (StatusCode::NOT_FOUND, 0, "not found\n".to_owned()),
        };
        sleep(self.work + Duration::from_millis(pause)).await;
        let mut response = Response::builder().status(status);
        // Asked last, so that a request which was under way when the stop came is told too.
        if *self.phase.borrow() >= Phase::Draining {
            response = response.header(CONNECTION, "close");
        }
        response.body(body)
    }
}

/// The sockets that were opened for this very process, as systemd passes them.
#[expect(unsafe_code, reason = "the protocol passes descriptors as numbers")]
fn passed_listeners() -> io::Result<Vec<TcpListener>> {
    let number = |name: &str| env::var(name).ok()?.parse::<u32>().ok();
    let ours = number("LISTEN_PID") == Some(process::id());
    let count = number("LISTEN_FDS").filter(|_| ours).unwrap_or(0);
    let take = |(fd, _)| {
        // SAFETY: LISTEN_PID names this process, so descriptors from 3 on were opened for it; each is taken once.
        let listener = net::TcpListener::from(unsafe { OwnedFd::from_raw_fd(fd) });
        listener.set_nonblocking(true)?;
        TcpListener::from_std(listener)
    };
    (3..).zip(0..count).map(take).collect()
}

/// Tells whoever started us that new connections are served; `@name` is an abstract socket.
fn notify_ready() -> io::Result<()> {
    let Ok(path) = env::var("NOTIFY_SOCKET") else {
        return Ok(());
    };
    let address = match path.strip_prefix('@') {
        Some(name) => unix::net::SocketAddr::from_abstract_name(name)?,
        None => unix::net::SocketAddr::from_pathname(&path)?,
    };
    let socket = unix::net::UnixDatagram::unbound()?;
    socket.send_to_addr(b"READY=1", &address).map(drop)
}

fn milliseconds(name: &str) -> Result<Duration, String> {
    let value = env::var(name).unwrap_or_else(|_| "0".to_owned());
    let number = value.parse().map(Duration::from_millis);
    number.map_err(|_| format!("{name}: '{value}' is not a number of milliseconds"))
}

fn probe(url: &str) -> Result<(), Box<dyn Error>> {
    let address = url
        .strip_prefix("http://")
        .ok_or("the URL must be http://IP:PORT/PATH")?;
    let (host, path) = address.split_once('/').unwrap_or((address, ""));
    let mut stream = net::TcpStream::connect_timeout(&host.parse()?, PROBE_TIMEOUT)?;
    stream.set_read_timeout(Some(PROBE_TIMEOUT))?;
    write!(stream, "GET /{path} HTTP/1.0\r\nHost: {host}\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let status = answer.lines().next().unwrap_or_default();
    let healthy = status.starts_with("HTTP/1.0 2");
    healthy
        .then_some(())
        .ok_or_else(|| format!("{url} answered '{status}'").into())
}
