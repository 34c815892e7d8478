//! TRIES clients that do what they should not: they are silent, slow, deaf, many, or talk nonsense.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use tokio::io::AsyncWriteExt;

use super::{
    super::{HEADER_TIMEOUT, MAX_CONNECTIONS, MAX_HEADER_BYTES, MAX_HEADERS, server},
    Client, Endpoint, sample, soon,
};
use crate::serve::Server;

/// Much shorter than the real ones.
const SHORT: Duration = Duration::from_millis(300);

fn short() -> Server {
    server()
        .first_byte_timeout(SHORT)
        .header_timeout(SHORT)
        .idle_timeout(SHORT)
        .response_timeout(SHORT)
}

async fn connect(endpoint: &Endpoint, many: usize) -> Vec<Client> {
    let mut clients = Vec::new();
    for _ in 0..many {
        clients.push(endpoint.connect().await);
    }
    clients
}

#[tokio::test]
async fn nonsense_is_a_400_and_the_end() {
    let endpoint = Endpoint::new(sample::status());
    for nonsense in [
        "nonsense\r\n\r\n",
        "GET\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "GET /livez HTTP/1.1\r\nbad field\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01\u{fc}\x03\r\n\r\n",
    ] {
        let mut client = endpoint.connect().await;
        client.send(nonsense).await;
        let answer = client.answer(false).await;
        assert_eq!(answer.map(|it| it.status), Some(400), "{nonsense:?}");
        assert_eq!(client.end().await, b"", "{nonsense:?}");
    }
    // HTTP/2 without being asked for: closed, as hyper says nothing to it.
    let mut client = endpoint.connect().await;
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    client.end().await;
    assert_eq!(endpoint.asked.load(Ordering::Relaxed), 0);
    assert_eq!(endpoint.get("/livez").await.status, 200);
}

#[tokio::test]
async fn huge_heads_are_a_431_that_the_client_gets_to_read() {
    let endpoint = Endpoint::new(sample::status());
    let huge = [
        format!("X: {}\r\n", "x".repeat(200_000)),
        "X: x\r\n".repeat(MAX_HEADERS + 1),
        "X: x\r\n".repeat(50_000),
    ];
    for fields in huge {
        let mut client = endpoint.connect().await;
        client.send(&format!("GET /livez HTTP/1.1\r\n{fields}\r\n")).await;
        assert_eq!(
            client.answer(false).await.map(|it| it.status),
            Some(431),
            "{}",
            fields.len()
        );
        assert_eq!(client.end().await, b"");
    }
    let target = format!("/{}", "x".repeat(100_000));
    let mut client = endpoint.connect().await;
    client.send(&format!("GET {target} HTTP/1.1\r\n\r\n")).await;
    assert!(matches!(
        client.answer(false).await.map(|it| it.status),
        Some(414 | 431)
    ));
    let large = format!("X: {}\r\n", "x".repeat(MAX_HEADER_BYTES / 2));
    assert_eq!(endpoint.ask("GET", "/livez", &large).await.status, 200);
}

