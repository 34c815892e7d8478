//! Eight requests at once over one connection, in one piece or in several, as a client that does not wait for answers sends
//! them. What is behind an answer with `Connection: close` was not taken, as the client can tell (RFC 9112 §9.6).

use tokio::time::sleep;

use super::{
    super::{
        http1::{Http1, get},
        tally::Failed,
    },
    Client, think,
};

const BATCH: u64 = 8;

pub async fn batches(client: Client, split: bool) {
    let mut kept: Option<Http1> = None;
    while client.goes_on() {
        let connection = match kept.take().filter(Http1::is_usable) {
            Some(connection) => connection,
            None => match Http1::open(client.address).await {
                Ok(connection) => connection,
                Err(failed) => {
                    client.tally.failed(failed, BATCH);
                    continue;
                }
            },
        };
        kept = batch(&client, connection, split).await;
        sleep(think()).await;
    }
}

/// One batch; the connection, if it is worth to be kept.
async fn batch(client: &Client, mut connection: Http1, split: bool) -> Option<Http1> {
    let mut sent = send(&mut connection, split).await;
    for asked in 0..BATCH {
        // What was answered before the sending failed is there to be read.
        match connection.answer().await {
            Ok(_) => client.tally.answered(1),
            Err(failed) => {
                let cause = std::mem::replace(&mut sent, Ok(())).err().unwrap_or(failed);
                client.tally.failed(cause, BATCH - asked);
                return None;
            }
        }
        if connection.last {
            client.tally.handed_back(BATCH - asked - 1);
            return None;
        }
    }
    sent.is_ok().then_some(connection)
}

async fn send(connection: &mut Http1, split: bool) -> Result<(), Failed> {
    let mut rest = &get("/").repeat(8)[..];
    while !rest.is_empty() {
        let here = if split {
            fastrand::usize(1..=rest.len())
        } else {
            rest.len()
        };
        connection.send(&rest[..here]).await?;
        rest = &rest[here..];
        tokio::task::yield_now().await;
    }
    Ok(())
}
