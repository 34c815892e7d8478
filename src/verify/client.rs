//! ASKS as a client does: over a connection of its own, or over one that it keeps. Tells the ways to fail apart.

use std::{
    error::Error,
    fmt, io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http_body_util::BodyExt;
use hyper::{
    Request,
    header::{CONNECTION, HOST, USER_AGENT},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use super::tally::{Failure, Kind};
use crate::caller;

/// What to ask, and whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Where.
    pub address: SocketAddr,
    /// The Host header.
    pub host: String,
    /// Path and query.
    pub path: String,
}

/// A connection.
pub(super) struct Link {
    sender: caller::Sender,
    driver: caller::Driver,
    /// Has it brought an answer before?
    used: bool,
}

impl Question {
    /// One request over a connection of its own.
    pub(super) async fn ask_once(&self) -> Result<(), Failure> {
        let mut link = Link::open(self.address).await?;
        link.exchange(self, true).await.map_err(|error| failure(&*error))
    }

    /// One request over `link`, which is opened if need be. True: `link` was closed under it, as a program may do with a
    /// connection that it has answered on before, and it was sent again over a new one, as every HTTP client does.
    pub(super) async fn ask_over(&self, link: &mut Option<Link>) -> (Result<(), Failure>, bool) {
        let mut retried = false;
        loop {
            let mut open = match self.take_or_open(link).await {
                Ok(open) => open,
                Err(failure) => return (Err(failure), retried),
            };
            let used = open.used;
            match open.exchange(self, false).await {
                Ok(()) => {
                    *link = (!open.driver.is_over()).then_some(open);
                    return (Ok(()), retried);
                }
                Err(error) if used && !retried && is_unheard(&*error) => retried = true,
                Err(error) => {
                    *link = (!open.driver.is_over() && error.is::<Status>()).then_some(open);
                    return (Err(failure(&*error)), retried);
                }
            }
        }
    }

    async fn take_or_open(&self, link: &mut Option<Link>) -> Result<Link, Failure> {
        if let Some(mut link) = link.take()
            && link.is_ready().await
        {
            return Ok(link);
        }
        Link::open(self.address).await
    }
}

impl Link {
    async fn open(address: SocketAddr) -> Result<Link, Failure> {
        let stream = TcpStream::connect(address).await.map_err(|error| failure(&error))?;
        stream.set_nodelay(true).map_err(|error| failure(&error))?;
        let wire = Wire {
            stream,
            awaiting: false,
        };
        let (sender, driver) = caller::handshake(Box::new(wire))
            .await
            .map_err(|error| failure(&error))?;
        Ok(Link {
            sender,
            driver,
            used: false,
        })
    }

    /// Waits until the program closes it; for ever if it has.
    pub(super) async fn closed(&mut self) {
        if self.driver.is_over() {
            return std::future::pending().await;
        }
        self.driver.over().await;
    }

    async fn is_ready(&mut self) -> bool {
        let Link { sender, driver, .. } = self;
        tokio::select! {
            biased;
            () = driver.over() => false,
            ready = sender.ready() => ready.is_ok(),
        }
    }

    async fn exchange(&mut self, question: &Question, last: bool) -> Result<(), Box<dyn Error + Send + Sync>> {
        let mut request = Request::get(&question.path)
            .header(HOST, &question.host)
            .header(USER_AGENT, "segue-verify");
        if last {
            request = request.header(CONNECTION, "close");
        }
        let request = request.body(caller::Body::none())?;
        let Link { sender, driver, .. } = self;
        let answer = async {
            let mut response = sender.send_request(request).await?;
            while let Some(frame) = response.frame().await {
                frame?;
            }
            Ok::<_, hyper::Error>(response.status())
        };
        // What ended the connection is told to the answer as well.
        let status = driver.until(answer).await.map_err(|error| *error)?;
        self.used = true;
        if status.is_success() {
            Ok(())
        } else {
            Err(Status(status.as_u16()).into())
        }
    }
}

/// An answer that is no success.
#[derive(Debug)]
struct Status(u16);

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "status {}", self.0)
    }
}

impl Error for Status {}

/// The connection was closed after a request was written and before anything of its answer came.
#[derive(Debug, Clone, Copy)]
enum Unheard {
    Closed,
    Reset,
}

impl fmt::Display for Unheard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("closed without an answer")
    }
}

impl Error for Unheard {}

/// The errors that led to this one, itself first.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

fn unheard(error: &(dyn Error + 'static)) -> Option<Unheard> {
    chain(error).find_map(|error| error.downcast_ref::<io::Error>()?.get_ref()?.downcast_ref().copied())
}

/// May the request be sent again, because nothing of its answer has come, or it was not even sent?
fn is_unheard(error: &(dyn Error + 'static)) -> bool {
    let canceled = error.downcast_ref().is_some_and(hyper::Error::is_canceled);
    canceled || unheard(error).is_some()
}

/// What an error means for whoever asked.
fn failure(error: &(dyn Error + 'static)) -> Failure {
    let (kind, detail) = match (unheard(error), error.downcast_ref::<Status>()) {
        (Some(Unheard::Reset), _) => (Kind::Reset, String::new()),
        (Some(Unheard::Closed), _) => (Kind::Truncated, String::new()),
        (None, Some(status)) => (Kind::Not2xx, status.to_string()),
        (None, None) => of_system(error),
    };
    Failure { kind, detail }
}

fn of_system(error: &(dyn Error + 'static)) -> (Kind, String) {
    if let Some(error) = chain(error).find_map(|error| error.downcast_ref::<io::Error>()) {
        let kinds = [
            (io::ErrorKind::ConnectionRefused, Kind::Refused),
            (io::ErrorKind::ConnectionReset, Kind::Reset),
            (io::ErrorKind::ConnectionAborted, Kind::Reset),
            (io::ErrorKind::BrokenPipe, Kind::Reset),
            (io::ErrorKind::UnexpectedEof, Kind::Truncated),
            (io::ErrorKind::TimedOut, Kind::TimedOut),
        ];
        let known = kinds.iter().find(|(kind, _)| *kind == error.kind());
        return known.map_or_else(|| (Kind::Other, error.to_string()), |(_, kind)| (*kind, String::new()));
    }
    let hyper = error.downcast_ref::<hyper::Error>();
    if hyper.is_some_and(|it| it.is_incomplete_message() || it.is_canceled() || it.is_closed()) {
        return (Kind::Truncated, String::new());
    }
    (
        Kind::Other,
        chain(error).map(ToString::to_string).collect::<Vec<_>>().join(": "),
    )
}

/// A stream that tells whether an answer had begun when it was closed.
struct Wire {
    stream: TcpStream,
    awaiting: bool,
}

impl Wire {
    fn told(&self, error: io::Error) -> io::Error {
        let cut = matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe);
        if self.awaiting && cut {
            io::Error::other(Unheard::Reset)
        } else {
            error
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = ready!(Pin::new(&mut self.stream).poll_read(context, buffer));
        Poll::Ready(match read {
            Ok(()) if buffer.filled().len() > before => {
                self.awaiting = false;
                Ok(())
            }
            Ok(()) if self.awaiting => Err(io::Error::other(Unheard::Closed)),
            Ok(()) => Ok(()),
            Err(error) => Err(self.told(error)),
        })
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.awaiting = true;
        let written = ready!(Pin::new(&mut self.stream).poll_write(context, bytes));
        Poll::Ready(written.map_err(|error| self.told(error)))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests;
