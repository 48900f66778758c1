//! An open publisher folder, which all operations share.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use activation::trust::Trust;

use crate::{
    credential::{self, CredentialError, Credentials, Passphrase},
    records::Records,
};

/// An open publisher folder. Only one process has it open at a time.
pub struct Publisher {
    pub(crate) folder: PathBuf,
    pub(crate) name: Option<String>,
    pub(crate) trust: RwLock<Arc<Trust>>,
    /// Held while a catalog is signed, so that catalogs are signed one after the other.
    pub(crate) signing: Mutex<()>,
    pub(crate) credentials: Credentials,
    pub(crate) records: Records,
}

/// What is to be signed, which determines the private key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signing {
    /// A catalog, with the root key.
    Catalog,
    /// Certificates, with an activation key.
    Certificates,
}

impl Publisher {
    /// The name of the public file in the folder that clients receive.
    pub const TRUST_FILE: &str = "trust.toml";

    /// The name of the socket in the folder on which a running service takes commands.
    pub const SOCKET: &str = "publisher.sock";

    pub(crate) fn new(
        folder: &Path,
        name: Option<String>,
        trust: Trust,
        credentials: Credentials,
        records: Records,
    ) -> Self {
        let (folder, trust) = (folder.to_owned(), RwLock::new(Arc::new(trust)));
        Self { folder, name, trust, signing: Mutex::default(), credentials, records }
    }

    /// The publisher's public keys and the last signed catalog.
    pub fn trust(&self) -> Arc<Trust> {
        Arc::clone(&self.trust.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether the folder's key for `signing` is encrypted. Works also while another process has the folder open.
    pub fn needs_passphrase(folder: &Path, signing: Signing) -> Result<bool, CredentialError> {
        match signing {
            Signing::Catalog => credential::needs_passphrase(folder, &[credential::ROOT]),
            Signing::Certificates => credential::needs_passphrase(folder, &credential::ACTIVATION),
        }
    }

    /// Sets the passphrase that decrypts keys from now on. It is verified when a key is first read.
    pub fn set_passphrase(&self, passphrase: Passphrase) {
        self.credentials.set_passphrase(passphrase);
    }

    /// Reads an activation key into memory, so that a service detects at its start whether it can sign, and then
    /// removes the passphrase from memory, because it decrypts the root key as well.
    pub fn unlock(&self) -> Result<(), CredentialError> {
        self.credentials.activation(&self.trust())?;
        self.credentials.forget_passphrase();
        Ok(())
    }

    /// Reads an activation key into memory with this passphrase, which is not kept.
    pub(crate) fn unlock_with(&self, passphrase: &Passphrase) -> Result<(), CredentialError> {
        self.credentials.activation_with(&self.trust(), Some(passphrase)).map(drop)
    }
}
