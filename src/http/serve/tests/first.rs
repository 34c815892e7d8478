//! TRIES what becomes of a request that is on its way when the server is told to stop: it and the word come in the same
//! moment, and the server sees both at once.

use std::time::Duration;

use super::{GET, Trial, soon};
use crate::serve::Server;

/// The runtime of these tests has one thread: while this blocks it, nothing of the server happens.
#[expect(clippy::disallowed_methods, reason = "it is to block the thread")]
fn busy() {
    std::thread::sleep(Duration::from_millis(5));
}

#[tokio::test]
async fn a_request_that_came_with_the_word_is_answered() {
    for fresh in [false, true] {
        let trial = Trial::new(Server::new().idle_min(Duration::ZERO).idle_spread(Duration::ZERO)).await;
        let mut clients = Vec::new();
        for _ in 0..50 {
            clients.push(trial.connect().await);
            if !fresh {
                clients.last_mut().unwrap().get().await;
            }
        }
        // The word first, and everything before the server looks.
        trial.stop.notify_one();
        for client in &mut clients {
            assert_eq!(client.0.try_write(GET.as_bytes()).unwrap(), GET.len());
        }
        busy();
        for client in &mut clients {
            assert!(client.answer().await.starts_with("HTTP/1.1 200 OK"), "fresh: {fresh}");
        }
        drop(clients);
        let report = trial.report().await;
        assert_eq!((report.drained, report.cut.all()), (50, 0), "fresh: {fresh}");
    }
}

#[tokio::test]
async fn a_request_of_which_a_part_has_come_is_answered() {
    let trial = Trial::new(Server::new().idle_min(Duration::ZERO).idle_spread(Duration::ZERO)).await;
    let mut client = trial.connect().await;
    let (first, second) = GET.split_at(10);
    client.get().await;
    client.send(first).await;
    soon(trial.connections.wait_for(|it| it.active == 1)).await;
    trial.stop().await;
    client.send(second).await;
    assert!(client.answer().await.starts_with("HTTP/1.1 200 OK"));
    assert_eq!(client.end().await, "");
}
