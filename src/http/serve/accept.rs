//! ACCEPTS connections from several listeners in turn. Where the system has no room for another, it says so and pauses; it
//! never gives up.

use std::{
    future::{Future, poll_fn},
    io::{ErrorKind, Result},
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Sleep, sleep};

use super::listener::{Listener, Socket};

/// How long it pauses when files or memory are used up (EMFILE, ENFILE, ENOBUFS), or for an error that is not known.
const PAUSE: Duration = Duration::from_millis(50);

#[derive(Debug)]
pub(super) struct Acceptor {
    listeners: Vec<Listener>,
    /// Who is asked first, so that a busy one does not keep the others waiting.
    first: usize,
    pause: Option<Pin<Box<Sleep>>>,
}

impl Acceptor {
    pub(super) fn new(listeners: Vec<Listener>) -> Acceptor {
        Acceptor {
            listeners,
            first: 0,
            pause: None,
        }
    }

    /// The next connection, or why there is none; after that it pauses. Nothing is lost if this is dropped.
    pub(super) async fn accept(&mut self) -> Result<(Socket, Option<SocketAddr>)> {
        poll_fn(|context| self.poll_accept(context)).await
    }

    /// Takes what has come and no more: from here on connections are refused.
    pub(super) fn close(&mut self) -> Vec<(Socket, Option<SocketAddr>)> {
        let listeners = std::mem::take(&mut self.listeners);
        listeners.into_iter().flat_map(Listener::close).collect()
    }

    /// Ends a pause: a connection has ended, so that there is room for another.
    pub(super) fn resume(&mut self) {
        self.pause = None;
    }

    fn poll_accept(&mut self, context: &mut Context<'_>) -> Poll<Result<(Socket, Option<SocketAddr>)>> {
        loop {
            if let Some(pause) = &mut self.pause {
                if pause.as_mut().poll(context).is_pending() {
                    return Poll::Pending;
                }
                self.pause = None;
            }
            match self.poll_listeners(context) {
                Poll::Ready(Err(error)) if is_of_one_connection(error.kind()) => {}
                Poll::Ready(Err(error)) => {
                    self.pause = Some(Box::pin(sleep(PAUSE)));
                    return Poll::Ready(Err(error));
                }
                accepted @ (Poll::Ready(Ok(_)) | Poll::Pending) => return accepted,
            }
        }
    }

    fn poll_listeners(&mut self, context: &mut Context<'_>) -> Poll<Result<(Socket, Option<SocketAddr>)>> {
        let (before, after) = self.listeners.split_at(self.first.min(self.listeners.len()));
        for (index, listener) in after.iter().chain(before).enumerate() {
            if let Poll::Ready(accepted) = listener.poll_accept(context) {
                let next = self.first.saturating_add(index).saturating_add(1);
                self.first = next.checked_rem(self.listeners.len()).unwrap_or_default();
                return Poll::Ready(accepted);
            }
        }
        Poll::Pending
    }
}

/// The client is gone already: the next may be fine.
fn is_of_one_connection(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::Interrupted
    )
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpStream};
    use tokio_util::either::Either;

    use super::Acceptor;

    #[tokio::test]
    async fn each_listener_gets_its_turn() {
        let first = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let second = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (a, b) = (first.local_addr().unwrap(), second.local_addr().unwrap());
        let mut acceptor = Acceptor::new(vec![first.into(), second.into()]);
        let mut clients = Vec::new();
        for _ in 0..3 {
            clients.push(TcpStream::connect(a).await.unwrap());
        }
        clients.push(TcpStream::connect(b).await.unwrap());
        let mut order = Vec::new();
        for _ in 0..4 {
            let (socket, _) = acceptor.accept().await.unwrap();
            let Either::Left(stream) = socket else { panic!() };
            order.push(stream.local_addr().unwrap() == b);
        }
        assert!(order[..3].contains(&true), "{order:?}");
    }
}
