//! SPEAKS HTTP/1.1 over one connection to a program, a request at a time. It is driven by whoever waits for the answer, not by a
//! task of its own, which saves two wake-ups per request; while nobody waits nothing is read.

use std::{
    future::poll_fn,
    io::{self, IoSlice},
    net::SocketAddr,
    os::fd::{AsRawFd, RawFd},
    pin::Pin,
    task::{Context, Poll},
};

use hyper::{
    Request, Response,
    body::Incoming,
    client::conn::{TrySendError, http1},
    rt::{Read, ReadBufCursor, Write},
};
use hyper_util::rt::TokioIo;
use nix::sys::socket::{MsgFlags, recv};
use pin_project_lite::pin_project;
use tokio::{net::TcpStream, task::AbortHandle};

use super::request_body::RequestBody;
use crate::serve::gather;

/// A head of 64 KiB fits, and so much of a body is under way.
const BUFFER: usize = 128 * 1024;

/// The bytes of a connection. Heads are written together with what is small behind them.
struct Wire(TokioIo<TcpStream>);

impl Read for Wire {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, into)
    }
}

impl Write for Wire {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, from)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        from: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        gather::poll_write(Pin::new(&mut self.0), context, from)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

/// Reads and writes; hyper's own future must not be asked once more after its end, which an upgrade is too.
struct Driver {
    connection: Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>,
    ended: bool,
}

impl Driver {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        // Whoever reads the answer is told of an error there.
        self.ended = self.ended || self.connection.as_mut().poll(context).is_ready();
        if self.ended { Poll::Ready(()) } else { Poll::Pending }
    }
}

/// A connection to a program.
pub(super) struct Link {
    sender: http1::SendRequest<RequestBody>,
    driver: Driver,
    /// Of the driver's own socket: valid as long as that is.
    socket: RawFd,
    /// Has it answered a request before?
    pub(super) used: bool,
}

impl Link {
    pub(super) async fn connect(address: SocketAddr) -> io::Result<Link> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let socket = stream.as_raw_fd();
        let mut builder = http1::Builder::new();
        builder.max_buf_size(BUFFER);
        let handshake = builder.handshake(Wire(TokioIo::new(stream))).await;
        let (sender, connection) = handshake.map_err(io::Error::other)?;
        Ok(Link {
            sender,
            driver: Driver {
                connection: Box::pin(connection.with_upgrades()),
                ended: false,
            },
            socket,
            used: false,
        })
    }

    /// Asks; the head of the answer. An error that holds the request says that nothing of it was sent.
    pub(super) fn ask(
        &mut self,
        request: Request<RequestBody>,
    ) -> impl Future<Output = Result<Response<Incoming>, TrySendError<Request<RequestBody>>>> {
        Ask {
            answer: self.sender.try_send_request(request),
            driver: &mut self.driver,
        }
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

pin_project! {
    /// Drives the connection until the answer is there.
    struct Ask<'a, F> {
        driver: &'a mut Driver,
        #[pin]
        answer: F,
    }
}

impl<F: Future> Future for Ask<'_, F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let it = self.project();
        let _over = it.driver.poll(context);
        it.answer.poll(context)
    }
}

/// A link that drives itself. Dropped, the connection is closed.
#[derive(Debug)]
pub(super) struct Detached {
    task: AbortHandle,
    /// Without it the driver would believe that nobody wants anything any more.
    _sender: http1::SendRequest<RequestBody>,
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
