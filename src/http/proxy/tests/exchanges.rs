//! TRIES one request and its answer, as they are on the wire, on both sides of the proxy.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

use super::{OK, listener, program, talk, until, wait_for, with};

#[tokio::test]
async fn a_connection_is_used_again_and_the_client_does_not_notice_that_it_was_closed() {
    let answers = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5\r\n\r\nok";
    let (port, seen) = listener(answers).await;
    let (proxy, front) = with(port).await;
    let mut client = TcpStream::connect(front).await.unwrap();
    for _ in 0..3 {
        client
            .write_all(b"GET /a HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\n\r\n")
            .await
            .unwrap();
        let answer = until(&mut client, "ok").await;
        assert!(
            !answer.contains("keep-alive") && answer.starts_with("HTTP/1.1 200 OK\r\n"),
            "{answer}"
        );
    }
    assert_eq!(seen.lock().unwrap().matches("GET /a HTTP/1.1\r\n").count(), 3);
    assert_eq!(proxy.route.get(1).unwrap().idle(false).into_iter().count(), 1);
    assert!(
        proxy.route.get(1).unwrap().idle(false).is_none(),
        "all went over one connection"
    );
    let (port, _) = listener("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok").await;
    proxy.steer(2, port);
    for _ in 0..2 {
        client.write_all(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let answer = until(&mut client, "ok").await;
        assert!(!answer.contains("close"), "{answer}");
    }
}

/// Who they are is written down once per connection, and never for another one.
#[tokio::test]
async fn each_client_is_told_by_its_own_address() {
    let (port, seen) = listener(OK).await;
    let (_, front) = with(port).await;
    let mut clients = Vec::new();
    for address in ["127.0.0.2:0", "127.0.0.3:0"] {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(address.parse().unwrap()).unwrap();
        clients.push(socket.connect(front).await.unwrap());
    }
    for _ in 0..2 {
        for client in &mut clients {
            client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
            until(client, "ok").await;
        }
    }
    let seen = seen.lock().unwrap();
    let told = seen.lines().filter_map(|line| line.strip_prefix("x-forwarded-for: "));
    let own = ["127.0.0.2", "127.0.0.3"].repeat(2);
    assert_eq!(told.collect::<Vec<_>>(), own, "{seen}");
}

#[tokio::test]
async fn head_and_answers_without_a_body_keep_their_fields() {
    for (answer, told) in [
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 12345\r\n\r\n",
            "content-length: 12345\r\n",
        ),
        (
            "HTTP/1.1 200 Fine\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 Fine\r\n",
        ),
    ] {
        let (port, seen) = listener(answer).await;
        let (proxy, front) = with(port).await;
        let come = talk(front, b"HEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
        assert!(come.contains(told) && come.ends_with("\r\n\r\n"), "{come}");
        assert!(seen.lock().unwrap().starts_with("HEAD / HTTP/1.1\r\n"));
        assert!(proxy.route.get(1).unwrap().idle(false).is_some());
    }
    let (port, _) = listener("HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n").await;
    let (_, front) = with(port).await;
    let come = talk(front, b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert!(
        come.starts_with("HTTP/1.1 304 ") && come.contains("etag: \"a\"\r\n"),
        "{come}"
    );
}

/// An old program's answer ends with its connection.
#[tokio::test]
async fn an_answer_in_http_1_0_is_passed_on_in_http_1_1() {
    let port = program(async |mut stream: TcpStream| {
        until(&mut stream, "\r\n\r\n").await;
        stream
            .write_all(b"HTTP/1.0 200 OK\r\nServer: old\r\n\r\nfirst")
            .await
            .unwrap();
        stream.write_all(b"second").await.unwrap();
    })
    .await;
    let (_, front) = with(port).await;
    let mut client = TcpStream::connect(front).await.unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let come = until(&mut client, "\r\n0\r\n\r\n").await;
    assert!(
        come.starts_with("HTTP/1.1 200 OK\r\n") && come.contains("server: old\r\n"),
        "{come}"
    );
    let come = talk(front, b"GET / HTTP/1.0\r\n\r\n").await;
    assert!(
        come.starts_with("HTTP/1.0 200 OK\r\n") && come.ends_with("firstsecond"),
        "{come}"
    );
}

#[tokio::test]
async fn trailers_go_both_ways() {
    let answer =
        "HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 7\r\n\r\n";
    let port = program(move |mut stream| async move {
        let come = until(&mut stream, "x-mine: 1\r\n\r\n").await;
        assert!(
            come.contains("te: trailers\r\n") && come.contains("3\r\nabc\r\n0\r\n"),
            "{come}"
        );
        stream.write_all(answer.as_bytes()).await.unwrap();
    })
    .await;
    let (_, front) = with(port).await;
    let mut client = TcpStream::connect(front).await.unwrap();
    let request = "POST / HTTP/1.1\r\nHost: x\r\nTE: trailers\r\nTrailer: X-Mine\r\nTransfer-Encoding: chunked\r\n\r\n\
                   3\r\nabc\r\n0\r\nX-Mine: 1\r\n\r\n";
    client.write_all(request.as_bytes()).await.unwrap();
    let come = until(&mut client, "x-sum: 7\r\n\r\n").await;
    assert!(come.contains("2\r\nok\r\n0\r\n"), "{come}");
}

/// A GET may have a body; and what has a length keeps it.
#[tokio::test]
async fn bodies_keep_their_framing() {
    let (port, seen) = listener(OK).await;
    let (_, front) = with(port).await;
    let mut client = TcpStream::connect(front).await.unwrap();
    let chunked = b"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    client.write_all(chunked).await.unwrap();
    until(&mut client, "ok").await;
    wait_for("the chunk", || seen.lock().unwrap().contains("3\r\nabc\r\n0\r\n\r\n")).await;
    let mut client = TcpStream::connect(front).await.unwrap();
    client
        .write_all(b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nxyz")
        .await
        .unwrap();
    until(&mut client, "ok").await;
    wait_for("the body", || seen.lock().unwrap().ends_with("\r\n\r\nxyz")).await;
    assert!(seen.lock().unwrap().contains("content-length: 3\r\n"));
}

#[tokio::test]
async fn large_heads_pass() {
    let many: String = (0..90)
        .map(|it| format!("x-field-{it}: {}\r\n", "v".repeat(640)))
        .collect();
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n{many}\r\nok");
    assert!(answer.len() > 57_000);
    let sent = many.clone();
    let port = program(move |mut stream| {
        let (answer, sent) = (answer.clone(), sent.clone());
        async move {
            let come = until(&mut stream, "\r\n\r\n").await;
            assert!(come.contains(&sent), "all fields came");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    })
    .await;
    let (_, front) = with(port).await;
    let mut client = TcpStream::connect(front).await.unwrap();
    client
        .write_all(format!("GET / HTTP/1.1\r\nHost: x\r\n{many}\r\n").as_bytes())
        .await
        .unwrap();
    let come = until(&mut client, "\r\n\r\nok").await;
    assert!(come.contains(&many), "all fields came back");
    let line = format!(
        "GET / HTTP/1.1\r\nHost: x\r\na: {}\r\nConnection: close\r\n\r\n",
        "v".repeat(65_400)
    );
    let (port, seen) = listener(OK).await;
    let (_, front) = with(port).await;
    assert!(talk(front, line.as_bytes()).await.ends_with("ok"));
    assert!(seen.lock().unwrap().len() > 65_400);
}

#[tokio::test]
async fn heads_of_too_many_fields_are_refused_and_are_no_end() {
    let many: String = (0..101).map(|it| format!("x-field-{it}: v\r\n")).collect();
    let port = program(move |mut stream| {
        let many = many.clone();
        async move {
            let asked = until(&mut stream, "\r\n\r\n").await;
            let more = if asked.contains("/many") { many.as_str() } else { "" };
            let answer = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n{more}\r\nok");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    })
    .await;
    let (_, front) = with(port).await;
    let many: String = (0..100).map(|it| format!("x-field-{it}: v\r\n")).collect();
    let refused = talk(front, format!("GET / HTTP/1.1\r\nHost: x\r\n{many}\r\n").as_bytes()).await;
    assert!(refused.starts_with("HTTP/1.1 431 "), "{refused}");
    let ask = |path| format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let failed = talk(front, ask("/many").as_bytes()).await;
    assert!(failed.starts_with("HTTP/1.1 502 "), "{failed}");
    assert!(talk(front, ask("/").as_bytes()).await.ends_with("ok"));
}

/// The client is told to go on when the program has said so, and not before.
#[tokio::test]
async fn an_expectation_is_the_programs_to_meet() {
    let port = program(async |mut stream: TcpStream| {
        let come = until(&mut stream, "\r\n\r\n").await;
        assert!(come.contains("expect: 100-continue\r\n"), "{come}");
        if come.starts_with("POST /no") {
            stream
                .write_all(b"HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n")
                .await
                .unwrap();
        } else {
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.unwrap();
        }
        let come = until(&mut stream, "body").await;
        assert!(come.is_empty() || come == "body", "{come}");
        stream.write_all(OK.as_bytes()).await.ok();
    })
    .await;
    let (_, front) = with(port).await;
    for (path, told) in [("yes", "HTTP/1.1 100 Continue\r\n\r\n"), ("no", "HTTP/1.1 417 No\r\n")] {
        let mut client = TcpStream::connect(front).await.unwrap();
        let head = format!("POST /{path} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
        client.write_all(head.as_bytes()).await.unwrap();
        let come = until(&mut client, "\r\n\r\n").await;
        assert!(come.starts_with(told), "{come}");
        if path == "yes" {
            client.write_all(b"body").await.unwrap();
            until(&mut client, "\r\n\r\nok").await;
        } else {
            assert_eq!(until(&mut client, "\0").await, "", "nothing more, and it is closed");
        }
    }
}

/// One that knows nothing of expectations gets the body all the same.
#[tokio::test]
async fn an_expectation_that_nobody_meets_is_over_after_a_second() {
    let port = program(async |mut stream: TcpStream| {
        until(&mut stream, "body").await;
        stream.write_all(OK.as_bytes()).await.unwrap();
    })
    .await;
    let (_, front) = with(port).await;
    let mut client = TcpStream::connect(front).await.unwrap();
    let head = b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n";
    client.write_all(head).await.unwrap();
    assert_eq!(until(&mut client, "\r\n\r\n").await, "HTTP/1.1 100 Continue\r\n\r\n");
    client.write_all(b"body").await.unwrap();
    until(&mut client, "\r\n\r\nok").await;
}

#[tokio::test]
async fn a_client_that_goes_away_ends_the_exchange() {
    let (gone, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let port = program(move |mut stream| {
        let gone = gone.clone();
        async move {
            let come = until(&mut stream, "\r\n\r\n").await;
            if come.contains("/begun") {
                stream
                    .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok")
                    .await
                    .unwrap();
            }
            let count = stream.read(&mut [0; 9]).await.unwrap_or(0);
            gone.send(count).unwrap();
        }
    })
    .await;
    let (proxy, front) = with(port).await;
    for path in ["waits", "begun"] {
        let mut client = TcpStream::connect(front).await.unwrap();
        client
            .write_all(format!("GET /{path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes())
            .await
            .unwrap();
        if path == "begun" {
            until(&mut client, "ok").await;
            assert_eq!((proxy.load(1).unanswered, proxy.load(1).answering), (0, 1));
        } else {
            wait_for("the request", || proxy.load(1).unanswered == 1).await;
        }
        drop(client);
        assert_eq!(
            tokio::time::timeout(super::LONG, heard.recv()).await.unwrap(),
            Some(0),
            "{path}"
        );
        wait_for("the end", || proxy.load(1).busy(Duration::ZERO) == 0).await;
    }
}

/// The answer may begin, and end, before the request does.
#[tokio::test]
async fn both_ways_at_once() {
    let port = program(async |mut stream: TcpStream| {
        until(&mut stream, "\r\n\r\n").await;
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            .await
            .unwrap();
        for _ in 0..3 {
            let come = until(&mut stream, "abc\r\n").await;
            stream.write_all(come.as_bytes()).await.unwrap();
        }
        until(&mut stream, "0\r\n\r\n").await;
        stream.write_all(b"0\r\n\r\n").await.unwrap();
    })
    .await;
    let (proxy, front) = with(port).await;
    let mut client = TcpStream::connect(front).await.unwrap();
    client
        .write_all(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        .await
        .unwrap();
    until(&mut client, "\r\n\r\n").await;
    for _ in 0..3 {
        client.write_all(b"3\r\nabc\r\n").await.unwrap();
        assert_eq!(until(&mut client, "abc\r\n").await, "3\r\nabc\r\n");
    }
    assert_eq!(proxy.load(1).answering, 1);
    client.write_all(b"0\r\n\r\n").await.unwrap();
    assert_eq!(until(&mut client, "0\r\n\r\n").await, "0\r\n\r\n");
    wait_for("the end", || proxy.load(1).answering == 0).await;
}
