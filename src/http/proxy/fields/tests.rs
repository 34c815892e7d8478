//! Heads as they come and as they go on.

use hyper::{
    Request, Response, Version,
    header::{HeaderMap, HeaderValue},
    http::request::Builder,
};

use super::{Origin, is_asked, to_client, to_program};

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

/// Programs read the one or the other: where a proxy before us has spoken by one, the other says nothing else.
#[test]
fn the_two_families_never_contradict_each_other() {
    let request = |name: &str, value: &str| Request::get("/").header("host", "x").header(name, value);
    for (name, value) in [
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "y"),
        ("x-forwarded-for", "1.1.1.1"),
    ] {
        let lines = sent("192.0.2.1", request(name, value));
        assert!(!lines.iter().any(|it| it.starts_with("forwarded")), "{lines:?}");
        assert!(
            lines.iter().any(|it| it.starts_with(&format!("{name}: {value}"))),
            "{lines:?}"
        );
    }
    let lines = sent("192.0.2.1", request("forwarded", "for=1.1.1.1;proto=https"));
    let told = "forwarded: for=1.1.1.1;proto=https, for=192.0.2.1;host=x;proto=http";
    assert_eq!(lines, ["GET /", told, "host: x"]);
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
}

/// In whatever place and case, in one field or several, and whether Connection names its settings or not.
#[test]
fn http2_is_never_asked_for() {
    for (fields, rest) in [
        (&["h2c"][..], None),
        (&["H2C"], None),
        (&["h2", "h2c/1"], None),
        (&["HTTP/2.0"], None),
        (&["websocket, h2c"], Some("websocket")),
        (&["h2c,websocket"], Some("websocket")),
        (&["a/1", "h2c , WebSocket"], Some("a/1, WebSocket")),
    ] {
        for connection in ["Upgrade, HTTP2-Settings", "upgrade"] {
            let mut request = Request::get("/").header("host", "x").header("connection", connection);
            for field in fields {
                request = request.header("upgrade", *field);
            }
            let lines = sent("", request.header("http2-settings", "AAMA"));
            assert!(!lines.iter().any(|it| it.contains("http2")), "{lines:?}");
            let upgrade = lines.iter().find_map(|it| it.strip_prefix("upgrade: "));
            assert_eq!(upgrade, rest, "{fields:?}");
        }
    }
}

#[test]
fn a_protocol_is_changed_to_only_if_it_was_asked_for() {
    let asked = HeaderValue::from_static("websocket, a/1");
    for (chosen, right) in [
        ("websocket", true),
        ("WebSocket", true),
        ("a/1", true),
        ("h2c", false),
        ("", false),
        ("a", false),
    ] {
        let mut headers = HeaderMap::new();
        headers.insert("upgrade", HeaderValue::from_static(chosen));
        assert_eq!(is_asked(&headers, &asked), right, "{chosen}");
    }
    assert!(!is_asked(&HeaderMap::new(), &asked));
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
