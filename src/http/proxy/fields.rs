//! DECIDES which fields of a message go on to the other side. Only the message's head is looked at; a body never.

use hyper::{
    Request, Response, StatusCode, Version,
    header::{
        CONNECTION, CONTENT_LENGTH, COOKIE, FORWARDED, HOST, HeaderMap, HeaderName, HeaderValue, TE, TRAILER,
        TRANSFER_ENCODING, UPGRADE,
    },
    http::uri::PathAndQuery,
};

pub use super::origin::Origin;
use super::origin::{X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PROTO};

static KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
static PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// What HTTP/1.0 clients that name no host are taken to mean.
const NO_NAME: &str = "localhost";

/// Which fields are there, of those that matter here. Found out in one walk through all of them: to ask for each would hash each name.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Present {
    connection: bool,
    cookie: bool,
    host: bool,
    keep_alive: bool,
    proxy_connection: bool,
    te: bool,
    transfer_encoding: bool,
    upgrade: bool,
    pub(super) forwarded: bool,
    pub(super) x_forwarded_for: bool,
    pub(super) x_forwarded_host: bool,
    pub(super) x_forwarded_proto: bool,
}

impl Present {
    fn of(headers: &HeaderMap) -> Present {
        let mut present = Present::default();
        for name in headers.keys() {
            present.connection |= name == CONNECTION;
            present.cookie |= name == COOKIE;
            present.host |= name == HOST;
            present.keep_alive |= *name == KEEP_ALIVE;
            present.proxy_connection |= *name == PROXY_CONNECTION;
            present.te |= name == TE;
            present.transfer_encoding |= name == TRANSFER_ENCODING;
            present.upgrade |= name == UPGRADE;
            present.forwarded |= name == FORWARDED;
            present.x_forwarded_for |= *name == X_FORWARDED_FOR;
            present.x_forwarded_host |= *name == X_FORWARDED_HOST;
            present.x_forwarded_proto |= *name == X_FORWARDED_PROTO;
        }
        present
    }
}

/// Makes of a client's request the one that goes to the program, except for its framing. True: it asks for another protocol.
pub fn to_program<B>(request: &mut Request<B>, client: &Origin) -> bool {
    let present = Present::of(request.headers());
    let upgrade = if present.upgrade { asked_upgrade(request) } else { None };
    let upgrades = upgrade.is_some();
    let trailers = present.te && listed(request.headers(), &TE).any(|it| it.eq_ignore_ascii_case("trailers"));
    let authority = request
        .uri()
        .authority()
        .and_then(|it| HeaderValue::from_str(it.as_str()).ok());
    let headers = request.headers_mut();
    remove_hop_by_hop(headers, present);
    if let Some(authority) = authority {
        headers.insert(HOST, authority);
    } else if !present.host {
        headers.insert(HOST, HeaderValue::from_static(NO_NAME));
    }
    if present.cookie {
        join_cookies(headers);
    }
    client.tell(headers, present);
    let connection = match (upgrade, trailers) {
        (Some(upgrade), _) => {
            headers.insert(UPGRADE, upgrade);
            Some("upgrade")
        }
        (None, true) => {
            headers.insert(TE, HeaderValue::from_static("trailers"));
            Some("te")
        }
        (None, false) => None,
    };
    if let Some(connection) = connection {
        headers.insert(CONNECTION, HeaderValue::from_static(connection));
    }
    // The program is asked in origin-form, whatever the client wrote.
    if request.uri().authority().is_some() {
        let target = request.uri().path_and_query().cloned();
        *request.uri_mut() = target.unwrap_or_else(|| PathAndQuery::from_static("/")).into();
    }
    *request.version_mut() = Version::HTTP_11;
    upgrades
}

/// What the client wants to speak instead of HTTP, if it wants that. Not HTTP/2: a client that speaks it may say so at once.
fn asked_upgrade<B>(request: &Request<B>) -> Option<HeaderValue> {
    let upgrade = request.headers().get(UPGRADE)?;
    let asked = listed(request.headers(), &CONNECTION).any(|it| it.eq_ignore_ascii_case("upgrade"));
    let known = asked && request.version() == Version::HTTP_11 && !upgrade.as_bytes().eq_ignore_ascii_case(b"h2c");
    known.then(|| upgrade.clone())
}

/// Makes of the program's response the one that goes to the client, except for its framing.
pub fn to_client<B>(response: &mut Response<B>) {
    let names_protocols = matches!(
        response.status(),
        StatusCode::SWITCHING_PROTOCOLS | StatusCode::UPGRADE_REQUIRED
    );
    let headers = response.headers_mut();
    let upgrade = if names_protocols {
        headers.get(UPGRADE).cloned()
    } else {
        None
    };
    remove_hop_by_hop(headers, Present::of(headers));
    if let Some(upgrade) = upgrade {
        headers.insert(UPGRADE, upgrade);
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    }
    *response.version_mut() = Version::HTTP_11;
}

