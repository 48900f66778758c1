//! Outgoing connections, for tonic's channels.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{ClientConfig, pki_types::ServerName},
};
use tonic::transport::Uri;
use tower::Service;

use crate::{
    certificate::Certificate,
    error::TransportError,
    identity::PresentedIdentity,
    limits::HANDSHAKE_DEADLINE,
    names::Names,
    trust::{Nodes, client_config},
};

/// Opens connections to nodes. For `Endpoint::connect_with_connector` and its lazy form, with `http://HOST:PORT`.
#[derive(Clone)]
pub struct Connector {
    shown: Shown,
    connect_timeout: Duration,
    seen: Arc<Mutex<Option<[u8; 32]>>>,
    names: Names,
}

#[derive(Clone)]
enum Shown {
    Identity(Arc<PresentedIdentity>),
    Nothing(Arc<ClientConfig>),
}

/// A connector that presents the certificate in `identity` at the time a connection is opened, and accepts nodes
/// certified by its authorities. `connect_timeout` limits the TCP connection to each address. The lookup of a name
/// is limited to [`crate::limits::LOOKUP_TIMEOUT`], or to [`crate::limits::LOOKUP_REFRESH_TIMEOUT`] if earlier
/// addresses of the name can be tried. The handshake is limited to [`HANDSHAKE_DEADLINE`].
pub fn connector(identity: Arc<PresentedIdentity>, connect_timeout: Duration) -> Connector {
    Connector { shown: Shown::Identity(identity), connect_timeout, names: Names::of_system(), seen: Arc::default() }
}

/// A connector that presents no certificate, and accepts nodes certified by the authority whose certificate has
/// this SHA-256.
pub fn pinned(authority: [u8; 32], connect_timeout: Duration) -> Result<Connector, TransportError> {
    let config = client_config(Arc::new(Nodes::Pinned(authority)), None)?;
    Ok(Connector {
        shown: Shown::Nothing(Arc::new(config)),
        connect_timeout,
        names: Names::of_system(),
        seen: Arc::default(),
    })
}

impl Connector {
    /// SHA-256 of the public key of the node that was connected to last. Shared between clones.
    pub fn seen_key(&self) -> Option<[u8; 32]> {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that is being opened.
pub type Connecting = Pin<Box<dyn Future<Output = io::Result<TokioIo<TlsStream<TcpStream>>>> + Send>>;

impl Service<Uri> for Connector {
    type Response = TokioIo<TlsStream<TcpStream>>;
    type Error = io::Error;
    type Future = Connecting;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Connecting {
        let config = match &self.shown {
            Shown::Identity(identity) => identity.now().client(),
            Shown::Nothing(config) => Arc::clone(config),
        };
        let (connect_timeout, names) = (self.connect_timeout, self.names.clone());
        let seen = Arc::clone(&self.seen);
        Box::pin(async move {
            let stream = connect(&uri, config, connect_timeout, &names).await?;
            let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
            let key = shown.and_then(|shown| Certificate::of(shown).ok()).map(|shown| shown.key);
            *seen.lock().unwrap_or_else(PoisonError::into_inner) = key;
            Ok(TokioIo::new(stream))
        })
    }
}

/// The certificate of the node at `address`, HOST:PORT, verified against this identity's authorities. No request is
/// sent.
///
/// # Errors
/// The node cannot be reached in time, or these authorities did not certify it as a node.
pub async fn certificate_at(
    address: &str,
    identity: &PresentedIdentity,
    connect_timeout: Duration,
) -> io::Result<Certificate> {
    let invalid = |_| io::Error::new(io::ErrorKind::InvalidInput, format!("{address} is not HOST:PORT"));
    let uri = format!("http://{address}").parse::<Uri>().map_err(invalid)?;
    let stream = connect(&uri, identity.now().client(), connect_timeout, &Names::of_system()).await?;
    let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let shown = shown.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the peer presented no certificate"))?;
    Certificate::of(shown).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

async fn connect(
    uri: &Uri,
    config: Arc<ClientConfig>,
    connect_timeout: Duration,
    names: &Names,
) -> io::Result<TlsStream<TcpStream>> {
    let invalid = || io::Error::new(io::ErrorKind::InvalidInput, format!("{uri} is not HOST:PORT"));
    let (host, port) = (uri.host().ok_or_else(invalid)?, uri.port_u16().ok_or_else(invalid)?);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let addresses = names.addresses(host, port).await?;
    let stream = first_open(&addresses, connect_timeout).await?;
    stream.set_nodelay(true)?;
    let name = ServerName::try_from(host.trim_end_matches('.').to_owned()).map_err(|_| invalid())?;
    let handshake = TlsConnector::from(config).connect(name, stream);
    timeout(HANDSHAKE_DEADLINE, handshake).await.map_err(|_| late("TLS"))?
}

/// The connection to the first address that accepts one; each attempt is limited to `connect_timeout`.
pub(crate) async fn first_open(addresses: &[SocketAddr], connect_timeout: Duration) -> io::Result<TcpStream> {
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses {
        match timeout(connect_timeout, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => failure = error,
            Err(_) => failure = late("connection"),
        }
    }
    Err(failure)
}

fn late(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("no {what} in time"))
}
