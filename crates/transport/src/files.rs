//! Where certificates and keys are kept.
//!
//! ```text
//! FOLDER/authority.pem   the cluster's authority
//! FOLDER/authority.key   its key, on voters: this node may vouch for others, and for itself
//! FOLDER/node.pem        the node's certificate
//! FOLDER/node.key        its key
//! ```
//! Keys are readable by their owner alone, and each file is whole or not there. A renewed key waits as `node.key.next`
//! until its certificate is written, so that a crash at any moment leaves a pair.

use std::{
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use crate::{authority::Authority, error::TransportError, identity::Identity, limits::PEM_BYTES_MAX};

/// The folder of a node's certificates.
#[derive(Clone, Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// The one at `path`, which need not be there yet.
    pub fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// Whether it holds a node's certificate.
    pub fn is_made(&self) -> bool {
        self.0.join("node.pem").exists()
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The authority, with its key.
    pub fn authority(&self) -> Result<Authority, TransportError> {
        let certificate = read_text(&self.0.join("authority.pem"))?;
        Authority::from_pem(&certificate, &read_text(&self.0.join("authority.key"))?)
    }

    /// Whether it holds the authority's key, too.
    pub fn holds_authority_key(&self) -> bool {
        self.0.join("authority.key").exists()
    }

    /// The authority's certificate.
    pub fn authority_pem(&self) -> Result<Zeroizing<String>, TransportError> {
        read_text(&self.0.join("authority.pem"))
    }

    /// Takes in what a cluster certified: its authority's certificate, and the node's own with its key.
    pub fn write_certified(
        &self,
        authority_pem: &str,
        certificate_pem: &str,
        key_pem: &str,
    ) -> Result<(), TransportError> {
        // Refused before anything is written.
        Identity::from_pem(certificate_pem.as_bytes(), key_pem.as_bytes(), authority_pem.as_bytes())?;
        self.write("authority.pem", authority_pem)?;
        self.write_node(certificate_pem, key_pem)
    }

    /// Takes the key of the authority in whose certificate is here already.
    pub fn write_authority_key(&self, key_pem: &str) -> Result<(), TransportError> {
        Authority::from_pem(&self.authority_pem()?, key_pem)?;
        self.write("authority.key", key_pem)
    }

    /// Takes the authority in: durable when this returns.
    pub fn write_authority(&self, certificate_pem: &str, key_pem: &str) -> Result<(), TransportError> {
        self.write("authority.key", key_pem)?;
        self.write("authority.pem", certificate_pem)
    }

    /// Takes a new certificate for the node's present key in.
    pub fn renew_node(&self, certificate_pem: &str) -> Result<(), TransportError> {
        self.write("node.pem", certificate_pem)
    }

    /// The node's key.
    pub fn node_key(&self) -> Result<Zeroizing<String>, TransportError> {
        read_text(&self.0.join("node.key"))
    }

    /// Takes the node's own certificate in, with its key.
    pub fn write_node(&self, certificate_pem: &str, key_pem: &str) -> Result<(), TransportError> {
        self.write("node.key.next", key_pem)?;
        self.write("node.pem", certificate_pem)?;
        self.write("node.key", key_pem)?;
        let next = self.0.join("node.key.next");
        fs::remove_file(&next).map_err(|source| TransportError::Io { what: next.display().to_string(), source })
    }

    /// Destroys what lets this node, or whoever has its folder, be taken for a node of the cluster: its own key and the authority's.
    pub fn destroy_keys(&self) -> Result<(), TransportError> {
        for name in ["authority.key", "node.key", "node.key.next"] {
            let path = self.0.join(name);
            match fs::remove_file(&path) {
                Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                    return Err(TransportError::Io { what: path.display().to_string(), source });
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// What the node shows.
    pub fn identity(&self) -> Result<Identity, TransportError> {
        let [certificate, key, next, authority] =
            ["node.pem", "node.key", "node.key.next", "authority.pem"].map(|name| self.0.join(name));
        match identity(&certificate, &key, &authority) {
            // A crash in the middle of a renewal: the certificate is the new one, and so is the key beside the old one.
            Err(_) if next.exists() => identity(&certificate, &next, &authority),
            identity => identity,
        }
    }

    fn write(&self, name: &str, text: &str) -> Result<(), TransportError> {
        let path = self.0.join(name);
        let written = storage::durable::create_folder(&self.0)
            .and_then(|()| storage::durable::replace_private_file(&path, text.as_bytes()));
        written.map_err(|source| TransportError::Io { what: path.display().to_string(), source })
    }
}

impl Identity {
    /// From files in PEM: the own chain, the key, the authorities.
    pub fn from_files(chain: &Path, key: &Path, authorities: &Path) -> Result<Self, TransportError> {
        identity(chain, key, authorities)
    }
}

fn identity(chain: &Path, key: &Path, authorities: &Path) -> Result<Identity, TransportError> {
    let read = |path| read_private(path);
    let identity = Identity::from_pem(&read(chain)?, &read(key)?, &read(authorities)?);
    identity.map_err(|error| match error {
        TransportError::NotPem { .. } | TransportError::Certificate(_) => TransportError::Certificate(format!(
            "{}, {} and {}: {error}",
            chain.display(),
            key.display(),
            authorities.display()
        )),
        error => error,
    })
}

fn read_text(path: &Path) -> Result<Zeroizing<String>, TransportError> {
    let bytes = read_private(path)?;
    let text = std::str::from_utf8(&bytes);
    let text = text.map_err(|_| TransportError::NotPem { what: path.display().to_string(), expected: "text" })?;
    Ok(Zeroizing::new(text.to_owned()))
}

/// A file that may hold a key, up to [`PEM_BYTES_MAX`]: forgotten when dropped.
pub fn read_private(path: &Path) -> Result<Zeroizing<Vec<u8>>, TransportError> {
    let io = |source| TransportError::Io { what: path.display().to_string(), source };
    let mut bytes = Zeroizing::new(Vec::new());
    File::open(path).map_err(io)?.take(PEM_BYTES_MAX).read_to_end(&mut bytes).map_err(io)?;
    Ok(bytes)
}

/// Whether PEM holds a private key that needs a passphrase.
pub fn is_private_key_encrypted(pem: &[u8]) -> bool {
    let marker = b"-----BEGIN ENCRYPTED PRIVATE KEY-----";
    pem.windows(marker.len()).any(|window| window == marker)
}
