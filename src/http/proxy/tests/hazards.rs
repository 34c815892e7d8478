//! TRIES what must not pass: bytes that another server might understand in another way.

use std::time::Duration;

use tokio::{io::AsyncWriteExt, net::TcpStream, time::timeout};

use super::{LONG, OK, listener, talk, until, with};

/// What a client sends, the status that it gets first, and how many requests the program sees.
const TABLE: &[(&str, &str, &str, usize)] = &[
    ("a request", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "200", 1),
    (
        "two, one after the other",
        "GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "200",
        2,
    ),
    ("no host", "GET / HTTP/1.1\r\n\r\n", "400", 0),
    ("HTTP/1.0 needs none", "GET / HTTP/1.0\r\n\r\n", "200", 1),
    ("two hosts", "GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n", "400", 0),
    ("a list of hosts", "GET / HTTP/1.1\r\nHost: x, y\r\n\r\n", "400", 0),
    ("a user", "GET / HTTP/1.1\r\nHost: u@x\r\n\r\n", "400", 0),
    ("a path in the host", "GET / HTTP/1.1\r\nHost: x/y\r\n\r\n", "400", 0),
    ("CONNECT", "CONNECT x:443 HTTP/1.1\r\nHost: x:443\r\n\r\n", "405", 0),
    ("another scheme", "GET ftp://x/ HTTP/1.1\r\nHost: x\r\n\r\n", "400", 0),
    (
        "an encoding before chunked",
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "501",
        0,
    ),
    (
        "chunked twice",
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "501",
        0,
    ),
    (
        "another encoding",
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: identity\r\n\r\n",
        "400",
        0,
    ),
    (
        "nearly chunked",
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "400",
        0,
    ),
    (
        "an encoding in HTTP/1.0",
        "POST / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "400",
        0,
    ),
    (
        "lengths that differ",
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",
        "400",
        0,
    ),
    (
        "a list of lengths",
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5, 5\r\n\r\nabcde",
        "400",
        0,
    ),
    (
        "a length with a sign",
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +5\r\n\r\nabcde",
        "400",
        0,
    ),
    (
        "a negative length",
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\nabcde",
        "400",
        0,
    ),
    (
        "a length in hexadecimal",
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0x5\r\n\r\nabcde",
        "400",
        0,
    ),
    (
        "a length beyond 64 bits",
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 18446744073709551621\r\n\r\nabcde",
        "400",
        0,
    ),
    (
        "an empty length",
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: \r\n\r\nabcde",
        "400",
        0,
    ),
    (
        "a space before the colon",
        "GET / HTTP/1.1\r\nHost: x\r\nContent-Length : 5\r\n\r\nabcde",
        "400",
        0,
    ),
    (
        "a folded line",
        "GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n",
        "400",
        0,
    ),
    (
        "a folded encoding",
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
        "400",
        0,
    ),
    (
        "a CR alone in a value",
        "GET / HTTP/1.1\r\nHost: x\r\nA: b\rGET /evil HTTP/1.1\r\n\r\n",
        "400",
        0,
    ),
    (
        "a CR alone at the end of a line",
        "GET / HTTP/1.1\rHost: x\r\r",
        "400",
        0,
    ),
    (
        "a NUL in a value",
        "GET / HTTP/1.1\r\nHost: x\r\nA: b\0c\r\n\r\n",
        "400",
        0,
    ),
    ("a NUL in the target", "GET /\0 HTTP/1.1\r\nHost: x\r\n\r\n", "400", 0),
    (
        "a space in the target",
        "GET /a b HTTP/1.1\r\nHost: x\r\n\r\n",
        "400",
        0,
    ),
    (
        "no name of a field",
        "GET / HTTP/1.1\r\nHost: x\r\n: b\r\n\r\n",
        "400",
        0,
    ),
    ("no colon", "GET / HTTP/1.1\r\nHost: x\r\nabc\r\n\r\n", "400", 0),
    ("HTTP/1.2", "GET / HTTP/1.2\r\nHost: x\r\n\r\n", "400", 0),
    ("HTTP/0.9", "GET /\r\n", "400", 0),
    (
        "a chunk's size is no number",
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n",
        "",
        1,
    ),
    (
        "a chunk's size with a sign",
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n+3\r\nabc\r\n0\r\n\r\n",
        "",
        1,
    ),
    (
        "a chunk's size with 0x",
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n",
        "",
        1,
    ),
    (
        "a chunk's size that overflows",
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000003\r\nabc\r\n0\r\n\r\n",
        "",
        1,
    ),
    (
        "a chunk longer than it says",
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcGET /evil HTTP/1.1\r\nHost: x\r\n\r\n",
        "",
        1,
    ),
    (
        "a chunk's line ends in LF alone",
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n",
        "",
        1,
    ),
];

