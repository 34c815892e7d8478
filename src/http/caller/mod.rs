//! SPEAKS HTTP/1.1 over one connection as a client. All who ask in segue ask by this, so that the client is there once in the binary,
//! and compiled here, for speed. It connects nowhere, and drives nothing by itself.

mod body;
mod head;
mod wire;

use std::pin::Pin;

use hyper::client::conn::http1;

pub use self::{body::Body, wire::Stream};
pub(crate) use self::{
    body::{Teller, Wish},
    head::Head,
    wire::Wire,
};

/// Sends requests.
pub type Sender = http1::SendRequest<Body>;

/// Has to be polled for anything to go on; resolves when the connection is over.
pub type Driver = Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>;

/// What comes of the beginning.
pub type Begun = hyper::Result<(Sender, Driver)>;

/// Begins to speak over this stream.
pub fn handshake(stream: Box<dyn Stream>) -> Pin<Box<dyn Future<Output = Begun> + Send>> {
    Box::pin(over(Wire::remembering(stream, Head::default()), None))
}

/// Begins to speak. A head may have so many bytes, and so much of a body is under way; hyper has its own idea of that.
pub(crate) async fn over(wire: Wire, buffer: Option<usize>) -> Begun {
    let mut builder = http1::Builder::new();
    if let Some(buffer) = buffer {
        builder.max_buf_size(buffer);
    }
    let (sender, connection) = builder.handshake(wire).await?;
    Ok((sender, Box::pin(connection.with_upgrades())))
}
