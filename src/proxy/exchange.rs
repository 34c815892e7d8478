//! FORWARDS one request and its answer. It tries again only where nothing of the request was sent, or where to send it twice is
//! the same as once; it never answers in the program's name.

use std::{
    convert::Infallible,
    future::poll_fn,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::Poll,
    time::Duration,
};

use hyper::{
    Request, Response, StatusCode, Version,
    body::{Body, Incoming},
    header::{ALLOW, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HeaderValue, RETRY_AFTER, TRANSFER_ENCODING},
    upgrade::OnUpgrade,
};
use tokio::time::{Instant, timeout_at};

use super::{
    Proxy,
    fields::{asked_upgrade, to_client, to_program},
    link::Link,
    load::{Passing, Waiting},
    origin::Origin,
    refusal::{Refusal, refusal},
    request_body::{RequestBody, Teller, Wish},
    response_body::{Driver, ResponseBody},
    tunnel::tunnel,
    upstream::Upstream,
};

/// Before a program that refused a connection is tried again; doubles up to the longest.
const PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

/// A request on its way, with what is needed to send it again.
struct Exchange {
    proxy: Proxy,
    /// When waiting is over; `None` before the first wait. (Inside: `None` is never.)
    until: Option<Option<Instant>>,
    pause: Duration,
}

/// Forwards it, or says why not.
pub(super) async fn forward(
    proxy: Proxy,
    mut request: Request<Incoming>,
    client: Arc<Origin>,
) -> Result<Response<ResponseBody>, Infallible> {
    if let Some(refusal) = refusal(&request) {
        return Ok(refused(refusal, request.version()));
    }
    let upgrade = asked_upgrade(&request).map(|_| hyper::upgrade::on(&mut request));
    let (mut request, wish) = outgoing(request, &client);
    let once = request.body().is_end_stream() && request.method().is_idempotent();
    let mut exchange = Exchange {
        proxy,
        until: None,
        pause: PAUSE,
    };
    let mut fresh = false;
    loop {
        let Some(upstream) = exchange.somebody().await else {
            return Ok(unavailable("no generation of the program is ready"));
        };
        let passing = Passing::begin(&upstream.counts);
        let idle = if fresh { None } else { upstream.idle(once) };
        let connected = match idle {
            Some(link) => Ok(link),
            // What is rare is kept out of what is moved about for each request.
            None => Box::pin(upstream.connect()).await,
        };
        let mut link = match connected {
            Ok(link) => link,
            Err(error) => {
                drop(passing);
                tracing::trace!(generation = upstream.generation, %error, "cannot connect to the program");
                if Box::pin(exchange.wait(&upstream)).await.is_err() {
                    return Ok(unavailable("the program does not accept connections"));
                }
                continue;
            }
        };
        let spare = (link.used && once).then(|| again(&request));
        let over = request.body().over();
        match link.ask(request).await {
            Ok(response) => {
                if let Some(teller) = &wish {
                    teller.send_if_modified(decline);
                }
                let driver = |link: Link| match over.load(Relaxed) {
                    true => Driver::Reader(link),
                    false => Driver::Task(link.detach()),
                };
                let mut response = answer(response, link, driver, upstream, passing, upgrade);
                poll_fn(|context| Poll::Ready(response.body_mut().settle(context))).await;
                return Ok(response);
            }
            Err(mut error) => {
                drop(passing);
                match (error.take_message(), spare) {
                    (Some(unsent), _) if link.used => request = unsent,
                    (Some(unsent), _) => {
                        request = unsent;
                        if Box::pin(exchange.wait(&upstream)).await.is_err() {
                            return Ok(unavailable("the program closes connections at once"));
                        }
                    }
                    (None, Some(spare)) => (request, fresh) = (spare, true),
                    (None, None) => {
                        let error = error.into_error();
                        tracing::debug!(generation = upstream.generation, %error, "a request failed");
                        return Ok(failed("the program ended the connection without an answer"));
                    }
                }
            }
        }
    }
}

impl Exchange {
    fn until(&mut self) -> Option<Instant> {
        let patience = self.proxy.patience;
        *self
            .until
            .get_or_insert_with(|| patience.and_then(|it| Instant::now().checked_add(it)))
    }

