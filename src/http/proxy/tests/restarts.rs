//! TRIES what becomes of requests while generations come, go and fail.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};

use super::{LONG, OK, Proxy, front, listener, program, talk, until, wait_for, with};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

#[tokio::test]
async fn requests_wait_for_somebody_who_serves() {
    let proxy = Proxy::new(None);
    let front = front(&proxy).await;
    let waits = tokio::spawn(talk(front, GET));
    wait_for("the request", || proxy.waiting() == 1).await;
    let (port, _) = listener(OK).await;
    proxy.steer(1, port);
    assert!(waits.await.unwrap().ends_with("ok"));
    assert_eq!(proxy.waiting(), 0);
    proxy.hold();
    let waits = tokio::spawn(talk(front, GET));
    wait_for("the request", || proxy.waiting() == 1).await;
    waits.abort();
    wait_for("that it is gone", || proxy.waiting() == 0).await;
}

#[tokio::test]
async fn but_not_longer_than_they_may() {
    let proxy = Proxy::new(Some(Duration::from_millis(50)));
    let front = front(&proxy).await;
    let come = talk(front, GET).await;
    assert!(
        come.starts_with("HTTP/1.1 503 ") && come.contains("retry-after: 1\r\n"),
        "{come}"
    );
    // Nobody listens there.
    let port = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    proxy.steer(1, port);
    let come = talk(front, GET).await;
    assert!(
        come.starts_with("HTTP/1.1 503 ") && come.contains("does not accept connections"),
        "{come}"
    );
}

#[tokio::test]
async fn a_connection_that_is_refused_is_tried_again_on_whoever_serves() {
    let proxy = Proxy::new(Some(LONG));
    let front = front(&proxy).await;
    let closed = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    proxy.steer(1, closed);
    let waits = tokio::spawn(talk(front, GET));
    wait_for("the request", || proxy.waiting() == 1).await;
    let (port, _) = listener(OK).await;
    proxy.steer(2, port);
    assert!(waits.await.unwrap().ends_with("ok"));
    // Or on the same, as soon as it listens: one that took IPv6 only.
    proxy.steer(1, closed);
    let waits = tokio::spawn(talk(front, GET));
    wait_for("the request", || proxy.waiting() == 1).await;
    let late = TcpListener::bind(("::1", closed)).await.unwrap();
    let (mut stream, _) = late.accept().await.unwrap();
    until(&mut stream, "\r\n\r\n").await;
    stream.write_all(OK.as_bytes()).await.unwrap();
    assert!(waits.await.unwrap().ends_with("ok"));
}

/// When a program closes a connection on which it has answered.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Closes {
    AtOnce,
    WhileIdle,
    WithTheNextRequest,
}

/// Programs close connections that are idle; some as soon as the next request comes.
#[tokio::test]
async fn an_idle_connection_that_was_closed_costs_no_request() {
    for closes in [Closes::AtOnce, Closes::WhileIdle, Closes::WithTheNextRequest] {
        let (close, closed) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
        let (word, count) = (Arc::clone(&close), Arc::clone(&closed));
        let port = program(move |mut stream: TcpStream| {
            let (word, count) = (Arc::clone(&word), Arc::clone(&count));
            async move {
                let head = until(&mut stream, "\r\n\r\n").await;
                // Sent once more, it is what it was.
                let whole = head.starts_with("DELETE /a?b HTTP/1.1\r\n") && head.contains("x-mine: 1\r\n");
                let answer = if whole {
                    OK
                } else {
                    "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"
                };
                stream.write_all(answer.as_bytes()).await.unwrap();
                match closes {
                    Closes::AtOnce => {}
                    Closes::WhileIdle => word.acquire().await.unwrap().forget(),
                    Closes::WithTheNextRequest => drop(until(&mut stream, "\r\n\r\n").await),
                }
                drop(stream);
                count.fetch_add(1, Relaxed);
            }
        })
        .await;
        let (_, front) = with(port).await;
        let mut client = TcpStream::connect(front).await.unwrap();
        for request in 1..=5 {
            client
                .write_all(b"DELETE /a?b HTTP/1.1\r\nHost: x\r\nX-Mine: 1\r\n\r\n")
                .await
                .unwrap();
            let answer = until(&mut client, "ok").await;
            assert!(answer.starts_with("HTTP/1.1 200 "), "{closes:?}: {answer}");
            if closes == Closes::WhileIdle {
                close.add_permits(1);
                wait_for("it is closed", || closed.load(Relaxed) == request).await;
            }
        }
    }
}

