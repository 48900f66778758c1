//! The publisher's service: activation over TLS for everybody, and the publisher's own commands over a socket.
//!
//! A publisher's folder is open once. While the service has it, commands of the same folder reach it through
//! `DIR/publisher.sock`, which only the folder's owner can open; both ways end in [`crate::perform`].
//!
//! Everything a stranger can cause is bounded: connections in all and for each source, the handshake, messages,
//! requests at once, the time that each may take, and how long a connection may stand without one.

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

/// A service that runs. Stopped by [`Self::stop`]; dropped, it ends at once.
pub struct Service {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
    broken: Arc<Notify>,
    socket: PathBuf,
    shown: Arc<Shown>,
}

impl Service {
    /// Serves `publisher`, whose activation key can be read, at `listen`: with an ordinary certificate, or with one that
    /// the activation key signs.
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
                tracing::error!(%error, "the service ended");
            }
        });
        Ok(Self { address, stop, tasks, broken, socket, shown })
    }

    /// Where it listens: the port is the real one, also where none was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The socket for commands of the same folder.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Shows another ordinary certificate to those who connect from now on; `false` where the activation key signs what is
    /// shown, which is never replaced from outside.
    ///
    /// # Errors
    /// Where the private key is not that of the certificate: then the one before it is shown on.
    pub fn replace_certificate(&self, certificate: OrdinaryCertificate) -> Result<bool, ServeError> {
        self.shown.replace(certificate)
    }

    /// Waits until it cannot go on, and says why: the records cannot be written, or a part of it ended. What was answered
    /// is on record; the next start finds it.
    pub async fn failed(&mut self) -> &'static str {
        tokio::select! {
            () = self.broken.notified() => "the records cannot be written",
            _ = self.tasks.join_next() => "a part of the service ended",
        }
    }

    /// Takes no more requests, and finishes those that are open, up to a deadline.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        let finished = async { while self.tasks.join_next().await.is_some() {} };
        if timeout(STOP_DEADLINE, finished).await.is_err() {
            tracing::warn!("some requests were still open at the deadline");
        }
        // What is left of it is found and replaced by the next service.
        let _gone = std::fs::remove_file(&self.socket);
    }
}

/// Replaces the certificate long before it ends, for ever.
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
            Err(error) => tracing::error!(%error, "the certificate of the service was not renewed"),
        }
    }
}