/// RFC 9110, section 7.6.1. What no message can do without is left in, whatever Connection says.
fn remove_hop_by_hop(headers: &mut HeaderMap, present: Present) {
    if present.connection {
        // What nearly everybody says names no field, or one that goes anyway.
        let names = |it: &&str| !(it.eq_ignore_ascii_case("keep-alive") || it.eq_ignore_ascii_case("close"));
        let named = listed(headers, &CONNECTION).filter(names);
        let named: Vec<HeaderName> = named.filter_map(|it| it.parse().ok()).collect();
        for name in named.iter().filter(|it| ![HOST, CONTENT_LENGTH, TRAILER].contains(it)) {
            headers.remove(name);
        }
        headers.remove(CONNECTION);
    }
    let others = [
        (present.te, &TE),
        (present.transfer_encoding, &TRANSFER_ENCODING),
        (present.upgrade, &UPGRADE),
        (present.keep_alive, &KEEP_ALIVE),
        (present.proxy_connection, &PROXY_CONNECTION),
    ];
    for (_, name) in others.iter().filter(|(present, _)| *present) {
        headers.remove(*name);
    }
}

/// HTTP/2 clients may send a cookie per field, which HTTP/1.1 programs do not expect (RFC 9113, section 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    if headers.get_all(COOKIE).iter().nth(1).is_some()
        && let Some(joined) = join(headers, &COOKIE, b"; ", None)
    {
        headers.insert(COOKIE, joined);
    }
}

/// All values of a field, and one more, as one.
pub(super) fn join(
    headers: &HeaderMap,
    name: &HeaderName,
    separator: &[u8],
    more: Option<&[u8]>,
) -> Option<HeaderValue> {
    let values = headers.get_all(name).iter().map(HeaderValue::as_bytes);
    let values: Vec<&[u8]> = values.filter(|it| !it.is_empty()).chain(more).collect();
    HeaderValue::from_bytes(&values.join(separator)).ok()
}

/// The members of a field that is a list.
pub(super) fn listed<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).iter().filter_map(|it| it.to_str().ok());
    values
        .flat_map(|it| it.split(','))
        .map(str::trim)
        .filter(|it| !it.is_empty())
}

#[cfg(test)]
mod tests {
    use hyper::{Request, Response, Version, http::request::Builder};

    use super::{Origin, to_client, to_program};

