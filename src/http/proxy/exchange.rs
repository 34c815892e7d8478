//! FORWARDS one request and its answer. It tries again only where nothing of the request was sent, or where to send it twice is
//! the same as once; it never answers in the program's name.

use std::{future::ready, sync::Arc, time::Duration};

use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Response, StatusCode, Version,
    body::{Body as _, Incoming},
    client::conn::TrySendError,
    header::{ALLOW, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HeaderValue, RETRY_AFTER, TRANSFER_ENCODING},
    upgrade::OnUpgrade,
};
use tokio::time::{Instant, timeout_at};

use super::{
    Proxy,
    fields::{is_asked, to_client, to_program},
    link::Link,
    load::{Passing, Waiting},
    origin::Origin,
    refusal::{Refusal, refusal},
    response_body::{Driver, ResponseBody},
    tunnel::tunnel,
    upstream::Upstream,
};
use crate::caller::{self, Progress, Teller, Wish};
use crate::serve::endpoint::{Answer, Body};

/// Before a program that refused a connection is tried again; doubles up to the longest.
const PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

/// So often a request that nobody has read is sent once more because of one generation. A program that ends closes the connections
/// that it has accepted, and its listener later: a request may be in the one first, and then in the queue of the other.
const MOST_UNREAD: u8 = 3;

/// What came of asking a program. An error may hold the request.
type Tried = Result<Response<Incoming>, Box<TrySendError<Request<caller::Body>>>>;

/// A request on its way.
struct Exchange {
    proxy: Proxy,
    /// It, until it is sent.
    request: Option<Request<caller::Body>>,
    /// Tells whether there is no more of its body; `None` if it has none.
    progress: Option<Arc<Progress>>,
    /// Where it is told that its body is wanted.
    wish: Option<Teller>,
    /// Which other protocols the client asks for, if it does.
    upgrade: Option<Box<(OnUpgrade, HeaderValue)>>,
    /// May it be sent twice?
    twice: bool,
    /// On a connection that is new?
    afresh: bool,
    /// The generation to which it was sent over new connections that were reset before it was read, and how often.
    unread: Option<(u64, u8)>,
    /// When waiting is over; `None` before the first wait. (Inside: `None` is never.)
    until: Option<Option<Instant>>,
    pause: Duration,
}

/// Forwards it, or says why not.
///
/// What is rare in there is boxed, and what is large is moved as seldom as can be: it happens for each request.
pub(super) fn forward(proxy: Proxy, request: Request<Incoming>, client: &Origin) -> Answer {
    match refusal(&request) {
        Some(refusal) => Box::pin(ready(refused(refusal, request.version()))),
        None => Box::pin(Exchange::new(proxy, request, client).run()),
    }
}

impl Exchange {
    fn new(proxy: Proxy, mut request: Request<Incoming>, client: &Origin) -> Exchange {
        let upgrade = to_program(&mut request, client);
        let upgrade = upgrade.map(|asked| Box::new((hyper::upgrade::on(&mut request), asked)));
        // They are of the connection to the client.
        request.extensions_mut().clear();
        let mut request = request.map(caller::Body::new);
        let empty = request.body().is_end_stream();
        let wish = if empty { None } else { frame(&mut request) };
        Exchange {
            proxy,
            progress: request.body().progress(),
            wish,
            upgrade,
            twice: empty && request.method().is_idempotent(),
            request: Some(request),
            afresh: false,
            unread: None,
            until: None,
            pause: PAUSE,
        }
    }

    #[expect(clippy::manual_async_fn, reason = "an async fn would have room for self twice")]
    fn run(mut self) -> impl Future<Output = Response<Body>> {
        async move {
            loop {
                let Some(upstream) = self.somebody().await else {
                    return unavailable("no generation of the program is ready");
                };
                let passing = Passing::begin(&upstream.counts);
                let idle = if self.afresh { None } else { upstream.idle(self.twice) };
                let mut link = match idle {
                    Some(link) => link,
                    None => match Box::pin(upstream.connect()).await {
                        Ok(link) => link,
                        Err(error) => {
                            drop(passing);
                            tracing::trace!(generation = upstream.generation, %error, "cannot connect to the program");
                            if Box::pin(self.wait(&upstream)).await.is_err() {
                                return unavailable("the program does not accept connections");
                            }
                            continue;
                        }
                    },
                };
                let Some(answer) = self.ask(&mut link) else {
                    return failed("the request is gone");
                };
                let error = match answer.await {
                    Ok(response) => return self.answer(response, link, upstream, passing),
                    Err(error) => error,
                };
                drop(passing);
                let used = link.used;
                if let Err(error) = self.regain(*error, &link, upstream.generation) {
                    tracing::debug!(generation = upstream.generation, %error, "a request failed");
                    if self.progress.as_ref().is_some_and(|it| it.is_broken()) {
                        return broken();
                    }
                    return failed("the program ended the connection without an answer");
                }
                drop(link);
                if !used && Box::pin(self.wait(&upstream)).await.is_err() {
                    return unavailable("the program closes connections at once");
                }
            }
        }
    }

