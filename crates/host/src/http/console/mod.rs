//! The console: a page for administrators on the port of the metrics, live for as long as somebody looks.
//!
//! One task asks the nodes for all who look ([`gather`]) and puts what it learns into sections, each a JSON text
//! ([`sections`]); a viewer is sent the sections that changed ([`stream`]). Counts are noted all the time
//! ([`history`]). Who may look is in [`access`].
//!
//! Invariant: never changes anything, and never asks anybody anything while nobody looks.

mod access;
mod gather;
mod history;
mod sections;
mod stream;

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use api::admin::v1::ConsoleTicketReply;
use axum::{
    Router,
    http::{HeaderName, HeaderValue, header},
    middleware,
    response::{AppendHeaders, IntoResponse},
    routing::get,
};
use tokio::sync::{Notify, Semaphore, watch};

use self::{access::Access, history::History, sections::Sections};
use crate::{
    http::metrics::Watched,
    limits::{CONSOLE_TICKET_LIFETIME, CONSOLE_VIEWERS_MAX},
};

const PAGE: &str = include_str!("page/console.html");
const STYLE: &str = include_str!("page/console.css");
/// In the order in which they are put together: functions, then what calls them.
const SCRIPT: &str =
    concat!(include_str!("page/draw.js"), include_str!("page/sections.js"), include_str!("page/live.js"));

/// Nothing from anywhere else, nothing inline, nobody's frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      img-src 'self' data:; base-uri 'none'; frame-ancestors 'none'; form-action 'none'";

/// The console of one node.
pub(crate) struct Console {
    watched: Watched,
    /// Where its port is.
    listen: SocketAddr,
    access: Access,
    history: History,
    told: watch::Sender<Sections>,
    /// Somebody came.
    wanted: Notify,
    places: Arc<Semaphore>,
}

impl Console {
    pub(crate) fn new(watched: Watched, listen: SocketAddr, auth: bool) -> Self {
        let node = watched.replica.identity().owner;
        Self {
            watched,
            listen,
            access: Access::new(auth, node),
            history: History::default(),
            told: watch::Sender::default(),
            wanted: Notify::new(),
            places: Arc::new(Semaphore::new(CONSOLE_VIEWERS_MAX)),
        }
    }

    /// Where it is, with a ticket where one is needed; or why nobody can reach it.
    pub(crate) fn ticket(&self) -> Result<ConsoleTicketReply, String> {
        let port = self.listen.port();
        let host = match (self.listen.ip().to_canonical(), self.access.asks()) {
            (ip, false) if ip.is_unspecified() => "localhost".to_owned(),
            (ip, true) if ip.is_unspecified() => self.own_host().unwrap_or_else(|| "localhost".to_owned()),
            (ip, asks) if asks || ip.is_loopback() => written(ip),
            (ip, _) => {
                return Err(format!(
                    "the console answers on loopback only, and metrics.listen is {ip}: set console.auth = true in the \
                     node's configuration, or listen on all addresses"
                ));
            }
        };
        if !self.access.asks() {
            return Ok(ConsoleTicketReply { url: format!("http://{host}:{port}/"), valid_s: 0 });
        }
        let ticket = self.access.ticket().map_err(|error| format!("there is no randomness: {error}"))?;
        let valid_s = u32::try_from(CONSOLE_TICKET_LIFETIME.as_secs()).unwrap_or(u32::MAX);
        Ok(ConsoleTicketReply { url: format!("http://{host}:{port}{}?ticket={ticket}", access::ENTER), valid_s })
    }

    /// By which the other nodes know this machine.
    fn own_host(&self) -> Option<String> {
        let cluster = self.watched.replica.cluster();
        let (host, _) = cluster.members.get(&cluster.node)?.address.rsplit_once(':')?;
        Some(host.to_owned())
    }

    /// Until it is dropped: notes counts, and asks the nodes while somebody looks.
    pub(crate) async fn work(self: Arc<Self>) {
        tokio::join!(history::note(&self), gather::for_viewers(&self));
    }
}

fn written(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}

/// Its pages; [`access::guard`] stands before each.
pub(crate) fn pages(console: Arc<Console>) -> Router {
    Router::new()
        .route("/", get(async || page("text/html; charset=utf-8", PAGE)))
        .route("/console/console.css", get(async || page("text/css; charset=utf-8", STYLE)))
        .route("/console/console.js", get(async || page("text/javascript; charset=utf-8", SCRIPT)))
        .route("/console/stream", get(stream::stream))
        .route(access::ENTER, get(access::enter))
        .layer(middleware::from_fn_with_state(Arc::clone(&console), access::guard))
        .with_state(console)
}

fn page(kind: &'static str, content: &'static str) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, kind)], content)
}

/// What every answer of the console says to a browser.
fn strict() -> AppendHeaders<[(HeaderName, HeaderValue); 5]> {
    AppendHeaders([
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
    ])
}
