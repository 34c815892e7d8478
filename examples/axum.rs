//! Serves a router of axum with the library, so that it stops without failing a request.
//!
//! It takes the sockets that segue or systemd passes (`LISTEN_FDS`), else it listens on the address that it is given:
//! `axum [IP:PORT]`. It tells its supervisor when it is ready and when it stops (`NOTIFY_SOCKET`), and drains on SIGTERM.

use std::{env, error::Error, io::Write};

use axum::{
    Extension, Router,
    body::Bytes,
    routing::{get, post},
};
use hyper_util::service::TowerToHyperService;
use segue::serve::{Connection, Listener, Server};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

/// What the server knows of the connection that the request came on.
async fn connection(Extension(connection): Extension<Connection>) -> String {
    let peer = connection
        .peer()
        .map_or("a unix socket".to_owned(), |peer| peer.to_string());
    let id = connection.id();
    format!("connection {id} from {peer}, {:?}\n", connection.state())
}

async fn echo(body: Bytes) -> Bytes {
    body
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    // Before anything can ask for it.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut listeners = Listener::passed()?;
    if listeners.is_empty() {
        let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
        listeners.push(TcpListener::bind(address).await?.into());
    }
    let router = Router::new()
        .route("/", get(async || "hello\n"))
        .route("/connection", get(connection))
        .route("/echo", post(echo));
    let shutdown = async {
        terminate.recv().await;
    };

    let server = Server::new().max_connections(1_000).notify();
    let report = server
        .serve(listeners, TowerToHyperService::new(router), shutdown)
        .await;
    // With stdout closed there is nobody left to tell.
    writeln!(std::io::stdout(), "{report}").ok();
    Ok(())
}
