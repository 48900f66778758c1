//! Port 9688: metrics for Prometheus, liveness and readiness, and the console.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router, extract,
    extract::{RawQuery, State},
    http::{StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep_until},
};
use tonic::codegen::{Service, http::Request};
use transport::{ConnectionSlot, Connections, NotedStream};

use crate::{
    http::connection::Connection,
    http::console::{self, Console},
    http::metrics::Watched,
    lifecycle::readiness::Purpose,
    limits::{HTTP_CONNECTION_TIMEOUT, HTTP_REQUEST_TIMEOUT, PRESSED_HTTP_REQUEST_TIMEOUT},
    tasks::{self, HostTask},
};

/// The content type of Prometheus' text format.
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Serves until it is dropped. Connections are limited in number and duration. A new connection always gets a slot,
/// so that scrapers and probes are answered however many silent connections there are.
pub(crate) async fn serve((listener, port): (TcpListener, Connections), watched: Watched, console: Arc<Console>) {
    let pages = Router::new()
        .route("/metrics", get(metrics))
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .with_state(watched)
        .merge(console::pages(&console))
        .layer(middleware::from_fn(one_host));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = port.accept(&listener) => accepted,
            // Join finished tasks, which frees their memory.
            Some(_) = connections.join_next() => continue,
        };
        let Some((stream, peer, slot)) = accepted else { continue };
        let timeout = if port.is_pressed() { PRESSED_HTTP_REQUEST_TIMEOUT } else { HTTP_REQUEST_TIMEOUT };
        let answered = answer((stream, peer, slot), timeout, pages.clone());
        tasks::spawn(&mut connections, HostTask::HttpConnection, answered);
    }
}

/// Refuses a request with several Host fields with 400 (RFC 9112, section 3.2). A proxy in front of this server and
/// the console, whose access check uses the field, might read different ones.
async fn one_host(request: extract::Request, next: Next) -> Response {
    if request.headers().get_all(header::HOST).iter().count() > 1 {
        return (StatusCode::BAD_REQUEST, "several Host fields\n").into_response();
    }
    next.run(request).await
}

/// Answers the requests of one connection until it is closed, its time is over, or another connection needs its
/// slot. `timeout`: how long the client may take to send a request.
async fn answer((stream, peer, mut slot): (TcpStream, SocketAddr, ConnectionSlot), timeout: Duration, pages: Router) {
    let (ends, mut end) = watch::channel(Instant::now() + HTTP_CONNECTION_TIMEOUT);
    let connection = Connection::new(peer, ends, slot.activity().clone());
    let stream = NotedStream::new(stream, slot.activity().clone());
    let pages = service_fn(move |mut request: Request<_>| {
        let call = connection.call();
        request.extensions_mut().insert(connection.clone());
        // An axum router is always ready.
        let answer = pages.clone().call(request);
        async move {
            let answer = answer.await;
            drop(call);
            answer
        }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(timeout)
        .serve_connection(TokioIo::new(stream), pages);
    let over = async move {
        loop {
            let at = *end.borrow_and_update();
            tokio::select! {
                () = sleep_until(at) => return,
                moved = end.changed() => if moved.is_err() { return },
            }
        }
    };
    tokio::select! {
        _gone_or_too_slow = serving => {}
        () = over => {}
        () = slot.evicted() => {}
    }
}

async fn metrics(State(watched): State<Watched>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, PROMETHEUS)], watched.page())
}

/// Answers `/readyz` with `?for=host`, `cluster` or `service`; without it `service`.
async fn readyz(State(watched): State<Watched>, RawQuery(query): RawQuery) -> impl IntoResponse {
    let (status, said) = match purpose(query.as_deref().unwrap_or_default()) {
        Ok(purpose) => match watched.readiness_report(purpose) {
            (true, said) => (StatusCode::OK, said),
            (false, said) => (StatusCode::SERVICE_UNAVAILABLE, said),
        },
        Err(error) => (StatusCode::BAD_REQUEST, json!({ "error": error })),
    };
    (status, [(header::CONTENT_TYPE, "application/json")], format!("{said}\n"))
}

/// The purpose in a query. An unknown parameter or purpose is refused: a probe with a misspelt purpose must not
/// pass.
fn purpose(query: &str) -> Result<Purpose, String> {
    let mut purpose = Purpose::Service;
    for (name, value) in
        query.split('&').filter(|part| !part.is_empty()).map(|part| part.split_once('=').unwrap_or((part, "")))
    {
        purpose = match name {
            "for" => Purpose::named(value)
                .ok_or_else(|| format!("unknown purpose; this version knows {}", Purpose::names()))?,
            _ => return Err("unknown parameter; /readyz takes for=PURPOSE".into()),
        };
    }
    Ok(purpose)
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        sync::atomic::{AtomicUsize, Ordering},
    };

    use axum::{
        Extension,
        body::{Body, Bytes},
    };
    use futures::stream;
    use tokio::io::AsyncWriteExt;
    use transport::{Limits, Rules};

    use super::*;
    use crate::limits::CONSOLE_STALL_TIMEOUT;

    fn slot(peer: SocketAddr) -> ConnectionSlot {
        let port = Connections::new("test", Limits::without_certificates(1, 1), Rules::default());
        port.admit(peer.ip()).unwrap()
    }

    #[tokio::test]
    async fn a_request_with_several_hosts_is_answered_with_400() {
        use tokio::io::AsyncReadExt;
        let pages = Router::new().route("/", get(async || "a page")).layer(middleware::from_fn(one_host));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        for (hosts, status) in [("Host: a\r\n", "200"), ("Host: localhost\r\nHost: evil.example\r\n", "400")] {
            let mut asker = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let request = format!("GET / HTTP/1.1\r\n{hosts}Connection: close\r\n\r\n");
            asker.write_all(request.as_bytes()).await.unwrap();
            let (stream, peer) = listener.accept().await.unwrap();
            answer((stream, peer, slot(peer)), HTTP_REQUEST_TIMEOUT, pages.clone()).await;
            let mut answered = String::new();
            asker.read_to_string(&mut answered).await.unwrap();
            assert!(answered.starts_with(&format!("HTTP/1.1 {status} ")), "{hosts}: {answered}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_requests_an_endless_response_and_does_not_read_it_is_disconnected() {
        static SENT: AtomicUsize = AtomicUsize::new(0);
        let endless = async |Extension(connection): Extension<Connection>| {
            let parts = stream::repeat_with(move || {
                SENT.fetch_add(1, Ordering::Relaxed);
                connection.is_read();
                Ok::<_, Infallible>(Bytes::from_static(&[0; 1 << 16]))
            });
            Body::from_stream(parts)
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut asker = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        asker.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        let (stream, peer) = listener.accept().await.unwrap();
        let began = Instant::now();
        answer((stream, peer, slot(peer)), HTTP_REQUEST_TIMEOUT, Router::new().route("/", get(endless))).await;
        let took = began.elapsed();
        assert!(
            SENT.load(Ordering::Relaxed) > 0 && took >= CONSOLE_STALL_TIMEOUT && took < HTTP_CONNECTION_TIMEOUT,
            "{took:?}"
        );
    }
}
