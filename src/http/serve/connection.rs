//! SERVES one connection: hyper's exchange of requests and responses, and what the clock says is to be done with it. It
//! never outlives a limit but while the service itself is at work.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
    time::Duration,
};

use hyper::{
    body::{Body, Incoming},
    rt::bounds::Http2ServerConnExec,
    server::conn::{http1, http2},
    service::{HttpService, service_fn},
};
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::{
    answers::{Answers, AnyError},
    clock::Clock,
    exchange::answer,
    life::Life,
    limits::Limits,
    listener::{Socket, number},
    patience::Deed,
    state::Stage,
    stream::Stream,
    version::Version,
};

/// hyper's buffer cannot be smaller.
const SMALLEST_BUFFER: usize = 8192;

/// A client of HTTP/2 that has requests under way is asked this often whether it is there, and has this long to answer.
const PING: Duration = Duration::from_secs(20);

/// Serves it to its end, that of whoever hijacks it included.
pub(super) async fn serve<A: Answers>(socket: Socket, answers: A, limits: Limits, life: Arc<Life>) {
    let mut clock = pin!(Clock::new(&life, limits, number(&socket)));
    let mut stream = Stream::new(socket, Arc::clone(&life));
    let version = poll_fn(|context| {
        if !limits.http2 {
            return Poll::Ready(Some(Version::Http1));
        }
        loop {
            if let Poll::Ready(version) = stream.poll_version(context) {
                return Poll::Ready(version.ok());
            }
            match clock.as_mut().poll(context) {
                Poll::Ready(None) => {}
                Poll::Ready(Some(Deed::Leave | Deed::Cut)) => return Poll::Ready(None),
                Poll::Pending => return Poll::Pending,
            }
        }
    });
    let Some(version) = version.await else { return };
    let own = Arc::clone(&life);
    let service = service_fn(move |request| answer(&own, &answers, request));
    let ended = match version {
        Version::Http1 => {
            let mut builder = http1::Builder::new();
            // The default is hyper's. It makes room for so many without an allocation, which it does for each head if it is told a
            // number, be it the same.
            if limits.max_headers != Limits::DEFAULT.max_headers {
                builder.max_headers(limits.max_headers);
            }
            let connection = builder
                // Instead of hyper's own, which does not tell a client that is idle from one that is slow.
                .header_read_timeout(None)
                .max_buf_size(limits.max_header_bytes.max(SMALLEST_BUFFER))
                .max_header_size(limits.max_header_bytes)
                .serve_connection(stream, service)
                .with_upgrades();
            drive(pin!(connection), clock.as_mut()).await
        }
        Version::Http2 => {
            let connection = http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .keep_alive_interval(PING)
                .keep_alive_timeout(PING)
                .max_header_list_size(limits.max_header_bytes.try_into().unwrap_or(u32::MAX))
                .serve_connection(stream, service);
            drive(pin!(connection), clock.as_mut()).await
        }
    };
    match ended {
        Ok(()) => {}
        Err(Early::Error(error)) => tracing::trace!(id = life.id, %error, "a connection ended early"),
        Err(Early::TookTooLong(stage)) => tracing::trace!(id = life.id, ?stage, "a connection took too long"),
    }
    poll_fn(|context| {
        while clock.as_mut().poll(context).is_ready() {}
        if life.stage() == Stage::Hijacked {
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    })
    .await;
}

/// Why a connection did not end as it should.
enum Early {
    Error(hyper::Error),
    TookTooLong(Stage),
}

async fn drive<C: Exchange>(mut connection: Pin<&mut C>, mut clock: Pin<&mut Clock<'_>>) -> Result<(), Early> {
    poll_fn(|context| {
        loop {
            if let Poll::Ready(ended) = connection.as_mut().poll(context) {
                return Poll::Ready(ended.map_err(Early::Error));
            }
            match clock.as_mut().poll(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => {}
                Poll::Ready(Some(Deed::Leave)) => connection.as_mut().leave(),
                Poll::Ready(Some(Deed::Cut)) => return Poll::Ready(Err(Early::TookTooLong(clock.stage()))),
            }
        }
    })
    .await
}

/// hyper's connections of either version.
trait Exchange: Future<Output = hyper::Result<()>> {
    /// Ends it as soon as what has come is answered.
    fn leave(self: Pin<&mut Self>);
}

impl<S, B> Exchange for http1::UpgradeableConnection<Stream, S>
where
    S: HttpService<Incoming, ResBody = B>,
    S::Error: Into<AnyError>,
    B: Body + 'static,
    B::Error: Into<AnyError>,
{
    fn leave(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

impl<S, B> Exchange for http2::Connection<Stream, S, TokioExecutor>
where
    S: HttpService<Incoming, ResBody = B>,
    S::Error: Into<AnyError>,
    B: Body + 'static,
    B::Error: Into<AnyError>,
    TokioExecutor: Http2ServerConnExec<S::Future, B>,
{
    fn leave(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}
