//! The console: a page for administrators on the port of the metrics, updated live while there is a viewer.
//!
//! One task requests data from the nodes for all viewers ([`gather`]) and puts it into sections, each a JSON text
//! ([`sections`]); a viewer is sent the sections that changed ([`stream`]). Counts are sampled all the time
//! ([`history`]). Access is checked in [`access`].
//!
//! Invariant: never changes anything, and never sends a request to a node while there is no viewer.

mod access;
mod feed;
mod gather;
mod headers;
mod history;
mod sections;
mod stream;

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use api::admin::v1::ConsoleTicketReply;
use axum::{Router, http::header, middleware, response::IntoResponse, routing::get};
use transport::Certificate;

use self::{access::Access, feed::Feed};
use crate::{credentials::registered::Registered, http::metrics::Watched, limits::CONSOLE_TICKET_LIFETIME};

const PAGE: &str = include_str!("page/console.html");
const STYLE: &str = include_str!("page/console.css");
/// The scripts in the order in which they are concatenated: functions before their callers.
const SCRIPT: &str =
    concat!(include_str!("page/draw.js"), include_str!("page/sections.js"), include_str!("page/live.js"));

/// Why the console cannot be reached.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TicketError {
    /// Without tickets the console answers on loopback only, and its port does not listen there.
    #[error(
        "the console answers on loopback only, and metrics.listen is {0}: set console.auth = true in the node's \
         configuration, or listen on all addresses"
    )]
    LoopbackOnly(IpAddr),
    /// The operating system gave no randomness.
    #[error("the operating system gave no randomness: {0}")]
    Randomness(io::Error),
}

/// The console of one node.
pub(crate) struct Console {
    feed: Arc<Feed>,
    /// The address on which its port listens.
    listen: SocketAddr,
    access: Arc<Access>,
}

impl Console {
    pub(crate) fn new(watched: Watched, listen: SocketAddr, auth: bool, registered: Arc<Registered>) -> Self {
        let node = watched.replica.identity().owner;
        Self { feed: Arc::new(Feed::new(watched)), listen, access: Arc::new(Access::new(auth, node, registered)) }
    }

    /// The address of the console, with a ticket for the holder of this certificate where access needs one. Error:
    /// why the console cannot be reached.
    pub(crate) fn ticket(&self, holder: Option<Arc<Certificate>>) -> Result<ConsoleTicketReply, TicketError> {
        let port = self.listen.port();
        let host = match (self.listen.ip().to_canonical(), self.access.asks()) {
            (ip, false) if ip.is_unspecified() => "localhost".to_owned(),
            (ip, true) if ip.is_unspecified() => self.own_host().unwrap_or_else(|| "localhost".to_owned()),
            (ip, asks) if asks || ip.is_loopback() => written(ip),
            (ip, _) => {
                return Err(TicketError::LoopbackOnly(ip));
            }
        };
        if !self.access.asks() {
            return Ok(ConsoleTicketReply { url: format!("http://{host}:{port}/"), valid_s: 0 });
        }
        let ticket = self.access.ticket(holder).map_err(TicketError::Randomness)?;
        let valid_s = u32::try_from(CONSOLE_TICKET_LIFETIME.as_secs()).unwrap_or(u32::MAX);
        Ok(ConsoleTicketReply { url: format!("http://{host}:{port}{}?ticket={ticket}", access::ENTER), valid_s })
    }

    /// The host name under which the other nodes reach this machine.
    fn own_host(&self) -> Option<String> {
        let cluster = self.feed.watched.replica.cluster();
        let (host, _) = cluster.members.get(&cluster.node)?.address.rsplit_once(':')?;
        Some(host.to_owned())
    }

    /// Samples counts, and requests data from the nodes while there is a viewer, until the future is dropped.
    pub(crate) async fn work(self: Arc<Self>) {
        tokio::join!(history::note(&self.feed.watched, &self.feed.history), gather::for_viewers(&self.feed));
    }
}

fn written(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}

/// The pages of the console; [`access::guard`] checks every request first.
pub(crate) fn pages(console: &Console) -> Router {
    let pages = Router::new()
        .route("/", get(async || page("text/html; charset=utf-8", PAGE)))
        .route("/console/console.css", get(async || page("text/css; charset=utf-8", STYLE)))
        .route("/console/console.js", get(async || page("text/javascript; charset=utf-8", SCRIPT)))
        .route("/console/stream", get(stream::stream))
        .with_state(Arc::clone(&console.feed));
    let entrance = Router::new().route(access::ENTER, get(access::enter)).with_state(Arc::clone(&console.access));
    pages.merge(entrance).layer(middleware::from_fn_with_state(Arc::clone(&console.access), access::guard))
}

fn page(kind: &'static str, content: &'static str) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, kind)], content)
}
