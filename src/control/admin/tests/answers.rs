//! TRIES what is answered to clients that behave, by a loop that does and by one that does not.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use tokio::sync::mpsc;

use super::{
    super::{PATIENCE, Patience, server},
    Endpoint, Status, sample,
};

#[tokio::test]
async fn every_route_says_what_it_should() {
    let endpoint = Endpoint::new(sample::status());
    for (target, kind, text) in [
        ("/livez", "text/plain; charset=utf-8", "ok\n"),
        ("/healthz", "text/plain; charset=utf-8", "ok\n"),
        ("/readyz", "text/plain; charset=utf-8", "ok\n"),
        ("/startupz", "text/plain; charset=utf-8", "ok\n"),
        (
            "/readyz?verbose",
            "text/plain; charset=utf-8",
            "[+]generation ok: generation 4 serves\n",
        ),
        ("/status", "application/json", "\"busy\": 118"),
        ("/version", "application/json", "\"version\""),
        ("/", "text/html; charset=utf-8", "<h1>nginx</h1>"),
        (
            "/metrics",
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
            "\nsegue_kills_total 0\n",
        ),
    ] {
        let answer = endpoint.get(target).await;
        assert_eq!(answer.status, 200, "{target}");
        assert_eq!(answer.fields["content-type"], kind, "{target}");
        assert_eq!(answer.fields["cache-control"], "no-store", "{target}");
        assert_eq!(answer.fields["x-content-type-options"], "nosniff", "{target}");
        assert_eq!(answer.fields.contains_key("content-security-policy"), target == "/");
        assert!(answer.body.contains(text), "{target}: {}", answer.body);
        let head = endpoint.ask("HEAD", target, "").await;
        assert_eq!(
            (head.status, &head.fields["content-type"]),
            (200, &answer.fields["content-type"]),
            "{target}"
        );
        // Metrics of the process itself change.
        let same = head.fields["content-length"] == answer.fields["content-length"];
        assert!(same || target == "/metrics", "{target}");
    }
    let status: Status = serde_json::from_str(&endpoint.get("/status").await.body).unwrap();
    assert_eq!(status.generations.len(), 3);
    let missing = endpoint.get("/nowhere").await;
    assert!(
        missing.status == 404 && missing.body.contains("/startupz"),
        "{missing:?}"
    );
}

#[tokio::test]
async fn probes_say_no_with_a_reason() {
    let endpoint = Endpoint::new(sample::nothing());
    for (target, status, text) in [
        ("/livez", 200, "ok\n"),
        (
            "/readyz",
            503,
            "the program ended with code 3; it starts again in 4 s\n",
        ),
        (
            "/startupz",
            503,
            "the program ended with code 3; it starts again in 4 s\n",
        ),
        ("/readyz?verbose", 503, "readyz check failed\n"),
    ] {
        let answer = endpoint.get(target).await;
        assert!(
            answer.status == status && answer.body.ends_with(text),
            "{target}: {answer:?}"
        );
    }
}

#[tokio::test]
async fn metrics_come_in_the_format_that_is_asked_for() {
    let endpoint = Endpoint::new(sample::status());
    for (fields, kind, line, end) in [
        (
            "",
            "application/openmetrics-text",
            "# TYPE segue_kills_total counter\n",
            true,
        ),
        (
            "Accept: text/plain\r\n",
            "text/plain; version=0.0.4",
            "# TYPE segue_kills_total counter\n",
            false,
        ),
        (
            "Accept: */*\r\nAccept: application/openmetrics-text\r\n",
            "application/openmetrics-text",
            "# TYPE segue_kills counter\n",
            true,
        ),
    ] {
        let answer = endpoint.ask("GET", "/metrics", fields).await;
        assert!(answer.fields["content-type"].starts_with(kind), "{fields}");
        assert!(answer.body.contains(line), "{fields}: {}", answer.body);
        assert_eq!(answer.body.ends_with("# EOF\n"), end, "{fields}");
    }
}

#[tokio::test]
async fn nothing_but_get_and_head_is_answered_and_nobody_is_asked_for_it() {
    let endpoint = Endpoint::new(sample::status());
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "get"] {
        let answer = endpoint.ask(method, "/readyz", "").await;
        assert_eq!(
            (answer.status, answer.fields["allow"].as_str()),
            (405, "GET, HEAD"),
            "{method}"
        );
    }
    let mut client = endpoint.connect().await;
    client
        .send("CONNECT example.net:443 HTTP/1.1\r\nHost: example.net:443\r\n\r\n")
        .await;
    assert_eq!(client.answer(true).await.unwrap().status, 405);
    client.send("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!(
        client.answer(true).await.unwrap().status,
        405,
        "the connection is still good"
    );
    assert_eq!(endpoint.asked.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_connection_is_used_again_and_a_heads_body_is_empty() {
    let endpoint = Endpoint::new(sample::status());
    let mut client = endpoint.connect().await;
    for _ in 0..50 {
        client.send("HEAD /status HTTP/1.1\r\nHost: x\r\n\r\n").await;
        assert!(
            client.answer(false).await.unwrap().fields["content-length"]
                .parse::<usize>()
                .unwrap()
                > 100
        );
        client.send("GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").await;
        assert_eq!(
            client.answer(true).await.unwrap().body,
            "ok\n",
            "a body would have come first"
        );
    }
}

#[tokio::test]
async fn requests_that_come_at_once_are_answered_in_their_order() {
    let endpoint = Endpoint::new(sample::status());
    let mut client = endpoint.connect().await;
    let targets = ["/livez", "/version", "/readyz?verbose", "/nowhere"];
    let all: String = targets
        .iter()
        .cycle()
        .take(200)
        .map(|it| format!("GET {it} HTTP/1.1\r\nHost: x\r\n\r\n"))
        .collect();
    client.send(&all).await;
    for _ in 0..50 {
        for text in ["ok\n", "{\n", "[+]loop", "there is no such page"] {
            let answer = client.answer(true).await.unwrap();
            assert!(answer.body.starts_with(text), "{text}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn a_loop_that_does_not_answer_makes_a_503_in_time() {
    let patience = Patience {
        probe: Duration::from_millis(100),
        other: Duration::from_millis(200),
    };
    let (sender, questions) = mpsc::channel(1);
    // It holds on to the questions, and the queue is full from the second on.
    let turning = async move {
        let _questions = questions;
        std::future::pending().await
    };
    let endpoint = Endpoint::serve(sender, server(), patience, turning, Arc::default());
    for target in ["/livez", "/livez", "/readyz", "/startupz", "/status", "/metrics", "/"] {
        let start = Instant::now();
        let answer = endpoint.get(target).await;
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (503, "the loop does not answer\n"),
            "{target}"
        );
        assert!(
            start.elapsed() >= patience.probe && start.elapsed() < Duration::from_secs(5),
            "{target}"
        );
    }
    assert_eq!(
        endpoint.get("/version").await.status,
        200,
        "nobody needs to be asked for it"
    );
}

#[tokio::test]
async fn a_loop_that_is_gone_makes_a_503_at_once() {
    let (sender, questions) = mpsc::channel(1);
    drop(questions);
    let endpoint = Endpoint::serve(sender, server(), PATIENCE, async {}, Arc::default());
    let start = Instant::now();
    assert_eq!(endpoint.get("/metrics").await.status, 503);
    assert!(start.elapsed() < PATIENCE.other);
}
