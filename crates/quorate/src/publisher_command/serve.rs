//! `quorate publisher serve`: activation for everybody who reaches it, until SIGTERM.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use activation::id::Fingerprint;
use anyhow::{Context, anyhow};
use publisher::{OrdinaryCertificate, Publisher, ServeError, Service, Signing};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::filter::LevelFilter;

use super::{
    folder::{Folder, open_failure, read_bounded},
    passphrase::PassphraseArgs,
};
use crate::output::{
    Failure, Output,
    logging::{self, LogFormat},
};

pub(super) const EXAMPLES: &str = "\
Examples:
  quorate publisher serve --dir P --listen 0.0.0.0:1691
  quorate key activate --publisher publisher.example.test:1691                on a cluster

Clients recognise the service by the publisher's activation keys, which they have: no other certificate is needed. With
--tls-certificate and --tls-private-key it shows an ordinary one, for networks that insist. P/root.key is not needed and
belongs elsewhere. Other commands with the same --dir go on working while it runs; a trust.toml that was replaced by hand
is read at the next start.

Exit: 0 stopped as told; 1 failed; 2 folder, passphrase, certificate or address.";

/// A certificate and its private key, in PEM.
const PEM_BYTES_MAX: usize = 256 << 10;

/// Arguments of `publisher serve`.
#[derive(Debug, clap::Args)]
pub(crate) struct Serve {
    #[command(flatten)]
    folder: Folder,
    /// Where to listen: ADDRESS:PORT.
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
    /// An ordinary certificate, with its chain, in PEM. A new one is read at the next start.
    #[arg(long, value_name = "FILE", requires = "tls_private_key")]
    tls_certificate: Option<PathBuf>,
    /// The private key of that certificate, in PEM.
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    tls_private_key: Option<PathBuf>,
    #[command(flatten)]
    passphrase: PassphraseArgs,
    /// Form of the log lines on standard error.
    #[arg(long, value_enum, default_value = "text")]
    log: LogFormat,
}

impl Serve {
    pub(super) fn run(&self, output: &Output) -> Result<(), Failure> {
        let certificate = match (&self.tls_certificate, &self.tls_private_key) {
            (Some(certificate), Some(key)) => {
                let (chain, key) = (read_bounded(certificate, PEM_BYTES_MAX)?, read_bounded(key, PEM_BYTES_MAX)?);
                Some(OrdinaryCertificate::from_pem(&chain, &key).map_err(Failure::usage)?)
            }
            _ => None,
        };
        let publisher = Publisher::open(&self.folder.path).map_err(open_failure)?;
        if let Some(passphrase) = self.passphrase.for_signing(&self.folder.path, Signing::Certificates)? {
            publisher.set_passphrase(passphrase);
        }
        let _reader = logging::start(self.log, LevelFilter::INFO);
        let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
        let outcome = runtime.block_on(serve(Arc::new(publisher), self.listen, certificate, output));
        // What still waits for a disk that failed must not keep the process.
        runtime.shutdown_background();
        outcome
    }
}

async fn serve(
    publisher: Arc<Publisher>,
    listen: SocketAddr,
    certificate: Option<OrdinaryCertificate>,
    output: &Output,
) -> Result<(), Failure> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
    let id = publisher.trust().publisher;
    let fingerprint = Fingerprint(id);
    let mut service = Service::start(publisher, listen, certificate).await.map_err(|error| match error {
        ServeError::NoCatalog => Failure::from(error),
        error => Failure::usage(error),
    })?;
    let address = service.address();
    tracing::info!(listen = %address, %fingerprint, version = env!("CARGO_PKG_VERSION"), "the publisher serves");
    output.result(
        &json!({ "listen": address.to_string(), "publisher": id.to_string(), "fingerprint": fingerprint.to_string() }),
        format_args!("Publisher {fingerprint} serves at {address}."),
    );
    tokio::select! {
        why = service.failed() => return Err(anyhow!("the service stopped: {why}; its log says more").into()),
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping: open requests are finished");
    service.stop().await;
    Ok(())
}
