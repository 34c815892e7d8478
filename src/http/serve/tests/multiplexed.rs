//! TRIES HTTP/2 frame by frame: how it ends, and that its frames are told from requests.

use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt;

use super::{Client, Trial, soon};
use crate::serve::Server;

const SHORT: Duration = Duration::from_millis(300);
const GOAWAY: u8 = 7;
const PING: u8 = 6;
const HEADERS: u8 = 1;

/// A request's head in HPACK: GET, http, a path of the static table or spelt out.
fn head(path: &str) -> Vec<u8> {
    let mut head = vec![0x82, 0x86, 0x04, u8::try_from(path.len()).unwrap()];
    head.extend(path.as_bytes());
    head.extend(b"\x41\x01x");
    head
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

impl Client {
    async fn begin(&mut self) {
        self.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
        self.send(frame(4, 0, 0, &[])).await;
    }

    async fn request(&mut self, stream: u32, path: &str) {
        self.send(frame(HEADERS, 5, stream, &head(path))).await;
    }

    /// The next frame of this kind: its flags, stream and payload. Pings are answered on the way.
    async fn frame(&mut self, wanted: u8) -> (u8, u32, Vec<u8>) {
        loop {
            let mut header = [0; 9];
            soon(self.0.read_exact(&mut header)).await.unwrap();
            let length = u32::from_be_bytes([0, header[0], header[1], header[2]]);
            let mut payload = vec![0; usize::try_from(length).unwrap()];
            soon(self.0.read_exact(&mut payload)).await.unwrap();
            let stream = u32::from_be_bytes([header[5], header[6], header[7], header[8]]);
            if header[3] == PING && header[4] & 1 == 0 {
                self.send(frame(PING, 1, 0, &payload)).await;
            }
            if header[3] == wanted {
                return (header[4], stream, payload);
            }
        }
    }
}

#[tokio::test]
async fn it_says_goaway_twice_and_takes_nothing_back_before_the_second() {
    let server = Server::new().idle_min(SHORT).idle_spread(Duration::ZERO);
    let trial = Trial::new(server).await;
    let mut client = trial.connect().await;
    client.begin().await;
    client.request(1, "/slow").await;
    soon(trial.connections.wait_for(|it| it.active == 1)).await;
    let stopped = Instant::now();
    trial.stop().await;
    let any = [0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0];
    assert_eq!(
        client.frame(GOAWAY).await.2,
        any,
        "at once, while a request is answered"
    );
    // On its way when the first word came: it is taken.
    client.request(3, "/").await;
    assert_eq!(client.frame(HEADERS).await.1, 3);
    // hyper's own first, then the last: nothing above stream 3.
    let mut last = client.frame(GOAWAY).await.2;
    if last == any {
        last = client.frame(GOAWAY).await.2;
    }
    assert!(stopped.elapsed() >= SHORT, "{:?}", stopped.elapsed());
    assert_eq!(last, [0, 0, 0, 3, 0, 0, 0, 0]);
    trial.slow.add_permits(1);
    assert_eq!(client.frame(HEADERS).await.1, 1);
    client.frame(0).await;
    drop(client);
    let report = trial.report().await;
    assert_eq!((report.requests, report.drained, report.cut.all()), (2, 1, 0));
}

#[tokio::test]
async fn who_begins_with_the_word_hears_settings_first() {
    let trial = Trial::new(Server::new().idle_min(SHORT).idle_spread(Duration::ZERO)).await;
    let mut client = trial.connect().await;
    // Both are there when the server looks: nothing of it runs before this waits.
    trial.stop.notify_one();
    assert_eq!(
        client
            .0
            .try_write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
            .unwrap(),
        33
    );
    let mut header = [0; 9];
    soon(client.0.peek(&mut header)).await.unwrap();
    assert_eq!(header[3], 4, "{header:?}");
    client.request(1, "/").await;
    assert_eq!(client.frame(GOAWAY).await.2[..4], [0x7f, 0xff, 0xff, 0xff]);
    assert_eq!(client.frame(HEADERS).await.1, 1);
}

#[tokio::test]
async fn an_idle_one_ends_when_it_has_heard_both() {
    let trial = Trial::new(Server::new().idle_min(SHORT).idle_spread(SHORT)).await;
    let mut client = trial.connect().await;
    client.begin().await;
    client.request(1, "/").await;
    client.frame(0).await;
    soon(trial.connections.wait_for(|it| it.idle == 1)).await;
    trial.stop().await;
    client.frame(GOAWAY).await;
    client.frame(GOAWAY).await;
    client.frame(GOAWAY).await;
    client.end().await;
    drop(client);
    assert_eq!(trial.report().await.cut.all(), 0);
}

#[tokio::test]
async fn frames_that_are_no_request_leave_it_idle() {
    let server = Server::new()
        .header_timeout(Duration::from_millis(50))
        .first_byte_timeout(Duration::from_millis(50));
    let trial = Trial::new(server).await;
    let mut client = trial.connect().await;
    client.begin().await;
    let start = Instant::now();
    for number in 0_u64.. {
        client.send(frame(PING, 0, 0, &number.to_be_bytes())).await;
        client.frame(PING).await;
        if start.elapsed() > 3 * Duration::from_millis(50) {
            break;
        }
    }
    assert_eq!(trial.connections.counts().idle, 1);
}

#[tokio::test]
async fn many_streams_are_one_connection() {
    let trial = Trial::new(Server::new()).await;
    let mut client = trial.connect().await;
    client.begin().await;
    for stream in 0..100 {
        client.request(2 * stream + 1, "/slow").await;
    }
    let counts = soon(trial.connections.wait_for(|it| it.requests == 100)).await;
    assert_eq!((counts.active, counts.open()), (1, 1));
    trial.slow.add_permits(100);
    for _ in 0..100 {
        client.frame(HEADERS).await;
    }
    soon(trial.connections.wait_for(|it| it.idle == 1)).await;
}

#[tokio::test]
async fn who_wants_http1_only_does_not_speak_it() {
    let trial = Trial::new(Server::new().http1_only()).await;
    let mut client = trial.connect().await;
    client.begin().await;
    let mut all = Vec::new();
    soon(client.0.read_to_end(&mut all)).await.unwrap();
    assert!(!all.starts_with(&[0, 0]), "{all:?}");
}
