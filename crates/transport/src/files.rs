//! The files of certificates and keys.
//!
//! ```text
//! FOLDER/authority.pem       the certificate of the cluster's authority
//! FOLDER/authority.key       the authority's key, on voters: this node may certify others, and itself
//! FOLDER/authority.key.next the key of an authority that is to replace it
//! FOLDER/node.pem            the node's certificate
//! FOLDER/node.key            the node's key; it exists before the certificate if the node joins by file
//! ```
//! Only the owner of a key file may read it, and each file is complete or absent. A renewed key is stored as
//! `node.key.next` until its certificate is written, so a crash at any moment leaves a matching pair.

use std::{
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use crate::{
    authority::Authority, certificate::Certificate, error::TransportError, identity::Identity, known::KnownKeys,
    limits::PEM_BYTES_MAX, revocation_list::RevocationLists,
};

/// The folder of a node's certificates.
#[derive(Clone, Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// The folder at `path`, which need not exist yet.
    pub fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// Whether the folder holds a node's certificate.
    pub fn is_made(&self) -> bool {
        self.0.join("node.pem").exists()
    }

    /// The path of the folder.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The authority, with its key.
    pub fn authority(&self) -> Result<Authority, TransportError> {
        let certificate = read_text(&self.0.join("authority.pem"))?;
        Authority::from_pem(&certificate, &read_text(&self.0.join("authority.key"))?)
    }

    /// Whether the folder also holds the authority's key.
    pub fn holds_authority_key(&self) -> bool {
        self.0.join("authority.key").exists()
    }

    /// The authority's certificate, in PEM.
    pub fn authority_pem(&self) -> Result<Zeroizing<String>, TransportError> {
        read_text(&self.0.join("authority.pem"))
    }

    /// Stores what a cluster certified: its authority's certificate, and the node's own certificate with its key.
    pub fn write_certified(
        &self,
        authority_pem: &str,
        certificate_pem: &str,
        key_pem: &str,
    ) -> Result<(), TransportError> {
        // Verified first: a mismatch is refused before anything is written.
        Identity::from_pem(certificate_pem.as_bytes(), key_pem.as_bytes(), authority_pem.as_bytes())?;
        self.write("authority.pem", authority_pem)?;
        self.write_node(certificate_pem, key_pem)
    }

    /// Stores the key of the authority whose certificate is in the folder already.
    pub fn write_authority_key(&self, key_pem: &str) -> Result<(), TransportError> {
        Authority::from_pem(&self.authority_pem()?, key_pem)?;
        self.write("authority.key", key_pem)
    }

    /// Stores the key of an authority that is to replace the present one, for [`Self::follow_authority`].
    pub fn stage_authority(&self, authority: &Authority) -> Result<(), TransportError> {
        self.write("authority.key.next", &authority.key_pem())
    }

    /// Adopts the cluster's current authority and, if there is one, the previous authority that is still trusted,
    /// both in DER. A staged key of the current authority becomes the authority's key; a key of another authority
    /// is removed. Returns whether anything changed.
    pub fn follow_authority(&self, current: &[u8], previous: Option<&[u8]>) -> Result<bool, TransportError> {
        let mut pem = Certificate::pem_of(current);
        pem.extend(previous.map(Certificate::pem_of));
        let is_changed = self.authority_pem().ok().as_deref().map(String::as_str) != Some(pem.as_str());
        let staged = read_text(&self.0.join("authority.key.next"));
        let staged = staged.ok().filter(|key| Authority::from_pem(&pem, key).is_ok());
        if !is_changed && staged.is_none() {
            return Ok(false);
        }
        let held = read_text(&self.0.join("authority.key"));
        let is_held = held.is_ok_and(|key| Authority::from_pem(&pem, &key).is_ok());
        match staged {
            Some(key) => self.write("authority.key", &key)?,
            None if !is_held => self.remove("authority.key")?,
            None => {}
        }
        self.write("authority.pem", &pem)?;
        self.remove("authority.key.next")?;
        Ok(true)
    }

    fn remove(&self, name: &str) -> Result<(), TransportError> {
        let path = self.0.join(name);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                Err(TransportError::Io { what: path.display().to_string(), source })
            }
            _ => Ok(()),
        }
    }

    /// Stores the authority's certificate and key; durable on return.
    pub fn write_authority(&self, certificate_pem: &str, key_pem: &str) -> Result<(), TransportError> {
        self.write("authority.key", key_pem)?;
        self.write("authority.pem", certificate_pem)
    }

    /// Stores a new certificate for the node's present key.
    pub fn renew_node(&self, certificate_pem: &str) -> Result<(), TransportError> {
        self.write("node.pem", certificate_pem)
    }

    /// The node's key, in PEM.
    pub fn node_key(&self) -> Result<Zeroizing<String>, TransportError> {
        read_text(&self.0.join("node.key"))
    }

    /// Whether the folder holds a node's key.
    pub fn has_node_key(&self) -> bool {
        self.0.join("node.key").exists()
    }

    /// Stores a new key of the node, before there is a certificate for it.
    pub fn write_node_key(&self, key_pem: &str) -> Result<(), TransportError> {
        self.write("node.key", key_pem)
    }

    /// Stores the node's own certificate with its key.
    pub fn write_node(&self, certificate_pem: &str, key_pem: &str) -> Result<(), TransportError> {
        self.write("node.key.next", key_pem)?;
        self.write("node.pem", certificate_pem)?;
        self.write("node.key", key_pem)?;
        let next = self.0.join("node.key.next");
        fs::remove_file(&next).map_err(|source| TransportError::Io { what: next.display().to_string(), source })
    }

    /// Removes the keys with which this node, or another holder of its folder, could present itself as a node of
    /// the cluster: its own key and the authority's.
    pub fn destroy_keys(&self) -> Result<(), TransportError> {
        for name in ["authority.key", "authority.key.next", "node.key", "node.key.next"] {
            self.remove(name)?;
        }
        Ok(())
    }

    /// The identity that the node presents.
    pub fn identity(&self) -> Result<Identity, TransportError> {
        self.identity_knowing(&KnownKeys::default())
    }

    /// Like [`Self::identity`]; in addition, holders of the known keys are trusted.
    pub fn identity_knowing(&self, known: &KnownKeys) -> Result<Identity, TransportError> {
        let [certificate, key, next, authority] =
            ["node.pem", "node.key", "node.key.next", "authority.pem"].map(|name| self.0.join(name));
        match identity((&certificate, &key, &authority), known, None) {
            // After a crash during a renewal: the certificate is the new one, and its key is still in
            // `node.key.next`.
            Err(_) if next.exists() => identity((&certificate, &next, &authority), known, None),
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
    /// From files in PEM: the own chain, the key, the trusted authorities.
    pub fn from_files(chain: &Path, key: &Path, authorities: &Path) -> Result<Self, TransportError> {
        Self::from_files_with_lists(chain, key, authorities, None)
    }

    /// Like [`Self::from_files`]; in addition, certificates in the revocation lists of that file are refused.
    pub fn from_files_with_lists(
        chain: &Path,
        key: &Path,
        authorities: &Path,
        lists: Option<&Path>,
    ) -> Result<Self, TransportError> {
        let lists = lists.map(RevocationLists::from_file).transpose()?;
        identity((chain, key, authorities), &KnownKeys::default(), lists)
    }
}

fn identity(
    (chain, key, authorities): (&Path, &Path, &Path),
    known: &KnownKeys,
    lists: Option<RevocationLists>,
) -> Result<Identity, TransportError> {
    let read = |path| read_private(path);
    let identity = Identity::from_pem_with((&read(chain)?, &read(key)?, &read(authorities)?), known, lists);
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

/// Reads a file that may hold a key, up to [`PEM_BYTES_MAX`] bytes. The content is overwritten in memory when it is
/// dropped.
pub fn read_private(path: &Path) -> Result<Zeroizing<Vec<u8>>, TransportError> {
    let io = |source| TransportError::Io { what: path.display().to_string(), source };
    let mut bytes = Zeroizing::new(Vec::new());
    File::open(path).map_err(io)?.take(PEM_BYTES_MAX).read_to_end(&mut bytes).map_err(io)?;
    Ok(bytes)
}

/// Whether the PEM holds a private key that is encrypted with a passphrase.
pub fn is_private_key_encrypted(pem: &[u8]) -> bool {
    let marker = b"-----BEGIN ENCRYPTED PRIVATE KEY-----";
    pem.windows(marker.len()).any(|window| window == marker)
}
