//! The publisher's side: catalogs signed, keys issued, hosts and machines activated within their limits (R24, R30, R31,
//! R34).
//!
//! A publisher is a folder that belongs to one person or service account:
//!
//! ```text
//! DIR/root.key           private: signs catalogs and the activation keys; belongs offline
//! DIR/activation-1.key   private: signs node certificates; a service needs one of the two and nothing else
//! DIR/activation-2.key
//! DIR/trust.toml         public: what clients are given; embeds the catalog that was signed last
//! DIR/publisher.toml     the publisher's name, where it was given
//! DIR/publisher.sock     where a running service takes the commands of the folder's owner
//! DIR/records/           which keys were issued, what was activated with them
//! ```
//! With a passphrase the private keys are encrypted; `openssl` reads them either way. One is read when something is first
//! to be signed with it, so a folder without `root.key` still issues and activates. Records are durable before an answer
//! leaves: a place that was given is never given again.
//!
//! A [`Service`] activates hosts and machines online. What commands ask is an [`Operation`], whoever has the folder open.
//!
//! Invariant: never returns a key or a certificate that its records could forget.

#![forbid(unsafe_code)]

mod activate;
mod backup;
mod catalogs;
mod clock;
mod credential;
mod direct_key;
mod entropy;
mod folder;
mod key;
pub mod limits;
mod operation;
mod records;
mod service;

#[allow(clippy::all, unreachable_pub, reason = "generated code")]
mod proto {
    include!(concat!(env!("OUT_DIR"), "/quorate.publisher.v1.rs"));
}

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use activation::trust::Trust;

pub use crate::activate::{ActivateError, Reason, Refusal, Refusals};
pub use crate::backup::{BACKUP_FORMAT, Backup, RestoreError, Restored};
pub use crate::catalogs::SignError;
pub use crate::credential::{CredentialError, NotAPassphrase, Passphrase};
pub use crate::direct_key::{DirectError, DirectKey, DirectReason};
pub use crate::folder::{InitError, OpenError};
pub use crate::key::{ChangeError, Host, IssueError, IssuedKey, KeyLimits};
pub use crate::operation::{
    ActivatedNode, ActivatedReport, BackupReport, CatalogReport, DirectKeyReport, HostReport, KeyReport, Operation,
    OperationError, OperationErrorKind, ReleasedNode, Report, perform,
};
pub use crate::records::RecordsError;
pub use crate::service::{AskError, OrdinaryCertificate, ServeError, Service, ask};

/// An open publisher folder. Only one process has it open at a time.
pub struct Publisher {
    folder: PathBuf,
    name: Option<String>,
    trust: RwLock<Arc<Trust>>,
    /// Held while a catalog is being signed: one succeeds the other.
    signing: Mutex<()>,
    credentials: credential::Credentials,
    records: records::Records,
}

/// What is to be signed, and so which private key is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signing {
    /// A catalog, with the root key.
    Catalog,
    /// Certificates, with an activation key.
    Certificates,
}

impl Publisher {
    /// The public file in the folder that clients are given.
    pub const TRUST_FILE: &str = "trust.toml";

    /// The socket in the folder where a running service takes commands.
    pub const SOCKET: &str = "publisher.sock";

    /// Makes the keys, the trust file and empty records of a new publisher in `folder`, which is missing or empty and
    /// which nobody but its owner can enter afterwards. A `name` binds its catalogs: see [`Self::sign_catalog`].
    /// With a `passphrase` the private keys are encrypted.
    pub fn init(folder: &Path, name: Option<&str>, passphrase: Option<Passphrase>) -> Result<Self, InitError> {
        folder::init(folder, name, passphrase)
    }

    /// Opens the folder of [`Self::init`].
    pub fn open(folder: &Path) -> Result<Self, OpenError> {
        folder::open(folder)
    }

    fn new(
        folder: &Path,
        name: Option<String>,
        trust: Trust,
        credentials: credential::Credentials,
        records: records::Records,
    ) -> Self {
        let (folder, trust) = (folder.to_owned(), RwLock::new(Arc::new(trust)));
        Self { folder, name, trust, signing: Mutex::default(), credentials, records }
    }

    /// Its public keys and the catalog that was signed last.
    pub fn trust(&self) -> Arc<Trust> {
        Arc::clone(&self.trust.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether the folder's key for `signing` is encrypted. Also of a folder that another process has open.
    pub fn needs_passphrase(folder: &Path, signing: Signing) -> Result<bool, CredentialError> {
        match signing {
            Signing::Catalog => credential::needs_passphrase(folder, &[credential::ROOT]),
            Signing::Certificates => credential::needs_passphrase(folder, &credential::ACTIVATION),
        }
    }

    /// What encrypted keys are opened with from now on. Whether it is the right one shows when something is signed.
    pub fn set_passphrase(&self, passphrase: Passphrase) {
        self.credentials.set_passphrase(passphrase);
    }

    /// Reads an activation key into memory, so that a service finds out at its start whether it can sign, and forgets
    /// the passphrase: it opens the root key as well.
    pub fn unlock(&self) -> Result<(), CredentialError> {
        self.credentials.activation(&self.trust())?;
        self.credentials.forget_passphrase();
        Ok(())
    }

    /// Reads an activation key into memory with this passphrase, which is not kept.
    fn unlock_with(&self, passphrase: &Passphrase) -> Result<(), CredentialError> {
        self.credentials.activation_with(&self.trust(), Some(passphrase)).map(drop)
    }
}
