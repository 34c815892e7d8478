//! TRIES the end of a connection, at each moment at which it can come.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    time::Duration,
};

use hyper::Request;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    time::timeout,
};

use super::{Body, Driver, Sender, handshake};

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(20);

async fn begun() -> (Sender, Driver, DuplexStream) {
    let (near, far) = tokio::io::duplex(1 << 16);
    let (sender, driver) = handshake(Box::new(near)).await.unwrap();
    (sender, driver, far)
}

async fn answer(far: &mut DuplexStream, answer: &str) {
    let mut come = Vec::new();
    while !come.ends_with(b"\r\n\r\n") {
        assert_ne!(far.read_buf(&mut come).await.unwrap(), 0);
    }
    far.write_all(answer.as_bytes()).await.unwrap();
}

/// Nobody looks at a connection while it is idle: that it was closed shows when the next request is to be sent. That request is given
/// back, and does not wait for ever.
#[tokio::test]
async fn a_request_after_the_end_is_given_back() {
    for answers in [0, 1, 3] {
        let (mut sender, mut driver, mut far) = begun().await;
        for _ in 0..answers {
            let asks = sender.send_request(Request::new(Body::none()));
            let exchange = async { tokio::join!(asks, answer(&mut far, "HTTP/1.1 204 No\r\n\r\n")).0 };
            tokio::select! {
                biased;
                () = driver.over() => panic!("it has ended"),
                answer = exchange => assert_eq!(answer.unwrap().status(), 204),
            }
        }
        drop(far);
        let mut asks = pin!(sender.try_send_request(Request::new(Body::none())));
        // The driver stays where it is, as it does for whoever asks more than once.
        let both = poll_fn(|context| {
            let _over = driver.poll(context);
            asks.as_mut().poll(context)
        });
        let mut error = timeout(LONG, both).await.expect("it waits for ever").unwrap_err();
        assert!(error.take_message().is_some(), "{answers}: nothing of it was sent");
    }
}
