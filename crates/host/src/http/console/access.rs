//! Access to the console: without `console.auth` from this machine only; with `console.auth` from anywhere, with a
//! session that began with a ticket.
//!
//! A web page of another site may direct a browser here, too. So on loopback the requested host name has to be one
//! of loopback (a foreign name that DNS resolves to this machine is not), and requests that other sites cause are
//! refused.

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header, uri::Authority},
    middleware::Next,
    response::{IntoResponse, Response},
};
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use tokio::time::{Instant, sleep_until};
use transport::Certificate;

use super::headers::strict;
use crate::{
    credentials::registered::Registered,
    environment::random,
    http::connection::Connection,
    limits::{CONSOLE_SESSION_LIFETIME, CONSOLE_SESSIONS_MAX, CONSOLE_TICKET_LIFETIME, CONSOLE_TICKETS_MAX},
};

/// The path at which a ticket is exchanged for a session.
pub(super) const ENTER: &str = "/console/enter";
/// The page relative to [`ENTER`]: a proxy may serve the console under a path of its own.
const PAGE_FROM_ENTER: &str = "../";

/// The certificate with which a ticket was requested; `None` for a ticket requested on the node's own socket.
pub(super) type Holder = Option<Arc<Certificate>>;

/// How long a viewer has access.
#[derive(Clone)]
pub(super) struct Until {
    /// The end of the session and its holder; `None`: access without a limit.
    ends: Option<(Instant, Holder)>,
    registered: Arc<Registered>,
}

impl Until {
    /// Waits until the session has ended, or its holder is no longer admitted.
    pub(super) async fn over(&self) {
        let Some((ends, holder)) = &self.ends else { return std::future::pending().await };
        let shut_out = async {
            match holder {
                Some(certificate) => self.registered.shut_out(certificate).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = sleep_until(*ends) => {}
            () = shut_out => {}
        }
    }
}

/// Tickets and sessions, in memory only.
pub(super) struct Access {
    asks: bool,
    /// The name of the cookie, different for each node: browsers do not separate cookies of nodes on one machine by
    /// port.
    cookie: String,
    tickets: Mutex<Secrets>,
    sessions: Mutex<Secrets>,
    registered: Arc<Registered>,
}

impl Access {
    pub(super) fn new(asks: bool, node: u64, registered: Arc<Registered>) -> Self {
        Self {
            asks,
            cookie: format!("quorate_console_{node}"),
            tickets: Mutex::new(Secrets::new(CONSOLE_TICKETS_MAX, CONSOLE_TICKET_LIFETIME)),
            sessions: Mutex::new(Secrets::new(CONSOLE_SESSIONS_MAX, CONSOLE_SESSION_LIFETIME)),
            registered,
        }
    }

    /// Whether access needs a ticket.
    pub(super) fn asks(&self) -> bool {
        self.asks
    }

    /// Creates a ticket for the holder of this certificate.
    pub(super) fn ticket(&self, holder: Holder) -> io::Result<String> {
        made(&self.tickets, holder)
    }

    /// Exchanges a ticket for a session, as a cookie; `None` where the ticket is unknown, used or expired.
    fn enter(&self, ticket: &str) -> io::Result<Option<String>> {
        let taken = self.tickets.lock().unwrap_or_else(PoisonError::into_inner).take(ticket, Instant::now());
        let Some(holder) = taken.filter(|holder| self.is_let_in(holder)) else { return Ok(None) };
        let session = made(&self.sessions, holder)?;
        let valid_s = CONSOLE_SESSION_LIFETIME.as_secs();
        Ok(Some(format!("{}={session}; HttpOnly; SameSite=Strict; Path=/; Max-Age={valid_s}", self.cookie)))
    }

    fn is_let_in(&self, holder: &Holder) -> bool {
        holder.as_ref().is_none_or(|certificate| self.registered.holder(certificate).is_ok())
    }