/// What may have been done is not done twice.
#[tokio::test]
async fn a_request_that_was_sent_and_not_answered_fails() {
    let port = program(async |mut stream: TcpStream| {
        until(&mut stream, "\r\n\r\n").await;
    })
    .await;
    let (proxy, front) = with(port).await;
    let come = talk(front, GET).await;
    assert!(
        come.starts_with("HTTP/1.1 502 ") && come.ends_with("without an answer\n"),
        "{come}"
    );
    assert_eq!(proxy.load(1).unanswered, 0);
    // Over a connection that was idle, too, unless it may be repeated.
    let port = program(async |mut stream: TcpStream| {
        let come = until(&mut stream, "\r\n\r\n").await;
        stream.write_all(OK.as_bytes()).await.unwrap();
        assert!(!until(&mut stream, "\r\n\r\n").await.is_empty() || come.contains("GET"));
    })
    .await;
    proxy.steer(2, port);
    let mut client = TcpStream::connect(front).await.unwrap();
    client
        .write_all(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        .await
        .unwrap();
    assert!(until(&mut client, "ok").await.starts_with("HTTP/1.1 200 "));
    client
        .write_all(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        .await
        .unwrap();
    assert!(until(&mut client, "answer\n").await.starts_with("HTTP/1.1 502 "));
}

/// What a program does with a connection of its queue.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Ends {
    /// As the kernel closes one that was not accepted.
    Unread,
    /// Before the request comes, or while it does.
    AtOnce,
    Read,
    Answered,
}

/// Whoever is in the queue of a program that ends was not heard, and is heard by the next; not for ever.
#[tokio::test]
async fn a_request_that_nobody_has_read_is_sent_once_more() {
    use Ends::{Answered, AtOnce, Read, Unread};
    let cases: [(&str, &'static [Ends], &str, usize); 8] = [
        ("GET", &[Unread, Answered], "200", 2),
        ("GET", &[AtOnce, Answered], "200", 2),
        ("GET", &[Unread, AtOnce, Unread, Answered], "200", 4),
        ("GET", &[Unread, Unread, Unread, Unread, Answered], "502", 4),
        ("GET", &[Unread, Read, Answered], "502", 2),
        ("GET", &[Read, Answered], "502", 1),
        ("POST", &[Unread, Answered], "502", 1),
        ("PUT", &[Unread, Answered], "200", 2),
    ];
    for (method, ends, status, connections) in cases {
        let count = Arc::new(AtomicUsize::new(0));
        let accepted = Arc::clone(&count);
        let port = program(move |mut stream: TcpStream| {
            let end = ends[accepted.fetch_add(1, Relaxed)];
            async move {
                let mut seen = [0; 1024];
                match end {
                    AtOnce => return,
                    Unread => {
                        while !seen.windows(4).any(|it| it == b"\r\n\r\n") {
                            stream.peek(&mut seen).await.unwrap();
                        }
                    }
                    Read | Answered => drop(until(&mut stream, "\r\n\r\n").await),
                }
                if end == Answered {
                    stream.write_all(OK.as_bytes()).await.unwrap();
                }
            }
        })
        .await;
        let (proxy, front) = with(port).await;
        let request = format!("{method} / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        let come = talk(front, request.as_bytes()).await;
        assert!(
            come.starts_with(&format!("HTTP/1.1 {status} ")),
            "{method} {ends:?}: {come}"
        );
        assert_eq!(count.load(Relaxed), connections, "{method} {ends:?}");
        assert_eq!((proxy.load(1).unanswered, proxy.waiting()), (0, 0));
    }
}

/// If a part of it was read, that may be what has ended the program: it must not end one generation after the other.
#[tokio::test]
async fn a_request_that_two_generations_have_not_read_fails() {
    for (that_end, status) in [(1, "200"), (2, "502"), (3, "502")] {
        let proxy = Proxy::new(Some(LONG));
        let front = front(&proxy).await;
        let (mut next, seen) = listener(OK).await;
        for generation in (1..=that_end).rev() {
            let proxy = proxy.clone();
            next = program(move |stream: TcpStream| {
                let proxy = proxy.clone();
                async move {
                    stream.peek(&mut [0]).await.unwrap();
                    proxy.steer(generation + 1, next);
                }
            })
            .await;
        }
        proxy.steer(1, next);
        let come = talk(front, GET).await;
        assert!(come.starts_with(&format!("HTTP/1.1 {status} ")), "{that_end}: {come}");
        assert_eq!(seen.lock().unwrap().is_empty(), status == "502", "{that_end}");
    }
}

#[tokio::test]
async fn what_is_under_way_finishes_where_it_began() {
    let old = program(async |mut stream: TcpStream| {
        let come = until(&mut stream, "\r\n\r\n").await;
        if come.starts_with("GET /slow") {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nold")
            .await
            .unwrap();
        until(&mut stream, "\r\n\r\n").await;
    })
    .await;
    let (proxy, front) = with(old).await;
    let slow = tokio::spawn(talk(
        front,
        b"GET /slow HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    ));
    wait_for("the request", || proxy.load(1).unanswered == 1).await;
    let (new, _) = listener("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nnew").await;
    proxy.steer(2, new);
    assert!(talk(front, GET).await.ends_with("new"));
    assert!(slow.await.unwrap().ends_with("old"));
    proxy.rest(1);
    assert!(proxy.route.get(1).unwrap().idle(false).is_none());
    proxy.ended(1);
    proxy.release(1);
    assert!(talk(front, GET).await.ends_with("new"));
}
