//! Many streams over one connection of HTTP/2, each asking again as soon as it is answered. A request that hyper gives back,
//! since it was never sent, goes over a new connection and is no failure; everything else is one.

use std::{error::Error, io, sync::Arc};

use http_body_util::{BodyExt, Empty};
use hyper::{
    Request,
    body::Bytes,
    client::conn::http2::{self, SendRequest},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{net::TcpStream, sync::Mutex, task::JoinSet, time::timeout};

use super::{
    super::{
        http1::TIMEOUT,
        tally::{Failed, Failure},
    },
    Client,
};

/// The connection that new streams are opened on, and its number.
type Shared = Arc<Mutex<(u64, SendRequest<Empty<Bytes>>)>>;

pub async fn streams(client: Client, count: usize) {
    let connection = connect(&client).await.expect("the first connection");
    let shared = Shared::new(Mutex::new((0, connection)));
    let mut streams = JoinSet::new();
    for _ in 0..count {
        streams.spawn(stream(client.clone(), Arc::clone(&shared)));
    }
    while let Some(ended) = streams.join_next().await {
        ended.unwrap();
    }
}

async fn stream(client: Client, shared: Shared) {
    while client.goes_on() {
        let (number, mut connection) = shared.lock().await.clone();
        match timeout(TIMEOUT, ask(&mut connection)).await {
            Ok(Ok(true)) => client.tally.answered(1),
            Ok(Ok(false)) => client.tally.handed_back(1),
            Ok(Err(failed)) => client.tally.failed(failed, 1),
            Err(late) => client.tally.failed(Failure::TimedOut.because(late), 1),
        }
        let mut shared = shared.lock().await;
        if shared.0 == number && connection.is_closed() {
            match connect(&client).await {
                Ok(connection) => *shared = (number + 1, connection),
                Err(failed) => client.tally.failed(failed, 1),
            }
        }
    }
}

/// Was it answered? Else it was given back.
async fn ask(connection: &mut SendRequest<Empty<Bytes>>) -> Result<bool, Failed> {
    let request = Request::get("http://test/").body(Empty::new()).unwrap();
    let response = match connection.try_send_request(request).await {
        Ok(response) => response,
        Err(error) if error.message().is_some() => return Ok(false),
        Err(error) => return Err(failed(error.error())),
    };
    if response.status() != 200 {
        return Err(Failure::BadStatus.because(response.status()));
    }
    match response.into_body().collect().await {
        Ok(body) => match body.to_bytes().as_ref() {
            b"hello\n" => Ok(true),
            _ => Err(Failure::BadStatus.because("another body")),
        },
        Err(error) => Err(Failure::Truncated.because(in_full(&error))),
    }
}

async fn connect(client: &Client) -> Result<SendRequest<Empty<Bytes>>, Failed> {
    let stream = TcpStream::connect(client.address).await?;
    stream.set_nodelay(true)?;
    let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
    let (requests, connection) = handshake.map_err(|error| failed(&error))?;
    // Its end shows in its requests.
    tokio::spawn(async { connection.await.ok() });
    Ok(requests)
}

fn failed(error: &hyper::Error) -> Failed {
    let mut source: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(cause) = source {
        if let Some(io) = cause.downcast_ref::<io::Error>() {
            return Failed::from(io::Error::new(io.kind(), in_full(error)));
        }
        source = cause.source();
    }
    Failure::ClosedReused.because(in_full(error))
}

fn in_full(error: &hyper::Error) -> String {
    error
        .source()
        .map_or(error.to_string(), |source| format!("{error}: {source}"))
}
