//! `quorate publisher serve`: the online activation service, until SIGTERM.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use activation::id::Fingerprint;
use anyhow::{Context, anyhow};
use host::{LogLevel, raise_descriptor_limit};
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
    logging::{self, Log, LogFormat},
};

pub(super) const EXAMPLES: &str = "\
Examples:
  quorate publisher serve --dir P --listen 0.0.0.0:1691
  quorate key activate --publisher publisher.example.test:1691                on a cluster

Clients verify the service with the publisher's activation keys, which they have: no other certificate is needed. With
--tls-certificate and --tls-private-key it presents a certificate of another authority. P/root.key is not needed and
should be kept elsewhere. Other commands with the same --dir keep working while it runs; a trust.toml that was
replaced by hand is read at the next start.

Exit: 0 stopped by a signal; 1 failed; 2 folder, passphrase, certificate or address.";

/// Size limit of the certificate and of its private key, in bytes of PEM.
const PEM_BYTES_MAX: usize = 256 << 10;

/// Arguments of `publisher serve`.
#[derive(Debug, clap::Args)]
pub(crate) struct Serve {
    #[command(flatten)]
    folder: Folder,
    /// Address and port to listen on.
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
    /// A certificate of another authority, with its chain, in PEM. SIGHUP reads it again.
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
    /// Log level: off, error, warn, info, debug or trace, and with commas TARGET=LEVEL. Default: QUORATE_LOG or
    /// RUST_LOG, else info. SIGUSR1 switches debug on and off.
    #[arg(long, env = "QUORATE_LOG_LEVEL", value_name = "LEVEL")]
    log_level: Option<LogLevel>,
}

impl Serve {
    pub(super) fn run(&self, output: &Output) -> Result<(), Failure> {
        raise_descriptor_limit();
        let certificate = self.certificate()?;
        let publisher = Publisher::open(&self.folder.path).map_err(open_failure)?;
        if let Some(passphrase) = self.passphrase.for_signing(&self.folder.path, Signing::Certificates)? {
            publisher.set_passphrase(passphrase);
        }
        let log = logging::start(self.log, self.log_level.clone(), LevelFilter::INFO);
        let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
        let outcome = runtime.block_on(self.serve(Arc::new(publisher), certificate, output, &log));
        // A thread that still waits for a failed disk must not keep the process.
        runtime.shutdown_background();
        outcome
    }

    /// The certificate of another authority, where one is given.
    fn certificate(&self) -> Result<Option<OrdinaryCertificate>, Failure> {
        let (Some(certificate), Some(key)) = (&self.tls_certificate, &self.tls_private_key) else { return Ok(None) };
        let (chain, key) = (read_bounded(certificate, PEM_BYTES_MAX)?, read_bounded(key, PEM_BYTES_MAX)?);
        OrdinaryCertificate::from_pem(&chain, &key).map(Some).map_err(Failure::usage)
    }

    async fn serve(
        &self,
        publisher: Arc<Publisher>,
        certificate: Option<OrdinaryCertificate>,
        output: &Output,
        log: &Log,
    ) -> Result<(), Failure> {
        let mut hang_up = signal(SignalKind::hangup()).context("cannot wait for SIGHUP")?;
        let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
        let id = publisher.trust().publisher;
        let fingerprint = Fingerprint(id);
        let mut service = Service::start(publisher, self.listen, certificate).await.map_err(|error| match error {
            ServeError::NoCatalog => Failure::from(error),
            error => Failure::usage(error),
        })?;
        let address = service.address();
        tracing::info!(listen = %address, %fingerprint, version = env!("CARGO_PKG_VERSION"), "the service runs");
        output.result(
        &json!({ "listen": address.to_string(), "publisher": id.to_string(), "fingerprint": fingerprint.to_string() }),
        format_args!("Publisher {fingerprint} is serving on {address}."),
    );
        let follow_signal = log.follow_signal();
        tokio::pin!(follow_signal);
        loop {
            tokio::select! {
                why = service.failed() => return Err(anyhow!("the service stopped: {why}; see its log").into()),
                toggled = &mut follow_signal => return toggled.context("cannot wait for SIGUSR1").map_err(Failure::from),
                Some(()) = hang_up.recv() => self.read_again(&service),
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
            }
        }
        tracing::info!("stopping: finishing open requests");
        service.stop().await;
        Ok(())
    }

    /// At SIGHUP: reloads the certificate of the other authority and its key; no other file is reloaded.
    fn read_again(&self, service: &Service) {
        let replaced = self.certificate().and_then(|certificate| match certificate {
            Some(certificate) => service.replace_certificate(certificate).map_err(Failure::from),
            None => Ok(false),
        });
        match replaced {
            Ok(true) => tracing::info!("the TLS certificate was reloaded"),
            Ok(false) => tracing::info!("SIGHUP: no TLS certificate is configured, nothing to reload"),
            Err(error) => {
                let error = error.reason();
                tracing::error!(error, "the TLS certificate could not be reloaded: the previous one stays in use");
            }
        }
    }
}