    /// The end and the holder of the session in these cookies; `None` without a valid session.
    fn session(&self, headers: &HeaderMap) -> Option<(Instant, Holder)> {
        let lines = headers.get_all(header::COOKIE).into_iter().filter_map(|line| line.to_str().ok());
        let mut cookies = lines.flat_map(|line| line.split(';')).filter_map(|cookie| cookie.trim().split_once('='));
        let sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let known =
            cookies.find_map(|(name, value)| sessions.until(value, Instant::now()).filter(|_| name == self.cookie));
        known.filter(|(_, holder)| self.is_let_in(holder))
    }
}

fn made(secrets: &Mutex<Secrets>, holder: Holder) -> io::Result<String> {
    let secret = HEXLOWER.encode(&random::<32>()?);
    secrets.lock().unwrap_or_else(PoisonError::into_inner).put(&secret, holder, Instant::now());
    Ok(secret)
}

/// Secrets that were given out. Only their digests are stored and compared, so that the time of a comparison reveals
/// nothing of a secret.
struct Secrets {
    max: usize,
    lifetime: Duration,
    ends: BTreeMap<[u8; 32], (Instant, Holder)>,
}

impl Secrets {
    fn new(max: usize, lifetime: Duration) -> Self {
        Self { max, lifetime, ends: BTreeMap::new() }
    }

    /// Stores a secret. Above the maximum, the secret that would expire first is removed.
    fn put(&mut self, secret: &str, holder: Holder, now: Instant) {
        self.ends.retain(|_, (ends, _)| *ends > now);
        while self.ends.len() >= self.max {
            let Some(first) = self.ends.iter().min_by_key(|(_, (ends, _))| *ends).map(|(digest, _)| *digest) else {
                break;
            };
            self.ends.remove(&first);
        }
        self.ends.insert(digest(secret), (now + self.lifetime, holder));
    }

    fn take(&mut self, secret: &str, now: Instant) -> Option<Holder> {
        let (ends, holder) = self.ends.remove(&digest(secret))?;
        (ends > now).then_some(holder)
    }

