//! WATCHES a connection's bytes go by, and tells. It changes nothing, except that at the end it reads on for a while, so that
//! a client gets the last response.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use hyper::rt::{Read, ReadBuf, ReadBufCursor, Write};

use super::state::{Event, Teller, tell};

/// A client may send this much, in bytes, after the last response.
const LAST: usize = 1 << 20;

/// A stream whose bytes are seen.
#[derive(Debug)]
pub(super) struct Stream<T> {
    stream: T,
    teller: Teller,
    /// Bytes that were thrown away, once it is shut down.
    lingering: Option<usize>,
}

impl<T: Read + Write + Unpin> Stream<T> {
    pub(super) fn new(stream: T, teller: Teller) -> Stream<T> {
        Stream {
            stream,
            teller,
            lingering: None,
        }
    }

    fn wrote<R>(&self, written: Poll<R>) -> Poll<R> {
        if written.is_pending() {
            tell(&self.teller, Event::Blocked);
        }
        written
    }

    /// Throws away what still comes, up to the client's own end.
    fn poll_linger(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut bytes = [0; 4096];
        while self.lingering.is_some_and(|thrown| thrown < LAST) {
            let mut read = ReadBuf::new(&mut bytes);
            let over = ready!(Pin::new(&mut self.stream).poll_read(context, read.unfilled())).is_err();
            let count = read.filled().len();
            if over || count == 0 {
                break;
            }
            self.lingering = self.lingering.map(|thrown| thrown.saturating_add(count));
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: Read + Write + Unpin> Read for Stream<T> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(context, into);
        if read.is_ready() {
            tell(&self.teller, Event::Read);
        }
        read
    }
}

impl<T: Read + Write + Unpin> Write for Stream<T> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, from);
        self.wrote(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        from: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, from);
        self.wrote(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// hyper flushes the stream only when its own buffer is empty.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        tell(&self.teller, Event::Sent);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.lingering.is_none() {
            tell(&self.teller, Event::ShutDown);
            ready!(Pin::new(&mut self.stream).poll_shutdown(context))?;
            self.lingering = Some(0);
        }
        self.poll_linger(context)
    }
}
