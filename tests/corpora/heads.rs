//! What holds for the bytes that a client sends over a connection of HTTP/1. The library keeps its reader to itself: it is
//! taken here by its file.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
};

use http_body_util::{BodyExt, Empty};
use hyper::{
    Request, Response,
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

#[path = "../../src/http/serve/heads.rs"]
mod reader;

use reader::{Heads, Seen};

/// Whatever pieces they come in, what is seen is the same; and no request is served that was not seen to come.
pub fn check(bytes: &[u8]) {
    let (whole, heads) = read(&[bytes]);
    let size = bytes.iter().fold(3, |sum, byte| (sum * 31 + usize::from(*byte)) % 97) + 1;
    let (pieces, others) = read(&bytes.chunks(size).collect::<Vec<_>>());
    assert_eq!(
        (pieces, others.is_lost()),
        (whole, heads.is_lost()),
        "in pieces of {size}"
    );
    let (each, _) = read(&bytes.chunks(1).collect::<Vec<_>>());
    assert_eq!(each, whole, "in pieces of 1");
    let served = served(bytes);
    assert!(
        heads.is_lost() || whole.heads >= served,
        "{served} requests are served and {} were seen",
        whole.heads
    );
    assert!(served == 0 || whole.heads > 0);
    if served > 0 && tells_length_twice(bytes) {
        assert!(whole.ambiguous, "a body's length is told in two ways");
    }
    let mut found = heads;
    if found.is_lost() {
        found.answered();
        let next = found.read(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!((next.heads, next.part), (1, false), "it finds back");
    }
}

fn read(pieces: &[&[u8]]) -> (Seen, Heads) {
    let (mut heads, mut all) = (Heads::new(), Seen::default());
    for piece in pieces {
        let seen = heads.read(piece);
        all.heads += seen.heads;
        all.ambiguous |= seen.ambiguous;
        all.part = seen.part;
    }
    (all, heads)
}

/// The first head, line by line.
fn tells_length_twice(bytes: &[u8]) -> bool {
    let mut fields = bytes
        .split(|byte| *byte == b'\n')
        .map(|line| line.trim_ascii_end().to_ascii_lowercase())
        .skip_while(Vec::is_empty)
        .take_while(|line| !line.is_empty())
        .collect::<Vec<_>>();
    fields.retain(|line| !line.is_empty());
    let has = |name: &str| {
        fields
            .iter()
            .any(|line| line.starts_with(format!("{name}:").as_bytes()))
    };
    has("content-length") && has("transfer-encoding")
}

/// The requests that hyper gives to a service.
fn served(bytes: &[u8]) -> u32 {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let count = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&count);
    let answer = service_fn(move |request: Request<Incoming>| {
        counter.fetch_add(1, Relaxed);
        async {
            // An answer to a request whose body is broken matters to nobody.
            drop(request.into_body().collect().await);
            Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
        }
    });
    runtime.block_on(async {
        let (mut client, server) = duplex(1 << 20);
        let connection = http1::Builder::new().serve_connection(TokioIo::new(server), answer);
        let talk = async {
            // The other end may be closed before all is said.
            if client.write_all(bytes).await.is_ok() {
                drop(client.shutdown().await);
            }
            let mut answers = Vec::new();
            drop(client.read_to_end(&mut answers).await);
        };
        drop(tokio::join!(connection, talk));
    });
    count.load(Relaxed)
}