    /// Who serves, as soon as somebody does; `None` if that takes too long.
    async fn somebody(&mut self) -> Option<Arc<Upstream>> {
        if let Some(serving) = self.proxy.route.serving() {
            return Some(serving);
        }
        let _waiting = Waiting::begin(&self.proxy.waiting);
        let until = self.until();
        let somebody = Box::pin(self.proxy.route.somebody());
        match until {
            Some(until) => Box::pin(timeout_at(until, somebody)).await.ok().flatten(),
            None => somebody.await,
        }
    }

    /// Until another serves, or it is time to try the same again; an error when there is no more time.
    async fn wait(&mut self, refused: &Arc<Upstream>) -> Result<(), ()> {
        let _waiting = Waiting::begin(&self.proxy.waiting);
        let now = Instant::now();
        let until = self.until().unwrap_or(now + LONGEST_PAUSE);
        if until <= now {
            return Err(());
        }
        let next = until.min(now + self.pause);
        self.pause = LONGEST_PAUSE.min(self.pause * 2);
        match timeout_at(next, self.proxy.route.other_than(refused)).await {
            Ok(true) | Err(_) => Ok(()),
            Ok(false) => Err(()),
        }
    }
}

/// The request as it goes to the program, and where it is told that its body is wanted.
fn outgoing(mut request: Request<Incoming>, client: &Origin) -> (Request<RequestBody>, Option<Teller>) {
    to_program(&mut request, client);
    let expects = request.headers().get(EXPECT);
    let expects = expects.is_some_and(|it| it.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    let (mut head, body) = request.into_parts();
    // They are of the connection to the client.
    head.extensions.clear();
    let mut body = RequestBody::new(body);
    if !body.is_end_stream() && !head.headers.contains_key(CONTENT_LENGTH) {
        // hyper would leave the body of a GET out.
        head.headers
            .insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    let wish = (expects && !body.is_end_stream()).then(|| body.wait());
    let mut request = Request::from_parts(head, body);
    if let Some(teller) = wish.clone() {
        hyper::ext::on_informational(&mut request, move |response| {
            if response.status() == StatusCode::CONTINUE {
                teller.send_replace(Wish::Wanted);
            }
        });
    }
    (request, wish)
}

/// The same request once more, which has no body.
fn again(request: &Request<RequestBody>) -> Request<RequestBody> {
    let mut again = Request::new(RequestBody::none());
    again.method_mut().clone_from(request.method());
    again.uri_mut().clone_from(request.uri());
    again.headers_mut().clone_from(request.headers());
    again
}

/// It has answered without: the body is not wanted any more.
fn decline(wish: &mut Wish) -> bool {
    match *wish {
        Wish::Unknown => *wish = Wish::Declined,
        Wish::Wanted | Wish::Declined => {}
    }
    false
}

fn answer(
    mut response: Response<Incoming>,
    link: Link,
    driver: impl FnOnce(Link) -> Driver,
    upstream: Arc<Upstream>,
    mut passing: Passing,
    upgrade: Option<OnUpgrade>,
) -> Response<ResponseBody> {
    passing.answered();
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let Some(client) = upgrade else {
            return failed("the program speaks another protocol, unasked");
        };
        let program = hyper::upgrade::on(&mut response);
        let activity = upstream.counts.tunnel();
        tokio::spawn(tunnel(client, program, link.detach(), activity));
        let (mut head, _) = response.into_parts();
        to_client(&mut head);
        return Response::from_parts(head, ResponseBody::own(String::new()));
    }
    let (mut head, body) = response.into_parts();
    to_client(&mut head);
    Response::from_parts(head, ResponseBody::program(body, driver(link), upstream, passing))
}

fn refused(refusal: Refusal, version: Version) -> Response<ResponseBody> {
    let mut response = own(refusal.status(), refusal.why().to_owned());
    let headers = response.headers_mut();
    if refusal.status() == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(
            ALLOW,
            HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
        );
    }
    if version != Version::HTTP_2 {
        // What follows might be understood in another way than it was meant.
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

fn unavailable(why: &str) -> Response<ResponseBody> {
    let mut response = own(
        StatusCode::SERVICE_UNAVAILABLE,
        format!("segue: {why}, and waiting is over (SEGUE_READY_TIMEOUT, or a stop)\n"),
    );
    response
        .headers_mut()
        .insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

fn failed(why: &str) -> Response<ResponseBody> {
    own(StatusCode::BAD_GATEWAY, format!("segue: {why}\n"))
}

fn own(status: StatusCode, text: String) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::own(text));
    *response.status_mut() = status;
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, text);
    response
}
