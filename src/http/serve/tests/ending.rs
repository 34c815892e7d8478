//! TRIES how a server ends: what it still answers, whom it waits for, and what it cuts. The first servers of this kind had
//! their idle connections in a table by the server's own address, went on accepting while they drained, closed their
//! listener last, and waited for ever for one client; each of these has its test.

use std::time::{Duration, Instant};

use tokio::net::TcpStream;

use super::{GET, SLOW, Trial, UPGRADE, soon};
use crate::serve::{Report, Server};

const SHORT: Duration = Duration::from_millis(200);

/// Long enough for everything that is to happen before; it never passes.
const LONG: Duration = Duration::from_secs(600);

fn quick() -> Server {
    Server::new()
        .idle_min(SHORT)
        .idle_spread(SHORT)
        .first_byte_timeout(2 * SHORT)
}

fn close(answer: &str) -> bool {
    answer.to_ascii_lowercase().contains("\r\nconnection: close\r\n")
}

#[tokio::test]
async fn with_nobody_there_it_ends_at_once() {
    let trial = Trial::new(Server::new()).await;
    trial.stop().await;
    let report = trial.report().await;
    assert_eq!((report.accepted, report.drained, report.cut.all()), (0, 0, 0));
    assert!(report.took < Duration::from_secs(5), "{report}");
}

#[tokio::test]
async fn every_idle_connection_is_closed_not_only_one_of_each_address() {
    let trial = Trial::new(quick()).await;
    let mut clients = Vec::new();
    for _ in 0..20 {
        clients.push(trial.connect().await);
        assert!(!close(&clients.last_mut().unwrap().get().await));
    }
    trial.stop().await;
    for client in &mut clients {
        assert_eq!(client.end().await, "");
    }
    drop(clients);
    let Report { drained, cut, took, .. } = trial.report().await;
    assert_eq!((drained, cut.all()), (20, 0));
    assert!(took >= SHORT && took < Duration::from_secs(5), "{took:?}");
}

#[tokio::test]
async fn the_next_request_is_answered_and_says_that_it_is_the_last() {
    // So that nothing else closes it.
    let trial = Trial::new(Server::new().idle_min(LONG).drain_deadline(LONG)).await;
    let mut client = trial.connect().await;
    client.get().await;
    let mut fresh = trial.connect().await;
    trial.stop().await;
    assert!(close(&client.get().await));
    assert_eq!(client.end().await, "");
    assert!(close(&fresh.get().await));
    assert_eq!(fresh.end().await, "");
    drop((client, fresh));
    assert_eq!(trial.report().await.drained, 2);
}

#[tokio::test]
async fn of_pipelined_requests_all_are_answered_and_the_last_says_close() {
    let trial = Trial::new(Server::new().idle_min(LONG)).await;
    let mut client = trial.connect().await;
    client.send(format!("{SLOW}{GET}{GET}")).await;
    soon(trial.connections.wait_for(|it| it.requests == 1)).await;
    trial.stop().await;
    trial.slow.add_permits(1);
    assert!(!close(&client.answer().await));
    assert!(!close(&client.answer().await));
    assert!(close(&client.answer().await));
    assert_eq!(client.end().await, "");
}

#[tokio::test]
async fn a_request_of_which_a_part_came_with_the_one_before_has_its_time() {
    let trial = Trial::new(quick().header_timeout(LONG)).await;
    let mut client = trial.connect().await;
    client.send(format!("{GET}{}", &GET[..20])).await;
    client.answer().await;
    soon(trial.connections.wait_for(|it| it.requests == 1 && it.active == 1)).await;
    trial.stop().await;
    // Longer than any idle connection has.
    let longer = tokio::time::timeout(4 * SHORT, client.0.peek(&mut [0])).await;
    assert!(longer.is_err(), "it is not closed");
    client.send(&GET[20..]).await;
    assert!(close(&client.answer().await));
    assert_eq!(client.end().await, "");
}

