//! SPEAKS HTTP/1.1 over one connection to a program, a request at a time. It is driven by whoever waits for the answer, not by a
//! task of its own, which saves two wake-ups per request; while nobody waits nothing is read.

use std::{
    future::poll_fn,
    io,
    net::SocketAddr,
    os::fd::{AsRawFd, RawFd},
    task::{Context, Poll},
};

use hyper::{Request, Response, body::Incoming, client::conn::TrySendError};
use nix::sys::socket::{MsgFlags, recv};
use tokio::{net::TcpStream, task::AbortHandle};

use crate::caller::{self, Body, Head, Wire};

/// A head of 64 KiB fits, and so much of a body is under way.
const BUFFER: usize = 128 * 1024;

/// A connection to a program.
pub(super) struct Link {
    sender: caller::Sender,
    driver: caller::Driver,
    /// Of the driver's own socket: valid as long as that is.
    socket: RawFd,
    /// Has it answered a request before?
    pub(super) used: bool,
    head: Head,
}

impl Link {
    pub(super) async fn connect(address: SocketAddr) -> io::Result<Link> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let socket = stream.as_raw_fd();
        let head = Head::default();
        let begun = caller::over(Wire::tcp(stream, head.clone()), Some(BUFFER)).await;
        let (sender, driver) = begun.map_err(io::Error::other)?;
        Ok(Link {
            sender,
            driver,
            socket,
            used: false,
            head,
        })
    }

    /// Asks; the head of the answer. An error that holds the request says that nothing of it was sent. May it be sent twice, where
    /// the program may not have seen it?
    pub(super) fn ask(
        &mut self,
        request: Request<Body>,
        twice: bool,
    ) -> impl Future<Output = Result<Response<Incoming>, Box<TrySendError<Request<Body>>>>> {
        self.head.begin(twice);
        self.driver.until(self.sender.try_send_request(request))
    }

    /// Nobody has read the request that has failed, or not all of it: the program ended while it was in a queue of the kernel.
    pub(super) fn is_unread(&self) -> bool {
        self.head.is_unread()
    }

    /// The request that has failed, if it may be sent twice.
    pub(super) fn again(&self) -> Option<Request<Body>> {
        self.head.again()
    }

    /// Goes on reading and writing; an end is the end of the connection.
    pub(super) fn poll_drive(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.driver.poll(context)
    }

    /// The answer was taken to its end: can another request be sent?
    pub(super) fn is_reusable(&mut self, context: &mut Context<'_>) -> bool {
        self.poll_drive(context).is_pending() && self.sender.is_ready()
    }

    /// Nobody has read from it while it was idle: has the program closed it meanwhile, or said something unasked? What the
    /// kernel knows now counts, and not what the event loop has been told.
    pub(super) fn is_quiet(&self) -> bool {
        let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
        recv(self.socket, &mut [0], flags) == Err(nix::Error::EAGAIN)
    }

    /// Goes on by itself, to be ended by the handle.
    pub(super) fn detach(self) -> Detached {
        let Link { mut driver, sender, .. } = self;
        let task = tokio::spawn(poll_fn(move |context| driver.poll(context)));
        Detached {
            task: task.abort_handle(),
            _sender: sender,
        }
    }
}

/// A link that drives itself. Dropped, the connection is closed.
#[derive(Debug)]
pub(super) struct Detached {
    task: AbortHandle,
    /// Without it the driver would believe that nobody wants anything any more.
    _sender: caller::Sender,
}

impl Drop for Detached {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link")
            .field("socket", &self.socket)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use hyper::{Request, StatusCode};
    use tokio::{io::AsyncWriteExt, net::TcpListener};

    use super::{Body, Link};

    /// At every moment at which a program may end while a request is in its queue, it shows that nobody has read it.
    #[tokio::test]
    async fn a_request_in_a_queue_that_ends_is_unread() {
        for reset_first in [true, false] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let mut link = Link::connect(listener.local_addr().unwrap()).await.unwrap();
            let listener = (!reset_first).then_some(listener);
            let request = Request::builder().uri("/").header("host", "x").body(Body::none());
            let answer = link.ask(request.unwrap(), true);
            let end = async {
                tokio::task::yield_now().await;
                drop(listener);
            };
            let (answer, ()) = tokio::join!(answer, end);
            let mut error = answer.unwrap_err();
            assert!(error.take_message().is_none(), "{reset_first}: hyper has begun it");
            assert!(link.is_unread(), "{reset_first}: {error:?}");
            assert_eq!(link.again().unwrap().uri(), "/");
        }
    }

    #[tokio::test]
    async fn one_that_was_answered_is_not() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut link = Link::connect(listener.local_addr().unwrap()).await.unwrap();
        let request = Request::builder().uri("/").header("host", "x").body(Body::none());
        let program = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.readable().await.unwrap();
            let mut come = [0; 256];
            assert_ne!(stream.try_read(&mut come).unwrap(), 0);
            stream.write_all(b"HTTP/1.1 204 No\r\n\r\n").await.unwrap();
        };
        let (answer, ()) = tokio::join!(link.ask(request.unwrap(), true), program);
        assert_eq!(answer.unwrap().status(), StatusCode::NO_CONTENT);
        assert!(!link.is_unread());
    }
}
