//! Messages over a WebSocket, each of which has to come back; and the socket has to end by a Close frame, with no message
//! that was not answered.

use std::{error::Error, io};

use futures_util::{SinkExt, StreamExt};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite};
use tungstenite::Message;

use super::{
    super::{
        http1::TIMEOUT,
        tally::{Failed, Failure},
    },
    Client, think,
};

type Socket = WebSocketStream<TcpStream>;

pub async fn talk(client: Client) {
    while client.goes_on() {
        match open(&client).await {
            Ok(socket) => converse(&client, socket).await,
            Err(failed) => client.tally.failed(failed, 1),
        }
    }
}

async fn open(client: &Client) -> Result<Socket, Failed> {
    let stream = TcpStream::connect(client.address).await?;
    stream.set_nodelay(true)?;
    let url = format!("ws://{}/ws", client.address);
    match timeout(TIMEOUT, client_async(url, stream)).await {
        Ok(Ok((socket, _))) => Ok(socket),
        Ok(Err(tungstenite::Error::Protocol(error))) => Err(Failure::ClosedFresh.because(error)),
        Ok(Err(error)) => Err(failed(error)),
        Err(late) => Err(Failure::TimedOut.because(late)),
    }
}

async fn converse(client: &Client, mut socket: Socket) {
    let mut number = 0;
    while client.goes_on() {
        number += 1;
        let message = Message::text(format!("message {number}"));
        if client.tally.count(echo(&mut socket, message).await).is_none() {
            return;
        }
        match timeout(think(), socket.next()).await {
            Err(_) => {}
            // A good-bye between two messages.
            Ok(Some(Ok(Message::Close(_)))) => return leave(socket).await,
            Ok(message) => return client.tally.failed(instead(message), 1),
        }
    }
    // Nothing is under way; whether the server has gone meanwhile does not matter.
    if socket.close(None).await.is_ok() {
        leave(socket).await;
    }
}

async fn echo(socket: &mut Socket, message: Message) -> Result<(), Failed> {
    socket.send(message.clone()).await.map_err(failed)?;
    match timeout(TIMEOUT, socket.next()).await {
        Ok(Some(Ok(answer))) if answer == message => Ok(()),
        Ok(answer) => Err(instead(answer)),
        Err(late) => Err(Failure::TimedOut.because(late)),
    }
}

/// What came is no answer.
fn instead(message: Option<Result<Message, tungstenite::Error>>) -> Failed {
    match message {
        None => Failure::ClosedReused.because("no Close frame"),
        Some(Ok(message)) => Failure::ClosedReused.because(format_args!("{message:?} instead of an answer")),
        Some(Err(error)) => failed(error),
    }
}

/// Reads to the end, by which the Close frame is answered.
async fn leave(mut socket: Socket) {
    let end = async { while let Some(Ok(_)) = socket.next().await {} };
    timeout(TIMEOUT, end).await.ok();
}

fn failed(error: tungstenite::Error) -> Failed {
    match error {
        tungstenite::Error::Io(error) => error.into(),
        tungstenite::Error::Http(response) => Failure::BadStatus.because(response.status()),
        tungstenite::Error::Protocol(error) => Failure::ClosedReused.because(error),
        error => match error.source().and_then(|it| it.downcast_ref::<io::Error>()) {
            Some(io) => Failed::from(io::Error::from(io.kind())),
            None => Failure::Unexpected.because(error),
        },
    }
}