#[tokio::test]
async fn new_connections_are_refused_while_old_ones_finish() {
    let trial = Trial::new(quick()).await;
    let mut client = trial.connect().await;
    client.send(SLOW).await;
    soon(trial.connections.wait_for(|it| it.active == 1)).await;
    trial.stop().await;
    // The listener goes right after the word.
    let refused = async { while TcpStream::connect(trial.address).await.is_ok() {} };
    soon(refused).await;
    assert!(!trial.serves.is_finished());
    trial.slow.add_permits(1);
    assert!(close(&client.answer().await));
    drop(client);
    assert_eq!(trial.report().await.cut.all(), 0);
}

#[tokio::test]
async fn a_connection_that_the_kernel_has_queued_is_served() {
    // The only place is taken, so that the others stay in the queue.
    let trial = Trial::new(quick().max_connections(1)).await;
    let mut first = trial.connect().await;
    first.send(SLOW).await;
    soon(trial.connections.wait_for(|it| it.active == 1)).await;
    let mut queued = Vec::new();
    for _ in 0..10 {
        queued.push(super::Client(TcpStream::connect(trial.address).await.unwrap()));
    }
    trial.stop().await;
    for client in &mut queued {
        assert!(close(&client.get().await));
    }
    trial.slow.add_permits(1);
    first.answer().await;
    drop((first, queued));
    let report = trial.report().await;
    assert_eq!((report.accepted, report.drained, report.cut.all()), (11, 11, 0));
}

#[tokio::test]
async fn a_lame_duck_accepts_and_says_that_it_is_one() {
    let trial = Trial::new(quick().lame_duck(SHORT)).await;
    trial.stop().await;
    let mut late = trial.connect().await;
    assert!(close(&late.get().await));
    drop(late);
    let report = trial.report().await;
    assert!(report.took >= SHORT && report.drained == 1, "{report}");
}

#[tokio::test]
async fn a_connection_that_becomes_idle_in_the_drain_is_closed_too() {
    let trial = Trial::new(quick()).await;
    let mut client = trial.connect().await;
    // The head of the response goes before the drain, so that it cannot say that it is the last.
    client.send("GET /large HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let head = client.until("\r\n\r\n").await;
    trial.stop().await;
    assert!(!close(&head));
    assert_eq!(client.end().await.len(), 32 << 20);
    drop(client);
    assert_eq!(trial.report().await.cut.all(), 0);
}

#[tokio::test]
async fn it_waits_for_nobody_for_ever() {
    let trial = Trial::new(quick().drain_deadline(2 * SHORT)).await;
    let mut busy = trial.connect().await;
    busy.send(SLOW).await;
    let mut upgraded = trial.connect().await;
    upgraded.send(UPGRADE).await;
    upgraded.until("\r\n\r\n").await;
    soon(trial.connections.wait_for(|it| it.active == 1 && it.hijacked == 1)).await;
    let start = Instant::now();
    trial.stop().await;
    assert_eq!(upgraded.until("bye").await, "bye");
    let connections = trial.connections.clone();
    let report = trial.report().await;
    assert!(start.elapsed() >= 2 * SHORT, "{:?}", start.elapsed());
    assert_eq!(
        (report.cut.active, report.cut.hijacked, report.cut.all(), report.drained),
        (1, 1, 2, 0)
    );
    // Whoever had taken the upgraded one learns it.
    assert_eq!(upgraded.end().await, "");
    soon(connections.wait_for(|it| it.open() == 0)).await;
}

#[tokio::test]
async fn an_upgraded_connection_is_told_and_waited_for() {
    let trial = Trial::new(quick()).await;
    let mut client = trial.connect().await;
    client.send(UPGRADE).await;
    client.until("\r\n\r\n").await;
    client.send("one").await;
    assert_eq!(client.until("one").await, "one");
    trial.stop().await;
    assert_eq!(client.until("bye").await, "bye");
    client.send("two").await;
    assert_eq!(client.until("two").await, "two");
    assert!(!trial.serves.is_finished());
    drop(client);
    let report = trial.report().await;
    assert_eq!((report.drained, report.cut.all()), (1, 0));
}

#[tokio::test]
async fn dropped_it_closes_everything() {
    let trial = Trial::new(Server::new()).await;
    let mut clients = [trial.connect().await, trial.connect().await];
    clients[0].send(SLOW).await;
    soon(trial.connections.wait_for(|it| it.active == 1)).await;
    trial.serves.abort();
    for client in &mut clients {
        assert_eq!(client.end().await, "");
    }
}
