//! Answers: what all servers serve alike, and a count of how often they were asked.

use std::{
    convert::Infallible,
    fmt::Debug,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Response, StatusCode,
    body::{Body, Bytes},
};

use super::websocket;

/// How long `/slow` takes.
pub const SLOW: Duration = Duration::from_millis(8);

/// What `/large` answers, in bytes: more than the kernel keeps of a narrow connection.
const LARGE: usize = 5 << 20;

static LARGE_BODY: LazyLock<Bytes> = LazyLock::new(|| vec![b'x'; LARGE].into());

/// The routes of one generation.
#[derive(Debug, Clone)]
pub struct Routes {
    answers: Arc<AtomicU64>,
}

impl Routes {
    pub fn new(answers: Arc<AtomicU64>) -> Routes {
        Routes { answers }
    }

    /// It was asked once more.
    pub fn count(&self) {
        self.answers.fetch_add(1, Ordering::Relaxed);
    }

    pub async fn answer<B>(self, request: Request<B>) -> Result<Response<Full<Bytes>>, Infallible>
    where
        B: Body<Data = Bytes, Error: Debug> + Send + 'static,
    {
        self.count();
        let body = match request.uri().path() {
            "/" => Bytes::from_static(b"hello\n"),
            "/slow" => {
                tokio::time::sleep(SLOW).await;
                Bytes::from_static(b"slow\n")
            }
            "/large" => LARGE_BODY.clone(),
            "/echo" => match request.into_body().collect().await {
                Ok(body) => body.to_bytes(),
                Err(_) => return Ok(status(StatusCode::BAD_REQUEST)),
            },
            "/ws" => return Ok(websocket::accept(request, self)),
            _ => return Ok(status(StatusCode::NOT_FOUND)),
        };
        Ok(Response::new(Full::new(body)))
    }
}

/// Is this what `/large` answers?
pub fn is_large(body: &[u8]) -> bool {
    body == LARGE_BODY.as_ref()
}

/// Nothing but a status.
pub fn status(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::default();
    *response.status_mut() = status;
    response
}
