//! The node's own keys, and the publishers' certificates for them.
//!
//! ```text
//! DATA/keys/<key id>   32 bytes in hex: the private key made for one host key; it never leaves the machine
//! ```
//! Certificates are replicated; the private key is not. With both, the node signs answers.

use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
};

use activation::{
    SigningKey,
    certificate::NodeCertificate,
    id::{KeyId, NodeId, PublisherId},
    state::State,
};
use data_encoding::HEXLOWER_PERMISSIVE;

use crate::surroundings::random;

/// A certificate and the private key that it certifies.
#[derive(Debug)]
pub(crate) struct Credential {
    pub(crate) certificate: NodeCertificate,
    pub(crate) key: SigningKey,
}

type Usable = BTreeMap<(PublisherId, KeyId), Arc<Credential>>;

/// The credentials of one node.
#[derive(Debug)]
pub(crate) struct Credentials {
    node: NodeId,
    folder: PathBuf,
    keys: Mutex<BTreeMap<KeyId, SigningKey>>,
    usable: RwLock<Arc<Usable>>,
}

impl Credentials {
    /// Loads the private keys in `folder`, and changes nothing there.
    pub(crate) fn load(node: NodeId, folder: &Path) -> io::Result<Self> {
        let mut keys = BTreeMap::new();
        let entries = match fs::read_dir(folder) {
            Ok(entries) => Some(entries),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        for entry in entries.into_iter().flatten() {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            // What is no key id is none of ours: a temporary file of a write that a crash cut off.
            if let Ok(key_id) = name.parse() {
                keys.insert(key_id, read_key(&path)?);
            }
        }
        Ok(Self { node, folder: folder.to_owned(), keys: Mutex::new(keys), usable: RwLock::default() })
    }

    /// The private key for a host key, made now if there is none yet.
    pub(crate) fn key_for(&self, key_id: KeyId) -> io::Result<SigningKey> {
        let mut keys = self.keys();
        if let Some(key) = keys.get(&key_id) {
            return Ok(key.clone());
        }
        let key = SigningKey::from_bytes(&random()?);
        storage::durable::create_folder(&self.folder)?;
        write_key(&self.folder.join(key_id.to_string()), &key)?;
        keys.insert(key_id, key.clone());
        Ok(key)
    }

    /// Takes note of the certificates that are replicated now.
    pub(crate) fn refresh(&self, state: &State) {
        let keys = self.keys();
        let mut usable = Usable::new();
        for publisher in state.publishers() {
            for installed in publisher.keys() {
                let Some(activation) = installed.activations.get(&self.node) else { continue };
                let certificate = &activation.certificate;
                let own = keys.get(&installed.id);
                if let Some(key) = own.filter(|key| key.verifying_key().to_bytes() == certificate.node_key) {
                    let credential = Credential { certificate: certificate.clone(), key: key.clone() };
                    usable.insert((publisher.id(), installed.id), Arc::new(credential));
                }
            }
        }
        *self.usable.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(usable);
    }

    /// What signs answers under this host key, where the node has it.
    pub(crate) fn get(&self, publisher: PublisherId, key_id: KeyId) -> Option<Arc<Credential>> {
        self.usable.read().unwrap_or_else(PoisonError::into_inner).get(&(publisher, key_id)).cloned()
    }

    fn keys(&self) -> MutexGuard<'_, BTreeMap<KeyId, SigningKey>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read_key(path: &Path) -> io::Result<SigningKey> {
    let text = fs::read(path)?;
    let bytes =
        HEXLOWER_PERMISSIVE.decode(text.trim_ascii_end()).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
    let bytes = bytes.ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("{} is no private key: restore it, or delete it and activate again", path.display()),
        )
    })?;
    Ok(SigningKey::from_bytes(&bytes))
}

/// Private from the first byte, durable before it is used.
fn write_key(path: &Path, key: &SigningKey) -> io::Result<()> {
    let temporary = path.with_extension("new");
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    file.write_all(HEXLOWER_PERMISSIVE.encode(&key.to_bytes()).as_bytes())?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    path.parent().map_or(Ok(()), storage::durable::sync_folder)
}
