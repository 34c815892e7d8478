//! Echoes what comes on a WebSocket. Where the server tells that it drains, it says good-bye right behind an answer: then a
//! client that waits for each answer has nothing under way.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use http_body_util::Full;
use hyper::{
    Request, Response, StatusCode,
    body::Bytes,
    header::{CONNECTION, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE},
};
use hyper_util::rt::TokioIo;
use segue::serve::Connection;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Message,
        handshake::derive_accept_key,
        protocol::{CloseFrame, Role, frame::coding::CloseCode},
    },
};
use tokio_util::sync::CancellationToken;

use super::routes::{Routes, status};

/// In a drain, a client that says nothing for so long is told good-bye without an answer before it.
const QUIET: Duration = Duration::from_secs(1);

/// Upgrades the connection, if this is what is asked for.
pub fn accept<B>(mut request: Request<B>, routes: Routes) -> Response<Full<Bytes>> {
    let Some(key) = request.headers().get(SEC_WEBSOCKET_KEY) else {
        return status(StatusCode::BAD_REQUEST);
    };
    let Ok(accept) = HeaderValue::from_str(&derive_accept_key(key.as_bytes())) else {
        return status(StatusCode::BAD_REQUEST);
    };
    // With the other servers there is nobody who would tell.
    let draining = request.extensions().get().map(Connection::draining).unwrap_or_default();
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let Ok(upgraded) = upgrade.await else { return };
        let socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
        converse(socket, draining, routes).await;
    });
    let mut response = status(StatusCode::SWITCHING_PROTOCOLS);
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    response
}

async fn converse<S>(mut socket: WebSocketStream<S>, draining: CancellationToken, routes: Routes)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        let quiet = async {
            draining.cancelled().await;
            tokio::time::sleep(QUIET).await;
        };
        let message = tokio::select! {
            message = socket.next() => message,
            () = quiet => break,
        };
        let Some(Ok(message)) = message else { return };
        if !(message.is_text() || message.is_binary()) {
            continue;
        }
        routes.count();
        let last = draining.is_cancelled();
        let sent = if last {
            socket.feed(message).await
        } else {
            socket.send(message).await
        };
        if sent.is_err() {
            return;
        }
        if last {
            break;
        }
    }
    let away = CloseFrame {
        code: CloseCode::Away,
        reason: "drains".into(),
    };
    if socket.send(Message::Close(Some(away))).await.is_ok() {
        while let Some(Ok(_)) = socket.next().await {}
    }
}
