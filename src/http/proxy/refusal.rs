//! DECIDES which requests are refused, with what status and why: those that another server could read in another way than we
//! do, and those that are not for us. What hyper refuses by itself never comes here.

use hyper::{
    Method, Request, StatusCode, Version,
    header::{HOST, HeaderValue, TRANSFER_ENCODING},
    http::uri::Authority,
};

/// Why a request goes to nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// A tunnel to anywhere is not what segue is for.
    Connect,
    /// Encoded in a way that programs read differently.
    TransferEncoding,
    /// HTTP/1.1 wants a host.
    NoHost,
    /// Which one?
    SeveralHosts,
    /// That is no host.
    BadHost,
    /// An absolute target of something else than HTTP.
    Scheme,
    /// A target of CONNECT's, of another method.
    AuthorityForm,
}

impl Refusal {
    /// What the client is told it with.
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            Refusal::Connect => StatusCode::METHOD_NOT_ALLOWED,
            Refusal::TransferEncoding => StatusCode::NOT_IMPLEMENTED,
            Refusal::NoHost | Refusal::SeveralHosts | Refusal::BadHost | Refusal::Scheme | Refusal::AuthorityForm => {
                StatusCode::BAD_REQUEST
            }
        }
    }

    /// One line for the client.
    #[must_use]
    pub fn why(self) -> &'static str {
        match self {
            Refusal::Connect => "segue forwards to its program only: CONNECT is not allowed\n",
            Refusal::TransferEncoding => "the only Transfer-Encoding here is chunked\n",
            Refusal::NoHost => "an HTTP/1.1 request needs a Host\n",
            Refusal::SeveralHosts => "a request has one Host\n",
            Refusal::BadHost => "that Host is not valid\n",
            Refusal::AuthorityForm => "the target of a request begins with /, http:// or https://\n",
            Refusal::Scheme => "an absolute target must begin with http:// or https://\n",
        }
    }
}

/// Why this request is refused, if it is.
#[must_use]
pub fn refusal<B>(request: &Request<B>) -> Option<Refusal> {
    if request.method() == Method::CONNECT {
        return Some(Refusal::Connect);
    }
    let mut encodings = request.headers().get_all(TRANSFER_ENCODING).iter();
    let first = encodings.next();
    if encodings.next().is_some() || first.is_some_and(|it| !it.as_bytes().eq_ignore_ascii_case(b"chunked")) {
        return Some(Refusal::TransferEncoding);
    }
    let uri = request.uri();
    if uri.scheme_str().is_some_and(|it| it != "http" && it != "https") {
        return Some(Refusal::Scheme);
    }
    if uri.scheme().is_none() && uri.authority().is_some() {
        return Some(Refusal::AuthorityForm);
    }
    let mut hosts = request.headers().get_all(HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return Some(Refusal::SeveralHosts);
    }
    if uri.authority().is_some_and(|it| !is_host(it)) || host.is_some_and(|it| !is_valid(it)) {
        return Some(Refusal::BadHost);
    }
    let named = host.is_some() || (uri.authority().is_some() && request.version() == Version::HTTP_2);
    (!named && request.version() != Version::HTTP_10).then_some(Refusal::NoHost)
}

/// A client that knows no name of the server says so by an empty Host (RFC 9112, section 3.2).
fn is_valid(host: &HeaderValue) -> bool {
    host.is_empty() || Authority::try_from(host.as_bytes()).is_ok_and(|it| is_host(&it))
}

/// A host, and maybe a port; no user.
fn is_host(authority: &Authority) -> bool {
    let (text, host) = (authority.as_str(), authority.host());
    let rest = text.strip_prefix(host);
    let port = |rest: &str| rest.is_empty() || rest == ":" || authority.port_u16().is_some();
    !host.is_empty() && rest.is_some_and(port)
}

#[cfg(test)]
mod tests {
    use hyper::{Request, Version, http::request::Builder};

    use super::{Refusal, refusal};

    fn of(request: Builder) -> Option<Refusal> {
        refusal(&request.body(()).unwrap())
    }

    #[test]
    fn only_connect_names_an_authority_alone() {
        for target in ["x:80", "x.test:80", "[::1]:80", "x"] {
            for request in [Request::get(target), Request::post(target), Request::options(target)] {
                assert_eq!(
                    of(request.header("host", "x")),
                    Some(Refusal::AuthorityForm),
                    "{target}"
                );
            }
            let connect = Request::connect(target).header("host", "x");
            assert_eq!(of(connect), Some(Refusal::Connect), "{target}");
        }
        for target in ["/", "/x:80", "*", "http://x:80", "http://x:80/", "https://x/y"] {
            assert_eq!(of(Request::options(target).header("host", "x")), None, "{target}");
        }
    }

    #[test]
    fn a_request_has_one_valid_host() {
        for host in [
            "x",
            "x:80",
            "x.test",
            "127.0.0.1:81",
            "[::1]",
            "[::1]:80",
            "",
            "a-b_c",
            "x:",
        ] {
            assert_eq!(of(Request::get("/").header("host", host)), None, "{host}");
        }
        for host in [
            "a b", "a, b", "u@x", "x/", "x:port", "x:99999", "[::1", "x?y", "x#y", ":80", "a\\b", "x:80:80",
        ] {
            assert_eq!(
                of(Request::get("/").header("host", host)),
                Some(Refusal::BadHost),
                "{host}"
            );
        }
        assert_eq!(of(Request::get("/")), Some(Refusal::NoHost));
        assert_eq!(of(Request::get("http://x/")), Some(Refusal::NoHost));
        assert_eq!(of(Request::get("/").version(Version::HTTP_10)), None);
        assert_eq!(of(Request::get("http://x/").version(Version::HTTP_2)), None);
        assert_eq!(
            of(Request::get("http://u@x/").version(Version::HTTP_2)),
            Some(Refusal::BadHost)
        );
        let two = Request::get("/").header("host", "x").header("host", "x");
        assert_eq!(of(two), Some(Refusal::SeveralHosts));
    }

    #[test]
    fn what_is_not_for_us() {
        let host = |it: Builder| it.header("host", "x");
        assert_eq!(of(host(Request::connect("x:443"))), Some(Refusal::Connect));
        assert_eq!(of(host(Request::get("ftp://x/"))), Some(Refusal::Scheme));
        assert_eq!(of(host(Request::get("https://x/"))), None);
        for encoding in ["gzip, chunked", "chunked, chunked", "identity", "xchunked", ""] {
            let request = host(Request::post("/")).header("transfer-encoding", encoding);
            assert_eq!(of(request), Some(Refusal::TransferEncoding), "{encoding}");
        }
        assert_eq!(
            of(host(Request::post("/")).header("transfer-encoding", "Chunked")),
            None
        );
        let twice = host(Request::post("/")).header("transfer-encoding", "chunked");
        assert_eq!(
            of(twice.header("transfer-encoding", "chunked")),
            Some(Refusal::TransferEncoding)
        );
    }
}
