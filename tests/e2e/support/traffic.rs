//! Clients of other kinds than a request per connection: kept connections, HTTP/2, WebSocket.

use std::{
    io,
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use http_body_util::{BodyExt, Empty};
use hyper::{Request, body::Bytes, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio_tungstenite::tungstenite::{Message, WebSocket, client::client};

use super::client::{Kept, Kind, Load, Work};

/// Longer than anything here takes.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Each asks again and again over one connection, which must never be closed.
pub fn kept(address: SocketAddr, clients: usize) -> Load {
    Load::of(clients, move || {
        let mut kept = None;
        Box::new(move || {
            let mut connection = match kept.take() {
                Some(connection) => connection,
                None => Kept::connect(address)?,
            };
            match connection.get()? {
                Kind::Answered { last: false } => kept = Some(connection),
                Kind::Answered { last: true } | Kind::Closed => return Err(io::ErrorKind::ConnectionReset.into()),
            }
            Ok(String::new())
        }) as Work
    })
}

/// The same in HTTP/2, three requests at a time.
pub fn http2(address: SocketAddr, clients: usize) -> Load {
    Load::of(clients, move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let mut client = None;
        Box::new(move || {
            runtime.block_on(async {
                let mut sender = match client.take() {
                    Some(sender) => sender,
                    None => http2_client(address).await?,
                };
                let ask = |mut sender: http2::SendRequest<Empty<Bytes>>| async move {
                    let request = Request::get("http://test/").body(Empty::new()).unwrap();
                    let response = sender.send_request(request).await.map_err(io::Error::other)?;
                    let status = response.status();
                    response.into_body().collect().await.map_err(io::Error::other)?;
                    if status.is_success() {
                        Ok(())
                    } else {
                        Err(io::Error::from(io::ErrorKind::InvalidData))
                    }
                };
                let all = async { tokio::try_join!(ask(sender.clone()), ask(sender.clone()), ask(sender.clone())) };
                tokio::time::timeout(TIMEOUT, all)
                    .await
                    .map_err(|_| io::ErrorKind::TimedOut)??;
                sender.ready().await.map_err(io::Error::other)?;
                client = Some(sender);
                Ok(String::new())
            })
        }) as Work
    })
}

/// A client of HTTP/2 who knows that the server speaks it.
pub async fn http2_client(address: SocketAddr) -> io::Result<http2::SendRequest<Empty<Bytes>>> {
    let stream = tokio::net::TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
    let (sender, connection) = handshake.map_err(io::Error::other)?;
    tokio::spawn(connection);
    Ok(sender)
}

/// Each opens a WebSocket, says a few things, hears them again, and closes it.
pub fn websocket(address: SocketAddr, clients: usize) -> Load {
    Load::of(clients, move || {
        Box::new(move || {
            let mut socket = open_websocket(address)?;
            for number in 0..5 {
                let told = echo(&mut socket, &number.to_string())?;
                if !told.ends_with(&format!(":{number}")) {
                    return Err(io::Error::new(io::ErrorKind::InvalidData, told));
                }
            }
            socket.close(None).map_err(io::Error::other)?;
            while socket.read().is_ok() {}
            Ok(String::new())
        }) as Work
    })
}

pub fn open_websocket(address: SocketAddr) -> io::Result<WebSocket<TcpStream>> {
    let stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_nodelay(true)?;
    let opened = client("ws://test/", stream);
    Ok(opened.map_err(|error| io::Error::other(error.to_string()))?.0)
}

/// Says something; what comes back.
pub fn echo(socket: &mut WebSocket<TcpStream>, text: &str) -> io::Result<String> {
    socket.send(Message::text(text)).map_err(io::Error::other)?;
    let told = socket.read().map_err(io::Error::other)?;
    Ok(told.into_text().map_err(io::Error::other)?.to_string())
}
