//! TRIES requests that are not what they should be. (How much a client may take is tried at the admin endpoint.)

use super::{GET, Trial, soon};
use crate::serve::Server;

#[tokio::test]
async fn a_request_that_tells_its_length_in_two_ways_is_refused_and_is_the_last() {
    for fields in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "content-length:5\r\nX: y\r\nTRANSFER-ENCODING:\tchunked",
    ] {
        let trial = Trial::new(Server::new()).await;
        let mut client = trial.connect().await;
        client.get().await;
        client
            .send(format!("POST / HTTP/1.1\r\nHost: x\r\n{fields}\r\n\r\n0\r\n\r\n{GET}"))
            .await;
        let answer = client.end().await;
        assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
    }
}

#[tokio::test]
async fn a_body_that_looks_like_such_a_request_is_one() {
    let trial = Trial::new(Server::new()).await;
    let mut client = trial.connect().await;
    let body = format!("{GET}POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n");
    for body in [body.clone(), body.repeat(300)] {
        client
            .send(format!(
                "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            ))
            .await;
        assert!(client.answer().await.starts_with("HTTP/1.1 200 OK\r\n"));
        let chunk = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
        client
            .send(format!(
                "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}"
            ))
            .await;
        assert!(client.answer().await.starts_with("HTTP/1.1 200 OK\r\n"));
    }
    let counts = soon(trial.connections.wait_for(|it| it.idle == 1)).await;
    assert_eq!((counts.accepted, counts.requests), (1, 4));
}
