//! Serves the same routes with each of the servers that are compared, each as its documentation has it.

use std::{future::Future, pin::pin, time::Duration};

use axum::Router;
use hyper::{Request, body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::{conn::auto, graceful::GracefulShutdown},
};
use segue::serve::{Report, Server};
use tokio::{net::TcpListener, time::sleep};

use super::routes::Routes;

/// How long hyper-util and axum may take; they set themselves no limit, but whoever runs them does.
const DEADLINE: Duration = Duration::from_secs(10);

/// A server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Segue(Pace),
    HyperUtil,
    Axum,
}

/// How long segue waits for silent clients in a drain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// As long as if nothing was said.
    Default,
    /// A third of a second and up to as much again.
    Quick,
}

impl Pace {
    /// What it sets [`Server::idle_min`] and [`Server::idle_spread`] to.
    pub const QUICK: Duration = Duration::from_millis(300);
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Segue(_) => "segue",
            Kind::HyperUtil => "hyper-util",
            Kind::Axum => "axum",
        }
    }

    /// Serves until it has drained.
    pub async fn serve(
        self,
        listener: TcpListener,
        routes: Routes,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> Option<Report> {
        match self {
            Kind::Segue(pace) => Some(segue(pace, listener, routes, shutdown).await),
            Kind::HyperUtil => {
                hyper_util(listener, routes, shutdown).await;
                None
            }
            Kind::Axum => {
                axum(listener, routes, shutdown).await;
                None
            }
        }
    }
}

async fn segue(pace: Pace, listener: TcpListener, routes: Routes, shutdown: impl Future<Output = ()>) -> Report {
    let server = match pace {
        Pace::Default => Server::new(),
        Pace::Quick => Server::new().idle_min(Pace::QUICK).idle_spread(Pace::QUICK),
    };
    let service = service_fn(move |request: Request<Incoming>| routes.clone().answer(request));
    server.serve([listener], service, shutdown).await
}

/// As in the documentation of `hyper_util::server::graceful`.
async fn hyper_util(listener: TcpListener, routes: Routes, shutdown: impl Future<Output = ()>) {
    let server = auto::Builder::new(TokioExecutor::new());
    let graceful = GracefulShutdown::new();
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                let routes = routes.clone();
                let service = service_fn(move |request: Request<Incoming>| routes.clone().answer(request));
                let connection = server.serve_connection_with_upgrades(TokioIo::new(stream), service);
                let connection = graceful.watch(connection.into_owned());
                tokio::spawn(async move { connection.await.ok() });
            }
            () = shutdown.as_mut() => {
                drop(listener);
                break;
            }
        }
    }
    tokio::select! {
        () = graceful.shutdown() => {}
        () = sleep(DEADLINE) => {}
    }
}

async fn axum(listener: TcpListener, routes: Routes, shutdown: impl Future<Output = ()> + Send + 'static) {
    let router = Router::new().fallback(move |request: axum::extract::Request| routes.clone().answer(request));
    let (told, is_told) = tokio::sync::oneshot::channel();
    let shutdown = async move {
        shutdown.await;
        told.send(()).ok();
    };
    let serve = axum::serve(listener, router).with_graceful_shutdown(shutdown);
    let limit = async {
        is_told.await.ok();
        sleep(DEADLINE).await;
    };
    tokio::select! {
        served = serve.into_future() => served.unwrap(),
        () = limit => {}
    }
}
