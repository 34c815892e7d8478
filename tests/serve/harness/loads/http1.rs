//! One request after the other: over kept and over fresh connections, quick and slow ones.

use std::time::Duration;

use tokio::time::sleep;

use super::{
    super::{
        http1::{Http1, get},
        routes::is_large,
        tally::{Failed, Failure},
    },
    Client, think,
};

pub async fn keep_alive(client: Client) {
    kept(client, async |connection: &mut Http1| {
        connection.send(&get("/")).await?;
        expect(connection.answer().await?, b"hello\n")
    })
    .await;
}

pub async fn fresh(client: Client) {
    while client.goes_on() {
        let outcome = async {
            let mut connection = Http1::open(client.address).await?;
            connection.send(&get("/")).await?;
            expect(connection.answer().await?, b"hello\n")
        };
        client.tally.count(outcome.await);
    }
}

pub async fn slow(client: Client) {
    kept(client, async |connection: &mut Http1| {
        connection.send(&get("/slow")).await?;
        expect(connection.answer().await?, b"slow\n")
    })
    .await;
}

/// The body in two pieces, each of them late.
pub async fn uploads(client: Client) {
    kept(client, async |connection: &mut Http1| {
        let head = b"POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 12\r\n\r\n";
        connection.send(head).await?;
        sleep(Duration::from_millis(4)).await;
        connection.send(b"hello ").await?;
        sleep(Duration::from_millis(4)).await;
        connection.send(b"hello\n").await?;
        expect(connection.answer().await?, b"hello hello\n")
    })
    .await;
}

pub async fn large(client: Client) {
    while client.goes_on() {
        let outcome = async {
            let mut connection = Http1::open_narrow(client.address).await?;
            connection.send(&get("/large")).await?;
            let body = connection.slow_answer(Duration::from_millis(1)).await?;
            is_large(&body)
                .then_some(())
                .ok_or(Failure::BadStatus.because("another body"))
        };
        client.tally.count(outcome.await);
    }
}

/// The same again and again, over one connection as long as it lasts.
async fn kept(client: Client, ask: impl AsyncFn(&mut Http1) -> Result<(), Failed>) {
    let mut kept: Option<Http1> = None;
    while client.goes_on() {
        let outcome = async {
            let mut connection = match kept.take().filter(Http1::is_usable) {
                Some(connection) => connection,
                None => Http1::open(client.address).await?,
            };
            ask(&mut connection).await?;
            Ok(connection)
        };
        kept = client.tally.count(outcome.await);
        sleep(think()).await;
    }
}

fn expect(body: Vec<u8>, expected: &[u8]) -> Result<(), Failed> {
    if body == expected {
        Ok(())
    } else {
        Err(Failure::BadStatus.because("another body"))
    }
}
