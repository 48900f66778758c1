//! Port 9688: metrics for Prometheus, and whether the node lives and is ready.

use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::TcpListener,
    sync::Semaphore,
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    limits::{ACCEPT_PAUSE, SEEN_CONNECTION_TIMEOUT, SEEN_CONNECTIONS_MAX, SEEN_REQUEST_TIMEOUT},
    metrics::Watched,
};

/// What Prometheus takes for its text format.
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Serves until it is dropped. Connections are bounded in number and in time: whoever asks comes again.
pub(crate) async fn serve(listener: TcpListener, watched: Watched) {
    let pages = Router::new()
        .route("/metrics", get(metrics))
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .with_state(watched);
    let places = Arc::new(Semaphore::new(SEEN_CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "a connection for metrics could not be accepted");
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
            // Finished tasks give their memory back.
            Some(_) = connections.join_next() => continue,
        };
        let pages = TowerToHyperService::new(pages.clone());
        connections.spawn(async move {
            let serving = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(SEEN_REQUEST_TIMEOUT)
                .serve_connection(TokioIo::new(stream), pages);
            let _gone_or_too_slow = timeout(SEEN_CONNECTION_TIMEOUT, serving).await;
            drop(place);
        });
    }
}

async fn metrics(State(watched): State<Watched>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, PROMETHEUS)], watched.page())
}

async fn readyz(State(watched): State<Watched>) -> impl IntoResponse {
    let (ready, said) = watched.readiness();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, [(header::CONTENT_TYPE, "application/json")], format!("{said}\n"))
}
