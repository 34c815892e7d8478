//! ANSWERS HTTP requests of probes, Prometheus and people. Read only: whatever is asked becomes a question to the loop, with
//! a time limit, and nothing here waits for anything else or decides.

mod reply;
mod routes;
#[cfg(test)]
mod tests;

use std::{
    convert::Infallible,
    future::pending,
    net::SocketAddr,
    time::{Duration, SystemTime},
};

use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Response, StatusCode, Version,
    body::{Body, Bytes, Incoming},
    header::{ACCEPT, CACHE_CONTROL, CONNECTION, HeaderMap, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS},
};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use self::{reply::Reply, routes::Route};
use super::Question;
use crate::serve::{
    Listener, Server,
    endpoint::{self, Answer, Endpoint},
};

const MAX_CONNECTIONS: usize = 64;
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
const MAX_HEADER_BYTES: usize = 16 * 1024;
const MAX_HEADERS: usize = 64;

/// What clients may take. A probe is never kept out: it takes the place of somebody who is silent.
fn server() -> Server {
    Server::new()
        .http1_only()
        .max_connections(MAX_CONNECTIONS)
        .first_byte_timeout(HEADER_TIMEOUT)
        .header_timeout(HEADER_TIMEOUT)
        .idle_timeout(Duration::from_secs(60))
        .response_timeout(Duration::from_secs(10))
        .max_header_bytes(MAX_HEADER_BYTES)
        .max_headers(MAX_HEADERS)
}

/// How long the loop may take to answer.
#[derive(Debug, Clone, Copy)]
struct Patience {
    /// A probe. Kubernetes itself waits for one second by default.
    probe: Duration,
    /// Anything else: there may be very many connections to count.
    other: Duration,
}

const PATIENCE: Patience = Patience {
    probe: Duration::from_secs(1),
    other: Duration::from_secs(5),
};

/// Serves the endpoint for ever. The listeners must not block. Needs a tokio runtime with time and I/O.
pub async fn run(listeners: Vec<std::net::TcpListener>, questions: mpsc::Sender<Question>) -> Infallible {
    run_within(listeners, questions, server(), PATIENCE).await
}

async fn run_within(
    listeners: Vec<std::net::TcpListener>,
    questions: mpsc::Sender<Question>,
    server: Server,
    patience: Patience,
) -> Infallible {
    let mut heard = Vec::new();
    for listener in listeners {
        match Listener::try_from(listener) {
            Ok(listener) => heard.push(listener),
            Err(error) => tracing::error!(%error, "cannot serve the admin endpoint"),
        }
    }
    let admin = Admin { questions, patience };
    server
        .serve_endpoint(heard, Box::new(admin), CancellationToken::new())
        .await;
    pending().await
}

#[derive(Clone)]
struct Admin {
    questions: mpsc::Sender<Question>,
    patience: Patience,
}

impl Endpoint for Admin {
    fn answer(&self, _client: Option<SocketAddr>, request: Request<Incoming>) -> Answer {
        let Admin { questions, patience } = self.clone();
        Box::pin(async move { respond(&request, &questions, patience).await })
    }

    fn again(&self) -> Box<dyn Endpoint> {
        Box::new(self.clone())
    }
}

async fn respond(
    request: &Request<Incoming>,
    questions: &mpsc::Sender<Question>,
    patience: Patience,
) -> Response<endpoint::Body> {
    let (method, uri) = (request.method().as_str(), request.uri());
    let reply = match routes::route(method, uri.path(), uri.query()) {
        Ok(route) => answer(route, request.headers(), questions, patience)
            .await
            .unwrap_or_else(Reply::silence),
        Err(reply) => reply,
    };
    // A body is not read, so that what follows it cannot be told from it.
    let close = !request.body().is_end_stream();
    response(reply, close, request.version())
}

/// The reply, or nothing if the loop does not answer in time.
async fn answer(
    route: Route,
    headers: &HeaderMap,
    questions: &mpsc::Sender<Question>,
    patience: Patience,
) -> Option<Reply> {
    let status = |connections| move |answer| Question::Status { connections, answer };
    match route {
        Route::Probe { probe, verbose } => {
            let status = ask(questions, patience.probe, status(false)).await?;
            Some(Reply::probe(probe, verbose, &status))
        }
        Route::Status => Some(Reply::status(&*ask(questions, patience.other, status(true)).await?)),
        Route::Page => {
            let status = ask(questions, patience.other, status(true)).await?;
            Some(Reply::page(&status, SystemTime::now()))
        }
        Route::Metrics => {
            let metrics = ask(questions, patience.other, |answer| Question::Metrics { answer }).await?;
            let accept: Vec<_> = headers
                .get_all(ACCEPT)
                .iter()
                .filter_map(|it| it.to_str().ok())
                .collect();
            Some(Reply::metrics(metrics, &accept.join(",")))
        }
    }
}

/// Asks the loop, and waits no longer than that: neither for room in the queue nor for the answer.
async fn ask<T>(
    questions: &mpsc::Sender<Question>,
    patience: Duration,
    question: impl FnOnce(oneshot::Sender<T>) -> Question,
) -> Option<T> {
    let (sender, receiver) = oneshot::channel();
    let asked = async {
        questions.send(question(sender)).await.ok()?;
        receiver.await.ok()
    };
    timeout(patience, asked).await.ok().flatten()
}

fn response(reply: Reply, close: bool, version: Version) -> Response<endpoint::Body> {
    // hyper leaves the body out where the method is HEAD, and says how long it would be.
    let body = Full::new(Bytes::from(reply.body)).map_err(|never| match never {});
    let mut response = Response::new(endpoint::Body::new(body));
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or_default();
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    for (name, value) in reply.fields {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    if close && version == Version::HTTP_11 {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}
