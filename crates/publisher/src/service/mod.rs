//! The publisher's service: activation over TLS for any client, and the publisher's own commands over a socket.
//!
//! Only one process can have a publisher's folder open. While the service has it open, commands for the same folder
//! reach the service through `DIR/publisher.sock`, which only the folder's owner can open. Both ways call
//! [`crate::perform`].
//!
//! Everything that an unknown client can cause is limited: connections in all and for each source, the handshake,
//! messages, concurrent requests, the time of each request, and how long a connection may stay open without one.

mod certificate;
mod commands;
mod connection;
mod error;
mod listener;
mod publishing;
mod shared;
mod sources;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use api::publishing::v1::publishing_server::PublishingServer;
use tokio::{
    sync::{Notify, watch},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Server;
use transport::listen_tcp;

pub use self::certificate::OrdinaryCertificate;
pub use self::commands::{AskError, ask};
pub use self::error::ServeError;
use self::{
    certificate::Shown,
    publishing::Answers,
    shared::{SharedPublisher, stopped},
    sources::Sources,
};
use crate::{
    limits::{
        CERTIFICATE_RENEWAL, HEADERS_BYTES_MAX, KEEP_ALIVE_INTERVAL, KEEP_ALIVE_TIMEOUT, MESSAGE_BYTES_MAX,
        REQUEST_DEADLINE, STOP_DEADLINE, STREAMS_PER_CONNECTION_MAX,
    },
    publisher::Publisher,
};

/// A running service. [`Self::stop`] lets open requests finish; dropping it ends them at once.
pub struct Service {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
    broken: Arc<Notify>,
    socket: PathBuf,
    shown: Arc<Shown>,
}

impl Service {
    /// Serves `publisher` at `listen`. Its activation key must be readable. `certificate` is an ordinary
    /// certificate; without one the activation key signs a certificate.
    pub async fn start(
        publisher: Arc<Publisher>,
        listen: SocketAddr,
        certificate: Option<OrdinaryCertificate>,
    ) -> Result<Self, ServeError> {
        publisher.unlock()?;
        if publisher.trust().catalog.is_none() {
            return Err(ServeError::NoCatalog);
        }
        let mut tasks = JoinSet::new();
        let (stop, stopping) = watch::channel(false);
        let shown = Arc::new(match certificate {
            Some(certificate) => Shown::ordinary(certificate)?,
            None => {
                let trust = publisher.trust();
                Shown::signed(trust.publisher, publisher.credentials.activation(&trust)?)?
            }
        });
        if shown.is_renewed() {
            let renewing = renew(Arc::clone(&publisher), Arc::clone(&shown));
            let stopped = stopped(stopping.clone());
            tasks.spawn(async {
                tokio::select! {
                    () = renewing => {}
                    () = stopped => {}
                }
            });
        }
        let acceptor = TlsAcceptor::from(Arc::new(certificate::server_config(Arc::clone(&shown))?));
        let listener = listen_tcp(listen);
        let listen_error = |source| ServeError::Listen { address: listen.to_string(), source };
        let listener = listener.map_err(listen_error)?;
        let address = listener.local_addr().map_err(listen_error)?;
        let socket = publisher.folder.join(Publisher::SOCKET);
        let shared = SharedPublisher { publisher, broken: Arc::default() };
        tasks.spawn(commands::serve(&socket, shared.clone(), stopping.clone())?);

        let sources = Sources::default();
        let (accepted, connections) = listener::accept(listener, acceptor, sources.clone(), stopping.clone());
        tasks.spawn(accepted);
        let broken = Arc::clone(&shared.broken);
        let answers = PublishingServer::new(Answers { shared, sources })
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        let server = Server::builder()
            .timeout(REQUEST_DEADLINE)
            .max_concurrent_streams(STREAMS_PER_CONNECTION_MAX)
            .http2_max_header_list_size(HEADERS_BYTES_MAX)
            .http2_keepalive_interval(Some(KEEP_ALIVE_INTERVAL))
            .http2_keepalive_timeout(Some(KEEP_ALIVE_TIMEOUT))
            .add_service(answers);
        tasks.spawn(async move {
            let incoming = ReceiverStream::new(connections);
            if let Err(error) = server.serve_with_incoming_shutdown(incoming, stopped(stopping)).await {
                tracing::error!(%error, "the service stopped");
            }
        });
        Ok(Self { address, stop, tasks, broken, socket, shown })
    }

    /// The address at which the service listens, with the actual port also where port 0 was given.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The path of the socket for commands of the same folder.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Presents another ordinary certificate on connections from now on. Returns `false` where the activation key
    /// signs the certificate, which cannot be replaced from outside.
    ///
    /// # Errors
    /// The private key does not belong to the certificate. The service then continues with the certificate before.
    pub fn replace_certificate(&self, certificate: OrdinaryCertificate) -> Result<bool, ServeError> {
        self.shown.replace(certificate)
    }

    /// Waits until the service cannot continue, and returns the reason: the records cannot be written, or one of its
    /// tasks ended. Every answered request is on record; the next start finds it.
    pub async fn failed(&mut self) -> &'static str {
        tokio::select! {
            () = self.broken.notified() => "the records cannot be written",
            _ = self.tasks.join_next() => "a task of the service ended",
        }
    }

    /// Accepts no more requests, and finishes the open ones up to a deadline.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        let finished = async { while self.tasks.join_next().await.is_some() {} };
        if timeout(STOP_DEADLINE, finished).await.is_err() {
            tracing::warn!("some requests were still open at the deadline");
        }
        // If the removal fails, the next service replaces the socket.
        let _gone = std::fs::remove_file(&self.socket);
    }
}

/// Replaces the certificate at intervals, long before it expires.
async fn renew(publisher: Arc<Publisher>, shown: Arc<Shown>) {
    loop {
        sleep(CERTIFICATE_RENEWAL).await;
        let trust = publisher.trust();
        let renewed = publisher
            .credentials
            .activation(&trust)
            .map_err(ServeError::from)
            .and_then(|activation_key| shown.renew(trust.publisher, activation_key));
        match renewed {
            Ok(()) => tracing::info!("the certificate of the service was renewed"),
            Err(error) => tracing::error!(%error, "the certificate of the service could not be renewed"),
        }
    }
}