    /// (Not within [`Exchange::run`], which would keep room for the request while it waits.)
    fn ask<'a>(&mut self, link: &'a mut Link) -> Option<impl Future<Output = Tried> + use<'a>> {
        Some(link.ask(self.request.take()?, self.twice))
    }

    /// Has the request again, if it may be sent once more.
    fn regain(
        &mut self,
        mut error: TrySendError<Request<caller::Body>>,
        link: &Link,
        generation: u64,
    ) -> hyper::Result<()> {
        self.request = error.take_message();
        // What ended a used connection may have been its idle time. A new one that is reset was in the queue of a listener that closed,
        // or of a process that ended.
        if self.request.is_none() && (link.used || (link.is_unread() && self.lost_by(generation))) {
            self.request = link.again();
            self.afresh = true;
        }
        match self.request {
            Some(_) => Ok(()),
            None => Err(error.into_error()),
        }
    }

    /// A new connection was reset before it was read; may it be sent once more? It may have been read in part, and that may be what
    /// ended the program: then it ends one more generation, and no third.
    fn lost_by(&mut self, generation: u64) -> bool {
        let (first, times) = self.unread.get_or_insert((generation, 0));
        *times += 1;
        *first == generation && *times <= MOST_UNREAD
    }

    /// The program's answer as it goes to the client.
    fn answer(
        &mut self,
        mut response: Response<Incoming>,
        link: Link,
        upstream: Arc<Upstream>,
        mut passing: Passing,
    ) -> Response<Body> {
        if let Some(teller) = &self.wish {
            teller.send_if_modified(decline);
        }
        passing.answered();
        to_client(&mut response);
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            let asked = self.upgrade.take().filter(|it| is_asked(response.headers(), &it.1));
            let Some(client) = asked.map(|it| it.0) else {
                return failed("the program speaks another protocol, unasked");
            };
            let program = hyper::upgrade::on(&mut response);
            let activity = upstream.counts.tunnel();
            tokio::spawn(tunnel(client, program, link.detach(), activity));
            return response.map(|_| own_body(String::new()));
        }
        // Is nothing of the request to be sent any more?
        let over = self.progress.as_ref().is_none_or(|it| it.is_over());
        let driver = match over {
            true => Driver::Reader(link),
            false => Driver::Task(link.detach()),
        };
        response.map(|body| Body::new(ResponseBody::new(body, driver, upstream, passing)))
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

/// Sees to it that a request's body arrives as it came; where the program is to be asked first whether it wants it, there that is
/// told.
fn frame(request: &mut Request<caller::Body>) -> Option<Teller> {
    if !request.headers().contains_key(CONTENT_LENGTH) {
        // hyper would leave the body of a GET out.
        let chunked = HeaderValue::from_static("chunked");
        request.headers_mut().insert(TRANSFER_ENCODING, chunked);
    }
    let expects = request.headers().get(EXPECT);
    if !expects.is_some_and(|it| it.as_bytes().eq_ignore_ascii_case(b"100-continue")) {
        return None;
    }
    let wish = request.body_mut().wait();
    let teller = Arc::clone(&wish);
    hyper::ext::on_informational(request, move |response| {
        if response.status() == StatusCode::CONTINUE {
            teller.send_replace(Wish::Wanted);
        }
    });
    Some(wish)
}

/// It has answered without: the body is not wanted any more.
fn decline(wish: &mut Wish) -> bool {
    match *wish {
        Wish::Unknown => *wish = Wish::Declined,
        Wish::Wanted | Wish::Declined => {}
    }
    false
}

fn refused(refusal: Refusal, version: Version) -> Response<Body> {
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

fn unavailable(why: &str) -> Response<Body> {
    let mut response = own(
        StatusCode::SERVICE_UNAVAILABLE,
        format!("segue: {why}, and waiting is over (SEGUE_READY_TIMEOUT, or a stop)\n"),
    );
    response
        .headers_mut()
        .insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

/// The fault is the client's, and none of the program, which alarms would tell of.
fn broken() -> Response<Body> {
    let mut response = own(
        StatusCode::BAD_REQUEST,
        "segue: the body of the request is malformed, or not whole\n".into(),
    );
    response
        .headers_mut()
        .insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

fn failed(why: &str) -> Response<Body> {
    own(StatusCode::BAD_GATEWAY, format!("segue: {why}\n"))
}

fn own(status: StatusCode, text: String) -> Response<Body> {
    let mut response = Response::new(own_body(text));
    *response.status_mut() = status;
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, text);
    response
}

fn own_body(text: String) -> Body {
    Body::new(Full::from(text).map_err(|never| match never {}))
}