    fn sent(client: &str, request: Builder) -> Vec<String> {
        let mut request = request.body(()).unwrap();
        to_program(&mut request, &Origin::new(client.parse().ok()));
        let fields = request.headers().iter();
        let fields = fields.map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()));
        let mut lines: Vec<String> = fields.collect();
        lines.sort();
        lines.insert(0, format!("{} {}", request.method(), request.uri()));
        lines
    }

    #[test]
    fn the_program_learns_where_a_request_comes_from() {
        let request = Request::get("/a?b").header("host", "x.test:80").header("accept", "*/*");
        assert_eq!(
            sent("::ffff:192.0.2.1", request),
            [
                "GET /a?b",
                "accept: */*",
                "forwarded: for=192.0.2.1;host=\"x.test:80\";proto=http",
                "host: x.test:80",
                "x-forwarded-for: 192.0.2.1",
                "x-forwarded-host: x.test:80",
                "x-forwarded-proto: http",
            ]
        );
    }

    #[test]
    fn a_host_says_no_more_than_a_host() {
        for host in ["a;proto=https", "a,for=b", "a=b", "a(b)"] {
            let told = sent("192.0.2.1", Request::get("/").header("host", host));
            assert_eq!(told[1], format!("forwarded: for=192.0.2.1;host=\"{host}\";proto=http"));
        }
    }

    #[test]
    fn what_proxies_before_us_have_said_stays() {
        let request = Request::get("/")
            .header("host", "x")
            .header("x-forwarded-for", "1.1.1.1");
        let request = request
            .header("x-forwarded-for", "2.2.2.2, 3.3.3.3")
            .header("x-forwarded-proto", "https");
        let request = request.header("x-forwarded-host", "y").header("forwarded", "for=_a");
        assert_eq!(
            sent("2001:db8::1", request),
            [
                "GET /",
                "forwarded: for=_a, for=\"[2001:db8::1]\";host=x;proto=http",
                "host: x",
                "x-forwarded-for: 1.1.1.1, 2.2.2.2, 3.3.3.3, 2001:db8::1",
                "x-forwarded-host: y",
                "x-forwarded-proto: https",
            ]
        );
    }

    #[test]
    fn what_is_between_two_hops_ends_here() {
        let request = Request::get("/")
            .header("host", "x")
            .header("connection", "close, X-Mine , host,content-length");
        let request = request
            .header("x-mine", "1")
            .header("keep-alive", "timeout=5")
            .header("te", "gzip, trailers;q=1");
        let request = request
            .header("proxy-connection", "close")
            .header("transfer-encoding", "chunked");
        let request = request
            .header("connection", "x-forwarded-for")
            .header("x-forwarded-for", "6.6.6.6");
        let request = request.header("content-length", "0").header("upgrade", "websocket");
        let lines = sent("", request);
        let expected = [
            "GET /",
            "content-length: 0",
            "forwarded: for=unknown;host=x;proto=http",
            "host: x",
            "x-forwarded-host: x",
            "x-forwarded-proto: http",
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn a_client_is_told_by_the_host_that_it_asks_this_time() {
        let client = Origin::new("192.0.2.1".parse().ok());
        for host in ["a", "a", "b", "", "a:1", "b"] {
            let mut request = Request::get("/").header("host", host).body(()).unwrap();
            to_program(&mut request, &client);
            let named = if host.contains(':') {
                format!("\"{host}\"")
            } else {
                host.to_owned()
            };
            let expected = match host {
                "" => "for=192.0.2.1;proto=http".to_owned(),
                _ => format!("for=192.0.2.1;host={named};proto=http"),
            };
            assert_eq!(request.headers()["forwarded"], expected);
            assert_eq!(request.headers().contains_key("x-forwarded-host"), !host.is_empty());
        }
    }

    #[test]
    fn what_connection_names_is_not_believed() {
        let request = Request::get("/")
            .header("host", "x")
            .header(
                "connection",
                "x-forwarded-proto, x-forwarded-host, forwarded, keep-alive, close",
            )
            .header("x-forwarded-proto", "https")
            .header("x-forwarded-host", "y")
            .header("forwarded", "for=_a");
        let expected = [
            "GET /",
            "forwarded: for=192.0.2.1;host=x;proto=http",
            "host: x",
            "x-forwarded-for: 192.0.2.1",
            "x-forwarded-host: x",
            "x-forwarded-proto: http",
        ];
        assert_eq!(sent("192.0.2.1", request), expected);
    }

    #[test]
    fn trailers_and_upgrades_are_asked_for_again() {
        let request = Request::get("/").header("host", "x").header("te", "deflate, Trailers");
        let lines = sent("", request);
        assert!(lines.contains(&"te: trailers".to_owned()) && lines.contains(&"connection: te".to_owned()));
        let request = Request::get("/")
            .header("host", "x")
            .header("connection", "keep-alive, Upgrade");
        let lines = sent("", request.header("upgrade", "websocket"));
        assert!(lines.contains(&"upgrade: websocket".to_owned()) && lines.contains(&"connection: upgrade".to_owned()));
        let request = Request::get("/")
            .header("host", "x")
            .header("connection", "Upgrade, HTTP2-Settings");
        let lines = sent("", request.header("upgrade", "h2c").header("http2-settings", "AAMA"));
        assert!(
            !lines.iter().any(|it| it.contains("upgrade") || it.contains("http2")),
            "{lines:?}"
        );
    }

    #[test]
    fn the_target_is_in_origin_form_and_its_authority_is_the_host() {
        for target in ["http://a.test:81/p?q", "http://a.test:81"] {
            let request = Request::get(target).version(Version::HTTP_2).header("cookie", "a=1");
            let lines = sent("", request.header("cookie", "b=2").header("host", "other"));
            assert!(lines[0] == "GET /p?q" || lines[0] == "GET /", "{lines:?}");
            assert!(lines.contains(&"host: a.test:81".to_owned()), "{lines:?}");
            assert!(lines.contains(&"cookie: a=1; b=2".to_owned()), "{lines:?}");
        }
        let options = sent("", Request::options("*").version(Version::HTTP_10));
        assert_eq!(options[0], "OPTIONS *");
        assert!(options.contains(&"host: localhost".to_owned()), "{options:?}");
    }

    #[test]
    fn a_response_keeps_what_is_for_the_client() {
        let response = |status: u16| {
            let response = Response::builder().status(status).version(Version::HTTP_10);
            let response = response
                .header("connection", "close, upgrade")
                .header("upgrade", "websocket");
            let response = response
                .header("keep-alive", "timeout=5")
                .header("transfer-encoding", "chunked");
            let response = response.header("set-cookie", "a").header("set-cookie", "b");
            let mut response = response.body(()).unwrap();
            to_client(&mut response);
            assert_eq!(response.version(), Version::HTTP_11);
            let names = response.headers().keys().map(ToString::to_string);
            (
                names.collect::<Vec<_>>().join(" "),
                response.headers().get_all("set-cookie").iter().count(),
            )
        };
        assert_eq!(response(200), ("set-cookie".to_owned(), 2));
        assert_eq!(response(101), ("set-cookie upgrade connection".to_owned(), 2));
        assert_eq!(response(426), ("set-cookie upgrade connection".to_owned(), 2));
    }
}
