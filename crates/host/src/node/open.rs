//! Reads a node's configuration and data folder when it starts.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use activation::catalog::Name;
use storage::{
    Kind, OpenError, Opening, Owner, Store,
    private::{Foreign, first_foreign},
};
use transport::PresentedIdentity;
use uuid::Uuid;

use super::error::StartError;
use crate::{
    config::Config,
    credentials::{Credentials, hardware::Hardware, identity::Source},
    dns,
    environment::random,
    lifecycle::leave,
    tasks::{self, HostTask},
};

/// Reports the progress of opening the store.
pub(super) type Report = Box<dyn Fn(Opening) + Send>;

/// The platform class and the certificate of the node, which are checked before a socket is opened.
pub(super) struct Identity {
    pub(super) platform: Name,
    /// Where the node's certificate comes from.
    pub(super) source: Source,
    /// The certificate that the node presents.
    pub(super) shown: Arc<PresentedIdentity>,
}

impl Identity {
    pub(super) fn load(config: &Config) -> Result<Self, StartError> {
        if let Some(Foreign { path, owner, account }) = first_foreign(&config.data) {
            return Err(StartError::ForeignFile { path, data: config.data.clone(), owner, account });
        }
        leave::check(&config.data)?;
        let source = Source::of(config);
        let shown = Arc::new(PresentedIdentity::new(source.load()?));
        // Only after the certificate has shown that the folder is this node's: another node's folder is not changed.
        keep_private(&config.data);
        Ok(Self { platform: config.platform.clone(), source, shown })
    }
}

/// Removes the access rights of other accounts from the data folder, because it holds the node's private keys.
fn keep_private(data: &Path) {
    match storage::private::correct(data) {
        Ok(corrected) => {
            if let Some(first) = corrected.first {
                tracing::warn!(
                    first = %first.display(),
                    changed = corrected.changed,
                    "other accounts of this machine could read the data folder; only this account may read it now"
                );
            }
        }
        Err(error) => tracing::warn!(%error, "could not restrict the data folder to this account"),
    }
}

/// The content of the data folder.
pub(super) struct Data {
    pub(super) hardware: Hardware,
    pub(super) credentials: Arc<Credentials>,
    /// The configuration of the node's DNS records; `None` where it has no name in DNS.
    pub(super) dns: Option<dns::DnsConfig>,
    pub(super) dns_ledger: dns::Ledger,
    /// The seed of random elections and pauses.
    pub(super) seed: u64,
    /// A number that distinguishes this process from all earlier ones of the node.
    pub(super) boot: u64,
    pub(super) store: Arc<Store>,
    pub(super) snapshots: PathBuf,
}

impl Data {
    /// Opens the data on a thread that may wait for the disk, because opening the store copies it.
    pub(super) async fn open_beside(config: &Config, report: Report) -> Result<Self, StartError> {
        let (config, path) = (config.clone(), config.data.clone());
        let opened = tasks::blocking(HostTask::StoreOpening, move || Self::open(&config, &*report)).await;
        opened.map_err(|source| OpenError::Io { action: "open the data in", path, source })?
    }

    /// Opens the data. The store is opened last, because opening it writes to it.
    fn open(config: &Config, report: &dyn Fn(Opening)) -> Result<Self, StartError> {
        let keys = config.data.join("keys");
        let hardware = Hardware::at(&config.machine_root(), config.identity_choice());
        let credentials = Credentials::load(config.node, &keys, hardware.clone(), |_, _, _| random());
        let credentials = Arc::new(credentials.map_err(|source| StartError::Keys { path: keys, source })?);
        let dns = dns::DnsConfig::read(config)?;
        let dns_ledger = dns::Ledger::load(&config.data);
        let dns_ledger = dns_ledger.map_err(|source| StartError::Records { path: config.data.clone(), source })?;
        let seed = u64::from_le_bytes(random().map_err(StartError::Randomness)?);
        let boot = u64::from_le_bytes(random().map_err(StartError::Randomness)?);
        let store_if_new = Uuid::from_bytes(random().map_err(StartError::Randomness)?);
        let owner = Owner { kind: Kind::Node, number: config.node, store_if_new };
        let store = Arc::new(Store::open_reporting(&config.data.join("store"), owner, report)?);
        let snapshots = config.data.join("snapshots");
        Ok(Self { hardware, credentials, dns, dns_ledger, seed, boot, store, snapshots })
    }
}