    fn until(&self, secret: &str, now: Instant) -> Option<(Instant, Holder)> {
        self.ends.get(&digest(secret)).filter(|(ends, _)| *ends > now).cloned()
    }
}

fn digest(secret: &str) -> [u8; 32] {
    Sha256::digest(secret).into()
}

/// Checks the access to every page of the console.
pub(super) async fn guard(State(access): State<Arc<Access>>, mut request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<Connection>().map(Connection::peer);
    let path = request.uri().path();
    let until = if !access.asks {
        is_here(peer, request.headers()).then_some(None).ok_or(Refusal::NotHere)
    } else if path == ENTER {
        Ok(None)
    } else {
        access.session(request.headers()).map(Some).ok_or(Refusal::NoSession)
    };
    // Links from other sites may lead to a page; the page's parts are requested only by the page itself.
    let is_page = path == "/" || path == ENTER;
    let response = match until {
        Ok(_) if !is_page && is_of_another_site(request.headers()) => Refusal::OtherSite.into_response(),
        Ok(ends) => {
            request.extensions_mut().insert(Until { ends, registered: Arc::clone(&access.registered) });
            next.run(request).await
        }
        Err(refusal) => refusal.into_response(),
    };
    (strict(), response).into_response()
}

/// Exchanges a ticket for a session. A ticket is valid once.
pub(super) async fn enter(State(access): State<Arc<Access>>, request: Request) -> Response {
    if !access.asks {
        return (StatusCode::SEE_OTHER, [(header::LOCATION, PAGE_FROM_ENTER)]).into_response();
    }
    let query = request.uri().query().unwrap_or_default();
    let ticket = query.split('&').find_map(|pair| pair.strip_prefix("ticket=")).unwrap_or_default();
    match access.enter(ticket) {
        Ok(Some(cookie)) => {
            (StatusCode::SEE_OTHER, [(header::LOCATION, PAGE_FROM_ENTER.to_owned()), (header::SET_COOKIE, cookie)])
                .into_response()
        }
        Ok(None) => Refusal::NoTicket.into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// Whether the request comes from this machine and names this machine.
fn is_here(peer: Option<SocketAddr>, headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    peer.is_some_and(|peer| peer.ip().to_canonical().is_loopback()) && host.is_some_and(names_loopback)
}

fn names_loopback(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    let host = authority.host().trim_matches(['[', ']']);
    let is_address = host.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback());
    is_address || host.eq_ignore_ascii_case("localhost")
}

/// Whether another site caused the request. Browsers report it; other programs do not, but no web page can make them
/// send a request.
fn is_of_another_site(headers: &HeaderMap) -> bool {
    headers.get("sec-fetch-site").is_some_and(|site| site != "same-origin" && site != "none")
}

enum Refusal {
    NotHere,
    NoSession,
    NoTicket,
    OtherSite,
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, title, text) = match self {
            Self::NotHere => (
                StatusCode::FORBIDDEN,
                "This console accepts connections from its own machine only",
                "Open it there, as http://localhost with its port, or through an SSH tunnel; or set <code>console.auth \
                 = true</code> in the node's configuration: then every caller with at least the role reader can open \
                 it with <code>quorate console</code>.",
            ),
            Self::NoSession => (
                StatusCode::UNAUTHORIZED,
                "This console requires a ticket",
                "Run <code>quorate console</code> with at least the role reader, on the node or with \
                 <code>--admin</code> from another machine, and open the address that it prints.",
            ),
            Self::NoTicket => (
                StatusCode::UNAUTHORIZED,
                "This ticket is not valid",
                "A ticket is valid once, and for one minute. Run <code>quorate console</code> again, and open the \
                 address that it prints.",
            ),
            Self::OtherSite => (
                StatusCode::FORBIDDEN,
                "This address is for the console's own page only",
                "Open the console itself, at the address that <code>quorate console</code> prints.",
            ),
        };
        let page = format!(
            "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"color-scheme\" content=\"light dark\">\
             <meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title><h1>{title}</h1><p>{text}</p></html>\n"
        );
        (status, [(header::CONTENT_TYPE, "text/html; charset=utf-8")], page).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_loopback_are_taken_for_this_machine() {
        for (host, is_ours) in [
            ("localhost", true),
            ("LOCALHOST:9688", true),
            ("127.0.0.1:9688", true),
            ("127.8.9.10", true),
            ("[::1]:9688", true),
            ("[::ffff:127.0.0.1]:9688", true),
            ("console.example.com", false),
            ("localhost.example.com:9688", false),
            ("127.0.0.1.example.com", false),
            ("192.0.2.1:9688", false),
            ("[2001:db8::1]:9688", false),
            ("", false),
            ("a b", false),
        ] {
            assert_eq!(names_loopback(host), is_ours, "{host:?}");
        }
    }

    #[test]
    fn a_remote_peer_is_not_local_whatever_host_it_names() {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, "localhost:9688".parse().unwrap());
        for (peer, is_ours) in
            [("127.0.0.1:5", true), ("[::1]:5", true), ("[::ffff:127.0.0.1]:5", true), ("192.0.2.7:5", false)]
        {
            assert_eq!(is_here(Some(peer.parse().unwrap()), &headers), is_ours, "{peer}");
        }
        assert!(!is_here(None, &headers) && !is_here(Some("127.0.0.1:5".parse().unwrap()), &HeaderMap::new()));
    }

    #[tokio::test]
    async fn a_ticket_is_valid_once_a_session_for_its_lifetime_and_both_are_bounded() {
        let now = Instant::now();
        let mut secrets = Secrets::new(2, Duration::from_secs(60));
        secrets.put("a", None, now);
        assert!(secrets.until("a", now).is_some() && secrets.until("b", now).is_none());
        assert!(secrets.take("a", now).is_some() && secrets.take("a", now).is_none(), "once");
        secrets.put("a", None, now);
        assert!(secrets.take("a", now + Duration::from_secs(60)).is_none(), "it has expired");
        for (secret, later_s) in [("a", 0), ("b", 1), ("c", 2)] {
            secrets.put(secret, None, now + Duration::from_secs(later_s));
        }
        let later = now + Duration::from_secs(3);
        assert_eq!(["a", "b", "c"].map(|secret| secrets.until(secret, later).is_some()), [false, true, true]);
    }
}