/// Never two requests out of one, whatever a client sends: what follows in the same bytes is another request only where all
/// agree on that.
#[tokio::test]
async fn each_hazard_is_refused_and_reaches_nobody() {
    for (what, bytes, status, requests) in TABLE {
        let (port, seen) = listener(OK).await;
        let (proxy, front) = with(port).await;
        // What a request that is smuggled would look like, unless the bytes are themselves a line of requests.
        let mut sent = (*bytes).to_owned();
        if *requests == 0 {
            sent.push_str("GET /evil HTTP/1.1\r\nHost: x\r\n\r\n");
        }
        let mut stream = TcpStream::connect(front).await.unwrap();
        stream.write_all(sent.as_bytes()).await.unwrap();
        // Whoever is refused is let go; the others would wait for more.
        let end = if *status == "200" {
            &*"ok".repeat(*requests)
        } else {
            "\0"
        };
        let come = all_until(&mut stream, end).await;
        let first = come.split(' ').nth(1).unwrap_or_default();
        if !status.is_empty() {
            assert_eq!(first, *status, "{what}: {come}");
        }
        if *requests == 0 {
            assert_eq!(come.matches("\r\ndate: ").count(), 1, "{what}: nothing follows: {come}");
        }
        let quiet = async {
            while proxy.load(1).busy(LONG) > 0 {
                tokio::task::yield_now().await;
            }
        };
        timeout(LONG, quiet).await.unwrap();
        let seen = seen.lock().unwrap().clone();
        let count = seen.matches(" HTTP/1.1\r\n").count();
        // Of one whose body turns out to be wrong the program may have seen the head, or not.
        let right = if status.is_empty() {
            count <= *requests
        } else {
            count == *requests
        };
        assert!(right, "{what}: {seen}");
        assert!(!seen.contains("evil"), "{what}: {seen}");
    }
}

/// A body that breaks off is not made whole: the program must not take a part for all of it.
#[tokio::test]
async fn a_broken_body_is_not_ended_in_the_clients_name() {
    for (bytes, whole) in [
        (
            "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
            "0\r\n\r\n",
        ),
        (
            "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n",
            "0\r\n\r\n",
        ),
    ] {
        let (port, seen) = listener("").await;
        let (proxy, front) = with(port).await;
        let mut stream = TcpStream::connect(front).await.unwrap();
        stream.write_all(bytes.as_bytes()).await.unwrap();
        super::wait_for("the body", || seen.lock().unwrap().contains("abc")).await;
        drop(stream);
        super::wait_for("the end", || proxy.load(1).busy(Duration::ZERO) == 0).await;
        assert!(!seen.lock().unwrap().ends_with(whole));
    }
}

/// What has come when so many bodies are there.
async fn all_until(stream: &mut TcpStream, bodies: &str) -> String {
    if bodies == "\0" {
        return until(stream, bodies).await;
    }
    let mut come = String::new();
    while come.matches("\r\n\r\nok").count() < bodies.len() / 2 {
        come += &until(stream, "ok").await;
    }
    come
}

#[tokio::test]
async fn what_is_said_of_a_refusal() {
    let (port, _) = listener(OK).await;
    let (_, front) = with(port).await;
    let come = talk(front, b"CONNECT x:1 HTTP/1.1\r\nHost: x:1\r\n\r\n").await;
    assert!(
        come.contains("allow: GET, HEAD") && come.contains("connection: close"),
        "{come}"
    );
    assert!(come.ends_with("CONNECT is not allowed\n"), "{come}");
}

/// The fields that HTTP/2 does not have (RFC 9113, section 8.2.2).
#[tokio::test]
async fn http2_has_no_fields_of_a_connection() {
    use hyper::{Request, StatusCode, client::conn::http2, http::HeaderValue};
    use hyper_util::rt::{TokioExecutor, TokioIo};
    let (port, seen) = listener(OK).await;
    let proxy = super::Proxy::new(Some(LONG));
    proxy.steer(1, port);
    let front = super::front(&proxy).await;
    let stream = TokioIo::new(TcpStream::connect(front).await.unwrap());
    let (mut client, connection) = http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    tokio::spawn(connection);
    let request = || {
        Request::get("http://a.test/p?q")
            .body(http_body_util::Empty::<hyper::body::Bytes>::new())
            .unwrap()
    };
    let mut first = request();
    first.headers_mut().append("cookie", HeaderValue::from_static("a=1"));
    first.headers_mut().append("cookie", HeaderValue::from_static("b=2"));
    assert_eq!(client.send_request(first).await.unwrap().status(), StatusCode::OK);
    let told = seen.lock().unwrap().clone();
    assert!(
        told.starts_with("GET /p?q HTTP/1.1\r\n") && told.contains("host: a.test\r\n"),
        "{told}"
    );
    assert!(told.contains("cookie: a=1; b=2\r\n"), "{told}");
    let mut connect = request();
    *connect.method_mut() = hyper::Method::CONNECT;
    *connect.uri_mut() = "a.test:443".parse().unwrap();
    assert_eq!(
        client.send_request(connect).await.unwrap().status(),
        StatusCode::METHOD_NOT_ALLOWED
    );
    assert_eq!(seen.lock().unwrap().matches("HTTP/1.1").count(), 1);
}
