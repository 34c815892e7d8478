//! Sends requests so that they and the shutdown are both there when the server looks: while its thread is busy, as that of a
//! server with work to do is.

use std::net::SocketAddr;

use super::{
    Kind, Line, Outcome,
    http1::{Http1, get},
    tally::Tally,
};

/// Connections that have answered once, and as many on which nothing was sent yet.
const EACH: usize = 64;

pub async fn through(kind: Kind, drains: usize) -> Outcome {
    let mut line = Line::start(kind).await;
    let tally = Tally::default();
    let mut ended = Vec::new();
    for _ in 0..drains {
        let mut connections = Vec::new();
        for number in 0..2 * EACH {
            let mut connection = Http1::open(line.address()).await.unwrap();
            if number % 2 == 0 {
                connection.send(&get("/")).await.unwrap();
                connection.answer().await.unwrap();
            }
            connections.push(connection);
        }
        // Connections are accepted in their order: when this one is answered, it has all of them.
        let mut last = Http1::open(line.address()).await.unwrap();
        last.send(&get("/")).await.unwrap();
        last.answer().await.unwrap();
        drop(last);

        let old = line.succeed().await;
        let held = old.hold().await;
        for connection in &mut connections {
            connection.send(&get("/")).await.unwrap();
        }
        let drain = tokio::spawn(old.drain(Some(held)));
        for mut connection in connections {
            tally.count(connection.answer().await);
        }
        ended.push(drain.await.unwrap());
    }
    line.end().await;
    Outcome {
        counts: tally.counts(),
        drains: ended,
    }
}

/// So many connections that were answered, and are silent from now on.
pub async fn idle(address: SocketAddr, count: usize) -> Vec<Http1> {
    let mut connections = Vec::new();
    for _ in 0..count {
        let mut connection = Http1::open(address).await.unwrap();
        connection.send(&get("/")).await.unwrap();
        connection.answer().await.unwrap();
        connections.push(connection);
    }
    connections
}
