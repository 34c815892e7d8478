//! TRIES what comes after a 101.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{LONG, listener, program, talk, until, wait_for, with};

const ASK: &[u8] = b"GET /chat HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n";
const SWITCH: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n";

#[tokio::test]
async fn after_an_upgrade_bytes_go_both_ways_and_each_ends_for_itself() {
    let port = program(async |mut stream: TcpStream| {
        let come = until(&mut stream, "\r\n\r\n").await;
        assert!(
            come.contains("connection: upgrade\r\n") && come.contains("upgrade: echo\r\n"),
            "{come}"
        );
        // The first bytes come along with the answer.
        stream.write_all(&[SWITCH, b"hello\n"].concat()).await.unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await.unwrap();
        // The client has ended, and still hears.
        stream.write_all(&all).await.unwrap();
    })
    .await;
    let (proxy, front) = with(port).await;
    let mut client = TcpStream::connect(front).await.unwrap();
    client.write_all(ASK).await.unwrap();
    let come = until(&mut client, "hello\n").await;
    assert!(
        come.contains("upgrade: echo\r\n") && come.contains("connection: upgrade\r\n"),
        "{come}"
    );
    let load = proxy.load(1);
    assert_eq!((load.unanswered, load.answering, load.tunnels.len()), (0, 0, 1));
    assert_eq!(load.busy(LONG), 1);
    client.write_all(b"to and fro").await.unwrap();
    client.shutdown().await.unwrap();
    assert_eq!(until(&mut client, "\0").await, "to and fro");
    wait_for("the end of the tunnel", || proxy.load(1).tunnels.is_empty()).await;
}

#[tokio::test]
async fn a_tunnel_stays_where_it_is() {
    let port = program(async |mut stream: TcpStream| {
        until(&mut stream, "\r\n\r\n").await;
        stream.write_all(SWITCH).await.unwrap();
        let (mut read, mut write) = stream.split();
        tokio::io::copy(&mut read, &mut write).await.ok();
    })
    .await;
    let (proxy, front) = with(port).await;
    let mut client = TcpStream::connect(front).await.unwrap();
    client.write_all(ASK).await.unwrap();
    until(&mut client, "\r\n\r\n").await;
    let (other, _) = listener("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    proxy.steer(2, other);
    proxy.rest(1);
    client.write_all(b"still here").await.unwrap();
    assert_eq!(until(&mut client, "still here").await, "still here");
    wait_for("quiet", || proxy.load(1).busy(Duration::from_millis(20)) == 0).await;
    assert_eq!(proxy.load(1).tunnels.len(), 1, "quiet, but open");
    drop(client);
    wait_for("the end of the tunnel", || proxy.load(1).tunnels.is_empty()).await;
}

#[tokio::test]
async fn an_upgrade_that_is_refused_is_an_answer_like_any_other() {
    let (port, _) =
        listener("HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nContent-Length: 2\r\n\r\nno").await;
    let (proxy, front) = with(port).await;
    let mut client = TcpStream::connect(front).await.unwrap();
    client.write_all(ASK).await.unwrap();
    let come = until(&mut client, "\r\n\r\nno").await;
    assert!(
        come.starts_with("HTTP/1.1 426 ") && come.contains("upgrade: websocket\r\n"),
        "{come}"
    );
    wait_for("the end", || proxy.load(1).busy(LONG) == 0).await;
}

#[tokio::test]
async fn a_program_must_not_upgrade_unasked() {
    let (port, _) = listener("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n").await;
    let (_, front) = with(port).await;
    let come = talk(front, b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert!(come.starts_with("HTTP/1.1 502 "), "{come}");
}

#[tokio::test]
async fn nor_to_another_protocol_than_was_asked_for() {
    for (asked, status) in [
        ("websocket, h2c", "502"),
        ("websocket", "502"),
        ("x", "101"),
        ("a, X", "101"),
    ] {
        let (port, _) = listener("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n").await;
        let (_, front) = with(port).await;
        let request = format!("GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: {asked}\r\n\r\n");
        let mut client = TcpStream::connect(front).await.unwrap();
        client.write_all(request.as_bytes()).await.unwrap();
        let mut come = [0; 12];
        client.read_exact(&mut come).await.unwrap();
        let come = String::from_utf8_lossy(&come).into_owned();
        assert_eq!(come, format!("HTTP/1.1 {status}"), "{asked}");
    }
}