#[tokio::test]
async fn a_body_is_not_read_and_ends_the_connection() {
    let endpoint = Endpoint::new(sample::status());
    for (method, status) in [("POST", 405), ("GET", 200)] {
        let mut client = endpoint.connect().await;
        let length = 500_000;
        client
            .send(&format!(
                "{method} /livez HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n"
            ))
            .await;
        client.send(&"GET /status HTTP/1.1\r\n\r\n".repeat(length / 24)).await;
        let answer = client.answer(true).await.unwrap();
        assert_eq!((answer.status, answer.fields["connection"].as_str()), (status, "close"));
        assert_eq!(client.end().await, b"", "what is in the body is no request");
    }
    let mut client = endpoint.connect().await;
    client
        .send("POST /livez HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        .await;
    assert_eq!(
        client.answer(true).await.unwrap().status,
        405,
        "nobody waits for the body"
    );
    client.0.get_mut().shutdown().await.unwrap();
    assert_eq!(client.end().await, b"");
}

#[tokio::test]
async fn silent_and_slow_clients_do_not_keep_a_probe_out() {
    let endpoint = Endpoint::new(sample::status());
    let mut silent = connect(&endpoint, MAX_CONNECTIONS).await;
    for client in silent.iter_mut().skip(1).step_by(2) {
        client.send("GET /livez HTTP/1.1\r\nX: ").await;
    }
    for _ in 0..10 {
        let start = Instant::now();
        assert_eq!(endpoint.get("/readyz").await.status, 200);
        // A silent one's own limit is far longer.
        assert!(start.elapsed() < HEADER_TIMEOUT / 2, "{:?}", start.elapsed());
    }
    // The oldest made way, and only as many as had to.
    assert_eq!(silent[0].end().await, b"");
    let last = silent.last_mut().unwrap();
    last.send("x\r\n\r\n").await;
    assert_eq!(last.answer(true).await.unwrap().status, 200);
}

#[tokio::test]
async fn of_very_many_connections_the_newest_are_served() {
    let endpoint = Endpoint::new(sample::status());
    let many = 5 * MAX_CONNECTIONS;
    let mut clients = connect(&endpoint, many).await;
    for client in &mut clients[many - MAX_CONNECTIONS..] {
        client.send("GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").await;
        assert_eq!(client.answer(true).await.unwrap().status, 200);
    }
    for client in &mut clients[..many - MAX_CONNECTIONS] {
        assert_eq!(client.end().await, b"", "it was closed");
    }
}

#[tokio::test]
async fn who_is_silent_slow_or_idle_is_closed_in_the_end() {
    let endpoint = Endpoint::with(sample::status(), short());
    let start = Instant::now();
    let mut silent = endpoint.connect().await;
    assert_eq!(silent.end().await, b"");
    let mut slow = endpoint.connect().await;
    slow.send("GET /livez HTTP/1.1\r\nX: ").await;
    assert_eq!(slow.end().await, b"");
    let mut idle = endpoint.connect().await;
    idle.send("GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!(idle.answer(true).await.unwrap().status, 200);
    assert_eq!(idle.end().await, b"");
    assert!(start.elapsed() >= 3 * SHORT);
}

#[tokio::test]
async fn a_client_that_never_reads_is_closed_and_those_beside_it_are_served() {
    let mut status = sample::status();
    status.reason = "x".repeat(8 << 20);
    let endpoint = Endpoint::with(status, short());
    let mut deaf = connect(&endpoint, 4).await;
    for client in &mut deaf {
        client.send("GET /status HTTP/1.1\r\nHost: x\r\n\r\n").await;
    }
    assert_eq!(endpoint.get("/livez").await.status, 200);
    // Whoever writes on such a connection is told that it is gone.
    for client in &mut deaf {
        let gone = async {
            while client.0.write_all(b"GET /livez HTTP/1.1\r\n\r\n").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        soon(gone).await;
    }
    assert_eq!(endpoint.get("/livez").await.status, 200);
}

#[tokio::test]
async fn while_all_are_answered_one_more_waits_and_is_then_served() {
    let server = server().max_connections(2);
    let mut status = sample::status();
    status.reason = "x".repeat(8 << 20);
    let endpoint = Endpoint::with(status, server);
    let mut busy = connect(&endpoint, 2).await;
    for client in &mut busy {
        client.send("GET /status HTTP/1.1\r\nHost: x\r\n\r\n").await;
        // It has begun: more than the client's own buffers hold is on its way.
        client.line().await.unwrap();
    }
    let asked = endpoint.asked.load(Ordering::Relaxed);
    let mut third = endpoint.connect().await;
    third.send("GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let early = tokio::time::timeout(Duration::from_millis(200), third.answer(true)).await;
    assert!(early.is_err() && endpoint.asked.load(Ordering::Relaxed) == asked);
    // The first takes all of its answer, is idle, and makes way.
    while !busy[0].line().await.unwrap().is_empty() {}
    let rest = async { while busy[0].line().await.is_some_and(|line| line != "}") {} };
    soon(rest).await;
    assert_eq!(third.answer(true).await.unwrap().status, 200);
}
