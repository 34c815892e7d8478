//! ASKS a generation whether it is ready, again and again until it says yes: a connection that is accepted, or a
//! request that is answered with 2xx or 3xx. (A command that succeeds is run by `runtime`, which owns the processes.)

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use hyper::{Request, StatusCode, header::HOST};
use tokio::net::{TcpSocket, TcpStream, UnixStream};

use crate::caller::{self, Body, Stream};

/// Time between the end of one attempt and the begin of the next.
pub const INTERVAL: Duration = Duration::from_millis(100);

/// How long one attempt may take.
pub const ATTEMPT: Duration = Duration::from_secs(1);

/// Where to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Any of these.
    Tcp(Vec<SocketAddr>),
    /// A path.
    Unix(PathBuf),
}

/// What to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Where.
    pub target: Target,
    /// The request's Host and path; `None` = an accepted connection is answer enough.
    pub http: Option<(String, String)>,
}

/// The addresses that reach a program which listens on every interface.
#[must_use]
pub fn loopbacks(port: u16) -> Vec<SocketAddr> {
    vec![(Ipv4Addr::LOCALHOST, port).into(), (Ipv6Addr::LOCALHOST, port).into()]
}

/// A connection that is about to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Knock {
    /// From one port to another.
    Port {
        /// From this one.
        from: u16,
        /// To this one.
        to: u16,
    },
    /// To a path.
    Path(PathBuf),
}

/// How it comes to the generation that is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Door {
    /// As it stands.
    Open,
    /// By this path instead.
    Beside(PathBuf),
    /// Not: the generation does not listen there yet.
    Shut,
}

impl Question {
    /// Asks once. `announce` learns of a connection before it is made, and says how to make it.
    pub async fn ask<F>(&self, announce: impl Fn(Knock) -> F) -> Result<(), String>
    where
        F: Future<Output = Door>,
    {
        match tokio::time::timeout(ATTEMPT, self.ask_patiently(announce)).await {
            Ok(answer) => answer,
            Err(_) => Err(format!("no answer within {ATTEMPT:?}")),
        }
    }

    async fn ask_patiently<F>(&self, announce: impl Fn(Knock) -> F) -> Result<(), String>
    where
        F: Future<Output = Door>,
    {
        match &self.target {
            Target::Unix(path) => {
                let path = match announce(Knock::Path(path.clone())).await {
                    Door::Open => path.clone(),
                    Door::Beside(path) => path,
                    Door::Shut => return Err(NOT_YET.into()),
                };
                match UnixStream::connect(path).await {
                    Ok(stream) => self.request(Box::new(stream)).await,
                    Err(error) => Err(error.to_string()),
                }
            }
            Target::Tcp(addresses) => {
                let mut faults = Vec::new();
                for address in addresses {
                    let answer = match connect(*address, &announce).await {
                        Ok(stream) => self.request(Box::new(stream)).await,
                        Err(error) => Err(error.to_string()),
                    };
                    match answer {
                        Ok(()) => return Ok(()),
                        Err(fault) => faults.push(format!("{address}: {fault}")),
                    }
                }
                Err(faults.join(", "))
            }
        }
    }

    async fn request(&self, stream: Box<dyn Stream>) -> Result<(), String> {
        let Some((host, path)) = &self.http else { return Ok(()) };
        let fault = |error: hyper::Error| error.to_string();
        let (mut sender, mut driver) = caller::handshake(stream).await.map_err(fault)?;
        let request = Request::get(path)
            .header(HOST, host)
            .header("user-agent", "segue-readiness");
        let request = request.body(Body::none()).map_err(|error| error.to_string())?;
        // A server may close right after its answer, which is there all the same.
        let answer = driver.until(sender.send_request(request)).await;
        judge(answer.map_err(|error| fault(*error))?.status())
    }
}

fn judge(status: StatusCode) -> Result<(), String> {
    if status.is_success() || status.is_redirection() {
        Ok(())
    } else {
        Err(format!("it answered {status}"))
    }
}

const NOT_YET: &str = "the program does not listen there yet";

async fn connect<F>(address: SocketAddr, announce: &impl Fn(Knock) -> F) -> io::Result<TcpStream>
where
    F: Future<Output = Door>,
{
    let (socket, any): (TcpSocket, SocketAddr) = if address.is_ipv4() {
        (TcpSocket::new_v4()?, (Ipv4Addr::UNSPECIFIED, 0).into())
    } else {
        (TcpSocket::new_v6()?, (Ipv6Addr::UNSPECIFIED, 0).into())
    };
    socket.bind(any)?;
    let (from, to) = (socket.local_addr()?.port(), address.port());
    if announce(Knock::Port { from, to }).await == Door::Shut {
        return Err(io::Error::other(NOT_YET));
    }
    socket.connect(address).await
}
