//! TRIES what is told of connections while they live.

use std::sync::Arc;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::Semaphore,
};

use super::{GET, SLOW, Trial, UPGRADE, soon};
use crate::serve::{Server, State};

#[tokio::test]
async fn each_connection_has_a_number_and_a_state() {
    let trial = Trial::new(Server::new()).await;
    let _new = trial.connect().await;
    let mut idle = trial.connect().await;
    assert!(
        idle.get().await.ends_with("\r\n\r\n2\n"),
        "its number is told to the service"
    );
    let mut active = trial.connect().await;
    active.send(SLOW).await;
    let mut partial = trial.connect().await;
    partial.send("GET / HTTP/1.1\r\n").await;
    let mut upgraded = trial.connect().await;
    upgraded.send(UPGRADE).await;
    upgraded.until("\r\n\r\n").await;
    let closed = trial.connect().await;
    drop(closed);
    let counts = trial
        .connections
        .wait_for(|it| (it.new, it.active, it.idle, it.hijacked) == (1, 2, 1, 1));
    let counts = soon(counts).await;
    assert_eq!((counts.open(), counts.accepted, counts.requests), (5, 6, 3));
    let list = soon(trial.connections.list()).await;
    let states: Vec<_> = list.iter().map(|open| (open.id, open.state)).collect();
    assert_eq!(
        states,
        [
            (1, State::New),
            (2, State::Idle),
            (3, State::Active),
            (4, State::Active),
            (5, State::Hijacked)
        ]
    );
    assert_eq!(list[1].peer, Some(idle.0.local_addr().unwrap()));
    trial.slow.add_permits(1);
    active.answer().await;
    partial.send("Host: x\r\n\r\n").await;
    partial.answer().await;
    drop(upgraded);
    soon(trial.connections.wait_for(|it| it.idle == 3 && it.hijacked == 0)).await;
}

#[tokio::test]
async fn a_connect_is_an_upgrade_too() {
    let trial = Trial::new(Server::new()).await;
    let mut client = trial.connect().await;
    client.send("CONNECT x:1 HTTP/1.1\r\nHost: x:1\r\n\r\n").await;
    client.until("\r\n\r\n").await;
    soon(trial.connections.wait_for(|it| it.hijacked == 1)).await;
    client.send("one").await;
    assert_eq!(client.until("one").await, "one");
    drop(client);
    soon(trial.connections.wait_for(|it| it.open() == 0)).await;
}

#[tokio::test]
async fn several_listeners_of_several_kinds_are_served_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let unix = std::os::unix::net::UnixListener::bind(&path).unwrap();
    // As another program may have left it.
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    tcp.set_nonblocking(false).unwrap();
    let address = tcp.local_addr().unwrap();
    let listeners = [
        crate::serve::Listener::try_from(unix).unwrap(),
        crate::serve::Listener::try_from(tcp).unwrap(),
    ];
    assert_eq!(
        listeners.each_ref().map(crate::serve::Listener::address),
        [None, Some(address)]
    );
    let slow = Arc::new(Semaphore::new(0));
    let service = hyper::service::service_fn(move |request| super::respond(request, Arc::clone(&slow)));
    let serves = tokio::spawn(crate::serve::serve(listeners, service, std::future::pending()));
    let mut client = tokio::net::UnixStream::connect(&path).await.unwrap();
    client
        .write_all(GET.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n").as_bytes())
        .await
        .unwrap();
    let mut answer = String::new();
    soon(client.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    let mut client = super::Client(tokio::net::TcpStream::connect(address).await.unwrap());
    assert!(client.get().await.ends_with("\r\n\r\n2\n"));
    serves.abort();
}
