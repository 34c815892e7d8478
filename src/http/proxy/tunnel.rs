//! MOVES bytes both ways between a client and a program that speak something else than HTTP now. It understands none of them.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional};

use super::{link::Detached, load::Activity};

/// Moves them until both have ended, each for itself, or one fails.
pub(super) async fn tunnel(client: OnUpgrade, program: OnUpgrade, link: Detached, activity: Arc<Activity>) {
    let (client, program) = match tokio::try_join!(client, program) {
        Ok(ends) => ends,
        Err(error) => return tracing::debug!(%error, "an upgrade came to nothing"),
    };
    // It has given its socket away.
    drop(link);
    let mut client = Noted {
        stream: TokioIo::new(client),
        activity,
    };
    let mut program = TokioIo::new(program);
    if let Err(error) = copy_bidirectional(&mut client, &mut program).await {
        tracing::trace!(%error, "a tunnel ended early");
    }
}

/// A stream whose bytes are noticed.
struct Noted<T> {
    stream: T,
    activity: Arc<Activity>,
}

impl<T: AsyncRead + Unpin> AsyncRead for Noted<T> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, into);
        if into.filled().len() > before {
            self.activity.note();
        }
        read
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Noted<T> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, from);
        if matches!(written, Poll::Ready(Ok(1..))) {
            self.activity.note();
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
