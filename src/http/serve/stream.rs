//! WATCHES a connection's bytes go by, and tells. It changes nothing, except that in a drain it puts a GOAWAY between the
//! frames of HTTP/2, and that at the end it reads on for a while, so that a client gets the last response.

use std::{
    io::{self, IoSlice},
    mem::MaybeUninit,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use hyper::rt::{Read, ReadBuf, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::{
    gather,
    goaway::{Frames, GOAWAY},
    heads::Heads,
    life::Life,
    listener::Socket,
    state::{Event, Stage},
    version::{self, Version},
};

/// A client may send this much, in bytes, after the last response: as much as a quick one does in the time that it has. One that uploads
/// to a program that refuses it has megabytes under way before it knows.
const LAST: usize = 1 << 28;

/// Bytes that are read at a time where they are looked at.
const PIECE: usize = 4096;

/// A stream whose bytes are seen.
#[derive(Debug)]
pub(super) struct Stream {
    socket: TokioIo<Socket>,
    life: Arc<Life>,
    /// Bytes that were read to see what the client speaks.
    first: Vec<u8>,
    speaks: Speaks,
    /// Bytes that were thrown away, once it is shut down.
    lingering: Option<usize>,
    /// Once it is hijacked: the word that its time is over.
    cut: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
}

/// What is followed of what goes by.
#[derive(Debug)]
enum Speaks {
    Http1(Heads),
    Http2(Frames),
}

impl Stream {
    pub(super) fn new(socket: Socket, life: Arc<Life>) -> Stream {
        Stream {
            socket: TokioIo::new(socket),
            life,
            first: Vec::new(),
            speaks: Speaks::Http1(Heads::new()),
            lingering: None,
            cut: None,
        }
    }

    /// Finds out what the client speaks. Nothing is lost if this is dropped.
    pub(super) fn poll_version(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Version>> {
        loop {
            if let Some(version) = version::of(&self.first) {
                if version == Version::Http2 {
                    self.speaks = Speaks::Http2(Frames::default());
                    self.life.tell(Event::Preface);
                }
                return Poll::Ready(Ok(version));
            }
            let mut bytes = [MaybeUninit::uninit(); PIECE];
            let mut read = ReadBuf::uninit(&mut bytes);
            ready!(Pin::new(&mut self.socket).poll_read(context, read.unfilled()))?;
            if read.filled().is_empty() {
                // hyper sees the end, too.
                return Poll::Ready(Ok(Version::Http1));
            }
            self.life.tell(Event::Read);
            self.first.extend_from_slice(read.filled());
        }
    }

    /// Reads in pieces, to look at them.
    fn poll_read_heads(&mut self, context: &mut Context<'_>, mut into: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let mut bytes = [MaybeUninit::uninit(); PIECE];
        let room = bytes.get_mut(..into.remaining().min(PIECE)).unwrap_or_default();
        let mut read = ReadBuf::uninit(room);
        ready!(Pin::new(&mut self.socket).poll_read(context, read.unfilled()))?;
        self.look_at(read.filled());
        into.put_slice(read.filled());
        Poll::Ready(Ok(()))
    }

    fn look_at(&mut self, bytes: &[u8]) {
        if let Speaks::Http1(heads) = &mut self.speaks {
            self.life.seen(heads.read(bytes));
        }
    }

    /// Once it is hijacked: whoever has it learns that its time is over.
    fn poll_cut(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        let cut = self
            .cut
            .get_or_insert_with(|| Box::pin(self.life.hub.cut.clone().cancelled_owned()));
        match cut.as_mut().poll(context) {
            Poll::Ready(()) => Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the server has ended")),
            Poll::Pending => Ok(()),
        }
    }

    fn wrote<R>(&self, written: Poll<R>) -> Poll<R> {
        if written.is_pending() {
            self.life.tell(Event::Blocked);
        }
        written
    }

    /// Says GOAWAY first, if it is time and a frame ends here.
    fn poll_goaway(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Speaks::Http2(frames) = &mut self.speaks else {
            return Poll::Ready(Ok(()));
        };
        let begun = (1..GOAWAY.len()).contains(&frames.said);
        let due = frames.said == 0 && frames.is_between() && self.life.is_draining();
        if !(begun || due) {
            return Poll::Ready(Ok(()));
        }
        while let Some(rest) = GOAWAY.get(frames.said..).filter(|rest| !rest.is_empty()) {
            let count = ready!(Pin::new(&mut self.socket).poll_write(context, rest))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            frames.said = frames.said.saturating_add(count);
        }
        Poll::Ready(Ok(()))
    }

    /// Throws away what still comes, up to the client's own end.
    fn poll_linger(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut bytes = [MaybeUninit::uninit(); PIECE];
        while self.lingering.is_some_and(|thrown| thrown < LAST) {
            let mut read = ReadBuf::uninit(&mut bytes);
            let over = ready!(Pin::new(&mut self.socket).poll_read(context, read.unfilled())).is_err();
            let count = read.filled().len();
            if over || count == 0 {
                break;
            }
            self.lingering = self.lingering.map(|thrown| thrown.saturating_add(count));
        }
        Poll::Ready(Ok(()))
    }
}

impl Read for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut into: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.first.is_empty() {
            let here = self.first.len().min(into.remaining());
            let first: Vec<u8> = self.first.drain(..here).collect();
            self.look_at(&first);
            into.put_slice(&first);
            return Poll::Ready(Ok(()));
        }
        let stage = self.life.stage();
        if stage == Stage::Hijacked {
            self.poll_cut(context)?;
            return Pin::new(&mut self.socket).poll_read(context, into);
        }
        let lost = match &mut self.speaks {
            Speaks::Http1(heads) => {
                if stage == Stage::Idle {
                    heads.answered();
                }
                heads.is_lost()
            }
            Speaks::Http2(_) => true,
        };
        let read = if lost {
            Pin::new(&mut self.socket).poll_read(context, into)
        } else {
            self.poll_read_heads(context, into)
        };
        if read.is_ready() {
            self.life.tell(Event::Read);
        }
        read
    }
}

impl Write for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(from)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        from: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.life.stage() == Stage::Hijacked {
            self.poll_cut(context)?;
        }
        if self.poll_goaway(context)?.is_pending() {
            return self.wrote(Poll::Pending);
        }
        let written = gather::poll_write(Pin::new(&mut self.socket), context, from);
        if let (Poll::Ready(Ok(count)), Speaks::Http2(frames)) = (&written, &mut self.speaks) {
            let mut left = *count;
            for piece in from {
                let here = left.min(piece.len());
                frames.wrote(piece.get(..here).unwrap_or_default());
                left = left.saturating_sub(here);
            }
        }
        self.wrote(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    /// hyper flushes the stream only when its own buffer is empty.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_goaway(context))?;
        ready!(Pin::new(&mut self.socket).poll_flush(context))?;
        self.life.tell(Event::Sent);
        if self.life.has_part() {
            // It was read while the answer before it was under way.
            self.life.tell(Event::Read);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.life.stage() == Stage::Hijacked {
            return Pin::new(&mut self.socket).poll_shutdown(context);
        }
        if self.lingering.is_none() {
            self.life.tell(Event::ShutDown);
            ready!(Pin::new(&mut self.socket).poll_shutdown(context))?;
            self.lingering = Some(0);
        }
        self.poll_linger(context)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.life.tell(Event::Closed);
    }
}
