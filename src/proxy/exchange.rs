//! FORWARDS one request and its answer. It tries again only where nothing of the request was sent, or where to send it twice is
//! the same as once; it never answers in the program's name.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use hyper::{
    Request, Response, StatusCode, Version,
    body::{Body, Incoming},
    client::conn::TrySendError,
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

/// A request on its way, but for the request itself.
struct Exchange {
    proxy: Proxy,
    /// Where it is told that its body is wanted.
    wish: Option<Teller>,
    upgrade: Option<OnUpgrade>,
    /// May it be sent twice?
    once: bool,
    /// When waiting is over; `None` before the first wait. (Inside: `None` is never.)
    until: Option<Option<Instant>>,
    pause: Duration,
}

/// What came of a try. Where it is to be sent again, that is a request.
#[expect(
    clippy::large_enum_variant,
    reason = "the large one is what comes of nearly every try"
)]
enum Outcome {
    Answered(Response<ResponseBody>),
    AtOnce(Box<Request<RequestBody>>),
    /// On a connection that is new.
    Afresh(Box<Request<RequestBody>>),
    /// When it may go better.
    Later(Box<Request<RequestBody>>, Arc<Upstream>),
}

/// Forwards it, or says why not.
///
/// The future is moved about for each request, with all that it holds: what can be done before it is done, and what is large, or
/// rare, is boxed.
pub(super) fn forward(
    proxy: Proxy,
    request: Request<Incoming>,
    client: &Origin,
) -> impl Future<Output = Result<Response<ResponseBody>, Infallible>> + use<> {
    let mut exchange = Exchange {
        proxy,
        wish: None,
        upgrade: None,
        once: false,
        until: None,
        pause: PAUSE,
    };
    let begun = match refusal(&request) {
        Some(refusal) => Err(Box::new(refused(refusal, request.version()))),
        None => Ok(exchange.outgoing(request, client)),
    };
    async move {
        let mut request = match begun {
            Ok(request) => request,
            Err(refused) => return Ok(*refused),
        };
        let mut fresh = false;
        loop {
            let Some(upstream) = exchange.somebody().await else {
                return Ok(unavailable("no generation of the program is ready"));
            };
            let passing = Passing::begin(&upstream.counts);
            let idle = if fresh { None } else { upstream.idle(exchange.once) };
            let mut link = match idle {
                Some(link) => link,
                None => match Box::pin(upstream.connect()).await {
                    Ok(link) => link,
                    Err(error) => {
                        drop(passing);
                        tracing::trace!(generation = upstream.generation, %error, "cannot connect to the program");
                        if Box::pin(exchange.wait(&upstream)).await.is_err() {
                            return Ok(unavailable("the program does not accept connections"));
                        }
                        continue;
                    }
                },
            };
            let spare = (link.used && exchange.once).then(|| Box::new(again(&request)));
            let over = request.body().over();
            let answer = link.ask(*request).await;
            match exchange.outcome(answer, link, &over, spare, upstream, passing) {
                Outcome::Answered(response) => return Ok(response),
                Outcome::AtOnce(unsent) => request = unsent,
                Outcome::Afresh(spare) => (request, fresh) = (spare, true),
                Outcome::Later(unsent, upstream) => {
                    request = unsent;
                    if Box::pin(exchange.wait(&upstream)).await.is_err() {
                        return Ok(unavailable("the program closes connections at once"));
                    }
                }
            }
        }
    }
}

impl Exchange {
    fn outcome(
        &mut self,
        answer: Result<Response<Incoming>, TrySendError<Request<RequestBody>>>,
        link: Link,
        over: &AtomicBool,
        spare: Option<Box<Request<RequestBody>>>,
        upstream: Arc<Upstream>,
        passing: Passing,
    ) -> Outcome {
        let mut error = match answer {
            Ok(response) => {
                if let Some(teller) = &self.wish {
                    teller.send_if_modified(decline);
                }
                let over = over.load(Relaxed);
                return Outcome::Answered(self.answer(response, link, over, upstream, passing));
            }
            Err(error) => error,
        };
        match (error.take_message(), spare) {
            (Some(unsent), _) if link.used => Outcome::AtOnce(Box::new(unsent)),
            (Some(unsent), _) => Outcome::Later(Box::new(unsent), upstream),
            (None, Some(spare)) => Outcome::Afresh(spare),
            (None, None) => {
                let error = error.into_error();
                tracing::debug!(generation = upstream.generation, %error, "a request failed");
                Outcome::Answered(failed("the program ended the connection without an answer"))
            }
        }
    }

    /// The program's answer as it goes to the client. `over`: nothing of the request is to be sent any more.
    fn answer(
        &mut self,
        mut response: Response<Incoming>,
        link: Link,
        over: bool,
        upstream: Arc<Upstream>,
        mut passing: Passing,
    ) -> Response<ResponseBody> {
        passing.answered();
        to_client(&mut response);
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            let Some(client) = self.upgrade.take() else {
                return failed("the program speaks another protocol, unasked");
            };
            let program = hyper::upgrade::on(&mut response);
            let activity = upstream.counts.tunnel();
            tokio::spawn(tunnel(client, program, link.detach(), activity));
            return response.map(|_| ResponseBody::own(String::new()));
        }
        let driver = match over {
            true => Driver::Reader(link),
            false => Driver::Task(link.detach()),
        };
        response.map(|body| ResponseBody::program(body, driver, upstream, passing))
    }

    /// The request as it goes to the program.
    fn outgoing(&mut self, mut request: Request<Incoming>, client: &Origin) -> Box<Request<RequestBody>> {
        self.upgrade = asked_upgrade(&request).map(|_| hyper::upgrade::on(&mut request));
        to_program(&mut request, client);
        // They are of the connection to the client.
        request.extensions_mut().clear();
        let mut request = Box::new(request.map(RequestBody::new));
        if request.body().is_end_stream() {
            self.once = request.method().is_idempotent();
            return request;
        }
        if !request.headers().contains_key(CONTENT_LENGTH) {
            // hyper would leave the body of a GET out.
            let chunked = HeaderValue::from_static("chunked");
            request.headers_mut().insert(TRANSFER_ENCODING, chunked);
        }
        let expects = request.headers().get(EXPECT);
        if expects.is_some_and(|it| it.as_bytes().eq_ignore_ascii_case(b"100-continue")) {
            let teller = request.body_mut().wait();
            self.wish = Some(Arc::clone(&teller));
            hyper::ext::on_informational(&mut request, move |response| {
                if response.status() == StatusCode::CONTINUE {
                    teller.send_replace(Wish::Wanted);
                }
            });
        }
        request
    }

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
