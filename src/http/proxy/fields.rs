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
static HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

/// What HTTP/1.0 clients that name no host are taken to mean.
const NO_NAME: &str = "localhost";

/// Which fields are there, of those that matter here. Found out in one walk through all of them: to ask for each would hash each name.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Present {
    connection: bool,
    cookie: bool,
    host: bool,
    http2_settings: bool,
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
            present.http2_settings |= *name == HTTP2_SETTINGS;
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

/// Makes of a client's request the one that goes to the program, except for its framing: which other protocols it asks for, if it does.
pub fn to_program<B>(request: &mut Request<B>, client: &Origin) -> Option<HeaderValue> {
    let present = Present::of(request.headers());
    let upgrade = if present.upgrade { asked_upgrade(request) } else { None };
    let asked = upgrade.clone();
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
    asked
}

/// What the client wants to speak instead of HTTP, if it wants that. Not HTTP/2: a client that speaks it may say so at once, and what
/// follows would reach the program as it is, past everything that is done here.
fn asked_upgrade<B>(request: &Request<B>) -> Option<HeaderValue> {
    let asked = listed(request.headers(), &CONNECTION).any(|it| it.eq_ignore_ascii_case("upgrade"));
    if !asked || request.version() != Version::HTTP_11 {
        return None;
    }
    let protocols = listed(request.headers(), &UPGRADE).filter(|it| !names_http2(it));
    let protocols: Vec<&str> = protocols.collect();
    let protocols = (!protocols.is_empty()).then(|| protocols.join(", "))?;
    HeaderValue::from_str(&protocols).ok()
}

/// A protocol may have a version behind a slash.
fn names_http2(protocol: &str) -> bool {
    let name = protocol.split('/').next().unwrap_or_default().trim();
    name.eq_ignore_ascii_case("h2c") || name.eq_ignore_ascii_case("h2") || protocol.eq_ignore_ascii_case("http/2.0")
}

/// Does the program change over to protocols that the client has asked for, and to no others?
pub(super) fn is_asked(headers: &HeaderMap, asked: &HeaderValue) -> bool {
    let asked = asked.to_str().unwrap_or_default();
    let is_asked = |it: &str| asked.split(", ").any(|asked| asked.eq_ignore_ascii_case(it));
    let mut chosen = listed(headers, &UPGRADE).peekable();
    chosen.peek().is_some() && chosen.all(is_asked)
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
        (present.http2_settings, &HTTP2_SETTINGS),
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
mod tests;
