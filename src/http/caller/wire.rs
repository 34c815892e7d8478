//! CARRIES the bytes of a connection. Heads are written together with what is small behind them, and remembered if that is wanted.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_util::either::Either;

use super::head::Head;
use crate::serve::gather;

/// A stream of any kind.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// The bytes, and the head that was written last.
pub(crate) struct Wire {
    stream: TokioIo<Either<TcpStream, Box<dyn Stream>>>,
    head: Head,
    /// Nothing can be written any more. An answer may have come all the same: whoever refuses an upload answers before it is over, and
    /// closes. So what is written vanishes, and what has come is read to its end.
    deaf: bool,
}

impl Wire {
    /// The quick way.
    pub(crate) fn tcp(stream: TcpStream, head: Head) -> Wire {
        Wire {
            stream: TokioIo::new(Either::Left(stream)),
            head,
            deaf: false,
        }
    }

    /// Any other.
    pub(super) fn remembering(stream: Box<dyn Stream>, head: Head) -> Wire {
        Wire {
            stream: TokioIo::new(Either::Right(stream)),
            head,
            deaf: false,
        }
    }

    /// Nobody here ends its own sending before it has sent all: what cannot be written was reset.
    fn written(&mut self, written: Poll<io::Result<usize>>, all: usize) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(Err(_)) => {
                self.head.reset();
                self.deaf = true;
                Poll::Ready(Ok(all))
            }
            Poll::Ready(Ok(_)) | Poll::Pending => written,
        }
    }
}

impl Read for Wire {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(context, into);
        if let Poll::Ready(Err(error)) = &read
            && error.kind() == io::ErrorKind::ConnectionReset
        {
            self.head.reset();
        }
        read
    }
}

/// A reset that came behind the end shows as the end, and stays untold until it is asked for.
impl Drop for Wire {
    fn drop(&mut self) {
        if let Either::Left(stream) = self.stream.inner()
            && let Ok(Some(_)) = stream.take_error()
        {
            self.head.reset();
        }
    }
}

impl Write for Wire {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        self.head.writes(std::iter::once(from));
        if self.deaf {
            return Poll::Ready(Ok(from.len()));
        }
        let written = Pin::new(&mut self.stream).poll_write(context, from);
        self.written(written, from.len())
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        from: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.head.writes(from.iter().map(|it| &**it));
        let all = from.iter().map(|it| it.len()).sum();
        if self.deaf {
            return Poll::Ready(Ok(all));
        }
        let written = gather::poll_write(Pin::new(&mut self.stream), context, from);
        self.written(written, all)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.deaf {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
