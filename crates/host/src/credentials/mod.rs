//! The node's private keys for answers, and the publishers' certificates for them.
//!
//! Certificates are replicated; the private key is not. With both, and on the machine on which the key was made
//! (R23), the node signs answers. On another machine it signs only the request to be activated again, with a new key
//! and with the old one, so that the publisher recognises the host (R31).
//!
//! Invariant: never destroys a key unless the state says that another key is certified in its place, or that the
//! node's own statement released the activation slot.

mod files;
pub(crate) mod follow;
pub(crate) mod hardware;
pub mod identity;
pub(crate) mod issuing;
pub(crate) mod registered;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
};

use activation::{
    SigningKey, VerifyingKey,
    certificate::NodeCertificate,
    host_activation::{IdentityKind, ReleaseStatement},
    id::{KeyId, NodeId, PublisherId},
    state::State,
};
use machine::Identity;

use self::files::{KeyFile, KeyFolder, Keys, PrivateKey};
use crate::credentials::hardware::{Hardware, kind_of};

/// Makes the secret of a private key that a node makes for a host key. Where the machine changed, the public key of
/// the key to be replaced is given. A daemon uses the operating system's randomness.
pub(crate) type NewSecret = fn(NodeId, KeyId, Option<&VerifyingKey>) -> io::Result<[u8; 32]>;

/// A certificate and the private key that it certifies.
#[derive(Debug)]
pub(crate) struct Credential {
    pub(crate) certificate: NodeCertificate,
    pub(crate) key: SigningKey,
}

/// Why this node cannot sign with one of its certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Unusable {
    /// The machine is no longer the one on which the key was made.
    MachineChanged,
    /// The private key is not in the folder.
    KeyLost,
}

/// The keys with which the node can sign, and those with which it cannot although they are certified.
#[derive(Debug, Default)]
pub(crate) struct SigningKeys {
    usable: BTreeMap<(PublisherId, KeyId), Arc<Credential>>,
    unusable: BTreeMap<(PublisherId, KeyId), Unusable>,
}

/// The certificates and releases of this node in the applied state.
#[derive(Clone, Debug, Default)]
pub(crate) struct Held {
    /// The index of the entry after which the state was read.
    applied_index: u64,
    certificates: BTreeMap<(PublisherId, KeyId), NodeCertificate>,
    /// Key ids and node keys of activation slots that the node released and for which the publisher's answer is
    /// pending.
    released: BTreeSet<(KeyId, [u8; 32])>,
}

/// The keys that sign a request to the publisher.
#[derive(Debug)]
pub(crate) struct Signers {
    /// The key that is to be certified.
    pub(crate) key: SigningKey,
    /// The key of this host before its machine changed; `None` where it did not change.
    pub(crate) previous: Option<SigningKey>,
    /// The kind of identity to which `key` is bound.
    pub(crate) identity: IdentityKind,
}

#[derive(Debug)]
struct KeyRing {
    keys: BTreeMap<KeyId, Keys>,
    machine: Identity,
    held: Held,
}

/// The credentials of one node.
#[derive(Debug)]
pub(crate) struct Credentials {
    node: NodeId,
    folder: KeyFolder,
    hardware: Hardware,
    new_secret: NewSecret,
    inner: Mutex<KeyRing>,
    signing_keys: RwLock<Arc<SigningKeys>>,
}

impl Held {
    /// Collects this node's certificates and releases from the state after the entry at `applied_index`.
    pub(crate) fn of(state: &State, node: NodeId, applied_index: u64) -> Self {
        let mut held = Self { applied_index, ..Self::default() };
        for publisher in state.publishers() {
            for installed in publisher.keys() {
                if let Some(activation) = installed.activations.get(&node) {
                    held.certificates.insert((publisher.id(), installed.id), activation.certificate.clone());
                }
            }
            let own = publisher.pending_releases().filter(|statement| statement.node == node);
            held.released.extend(own.map(|statement| (statement.key, statement.node_key)));
        }
        held
    }

    fn certified(&self, id: KeyId) -> Option<[u8; 32]> {
        let mut certificates = self.certificates.iter();
        certificates.find(|((_, key), _)| *key == id).map(|(_, certificate)| certificate.node_key)
    }
}

impl Keys {
    /// The keys that may sign a request on this machine: the next key, which waits for its certificate, before the
    /// current one.
    fn waiting(&self, machine: &Identity) -> Option<Signers> {
        let of_this_machine = [&self.next, &self.current].into_iter().flatten().find(|key| is_at_home(key, machine))?;
        let identity = kind_of(&of_this_machine.machine);
        Some(Signers { key: of_this_machine.key.clone(), previous: self.moved(machine), identity })
    }

    /// The current key, where it was made on another machine.
    fn moved(&self, machine: &Identity) -> Option<SigningKey> {
        self.current.as_ref().filter(|current| !is_at_home(current, machine)).map(|current| current.key.clone())
    }
}

impl Credentials {
    /// Loads the private keys in `folder`, and does not change the folder. `new_secret` makes the secrets of new
    /// keys.
    pub(crate) fn load(node: NodeId, folder: &Path, hardware: Hardware, new_secret: NewSecret) -> io::Result<Self> {
        let folder = KeyFolder::at(folder);
        let inner = KeyRing { keys: folder.load()?, machine: hardware.identity(), held: Held::default() };
        Ok(Self { node, folder, hardware, new_secret, inner: Mutex::new(inner), signing_keys: RwLock::default() })
    }

    pub(crate) fn node(&self) -> NodeId {
        self.node
    }

    /// Follows the replicated state: promotes and destroys keys, and determines with which keys the node can sign. A
    /// state that is older than the last one given is ignored.
    pub(crate) fn take_note(&self, held: Held) -> io::Result<()> {
        let mut inner = self.inner();
        if held.applied_index < inner.held.applied_index {
            return Ok(());
        }
        inner.held = held;
        let settled = self.settle(&mut inner);
        self.work_out(&inner);
        settled
    }

    /// Whether the node has to be activated with this key, for the first time or again, as far as this node's state
    /// and machine show.
    pub(crate) fn is_in_need(&self, id: KeyId) -> bool {
        self.look_at_machine();
        let inner = self.inner();
        let Some(certified) = inner.held.certified(id) else { return true };
        let current = inner.keys.get(&id).and_then(|keys| keys.current.as_ref());
        !current.is_some_and(|current| is_of(current, certified) && is_at_home(current, &inner.machine))
    }

    /// The keys that sign a request for this host key. A new key is made where no key may sign on this machine;
    /// later calls return the same one until it is certified.
    pub(crate) fn signers(&self, id: KeyId) -> io::Result<Signers> {
        self.look_at_machine();
        let mut inner = self.inner();
        let KeyRing { keys, machine, .. } = &mut *inner;
        let waiting = keys.get(&id).and_then(|keys| keys.waiting(machine));
        waiting.map_or_else(|| self.make(&mut inner, id), Ok)
    }

    /// The keys that sign a request for this host key, with a new key in any case. For a key that the publisher no
    /// longer certifies: its slot was freed, or its file is an old copy. The old key stays, and signs what it signed
    /// before, until the new one is certified.
    pub(crate) fn new_signers(&self, id: KeyId) -> io::Result<Signers> {
        self.look_at_machine();
        self.make(&mut self.inner(), id)
    }

    /// Makes a key for this host key: the next key where a current one exists, otherwise the current one.
    fn make(&self, inner: &mut KeyRing, id: KeyId) -> io::Result<Signers> {
        let KeyRing { keys, machine, .. } = inner;
        let keys = keys.entry(id).or_default();
        let file = if keys.current.is_some() { KeyFile::Next } else { KeyFile::Current };
        let previous = keys.moved(machine);
        let replaced = previous.as_ref().map(SigningKey::verifying_key);
        let machine = self.hardware.recorded(machine)?;
        let key = SigningKey::from_bytes(&(self.new_secret)(self.node, id, replaced.as_ref())?);
        let made = PrivateKey { key, machine, release_signed_at: None };
        self.folder.write(id, file, &made)?;
        let (key, identity) = (made.key.clone(), kind_of(&made.machine));
        *keys.slot(file) = Some(made);
        Ok(Signers { key, previous, identity })
    }

    /// Signs the statement that the node releases its activation slot. A repeated call signs the same statement; the
    /// key is kept until the state says that the slot is released.
    pub(crate) fn release(&self, publisher: PublisherId, id: KeyId) -> io::Result<ReleaseStatement> {
        let mut inner = self.inner();
        let KeyRing { keys, held, .. } = &mut *inner;
        let certificate = held.certificates.get(&(publisher, id));
        let certificate = certificate.ok_or_else(|| io::Error::other("it holds no certificate for this key"))?;
        let current = keys.get_mut(&id).and_then(|keys| keys.current.as_mut());
        let current = current.filter(|current| is_of(current, certificate.node_key)).ok_or_else(|| {
            io::Error::other(
                "its private key is lost, so it cannot sign: ask the publisher to release the activation slot",
            )
        })?;
        if current.release_signed_at.is_none() {
            let signed = PrivateKey { release_signed_at: Some(held.applied_index), ..current.clone() };
            self.folder.write(id, KeyFile::Current, &signed)?;
            *current = signed;
        }
        Ok(ReleaseStatement::sign(publisher, id, self.node, &current.key))
    }

    /// The credential that signs answers under this host key; `None` where the node has none.
    pub(crate) fn get(&self, publisher: PublisherId, id: KeyId) -> Option<Arc<Credential>> {
        self.signing_keys().usable.get(&(publisher, id)).cloned()
    }

    /// Why the node cannot sign with one of its certificates of this publisher, whatever the count; `None` where it
    /// can sign with all.
    pub(crate) fn barred(&self, publisher: PublisherId) -> Option<Unusable> {
        let signing_keys = self.signing_keys();
        signing_keys.unusable.iter().filter(|((of, _), _)| *of == publisher).map(|(_, why)| *why).min()
    }

    /// The keys for which the node is certified but with which it cannot sign.
    pub(crate) fn unusable(&self) -> BTreeMap<KeyId, Unusable> {
        self.signing_keys().unusable.iter().map(|((_, id), why)| (*id, *why)).collect()
    }

    fn signing_keys(&self) -> Arc<SigningKeys> {
        Arc::clone(&self.signing_keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn inner(&self) -> MutexGuard<'_, KeyRing> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn look_at_machine(&self) {
        let now = self.hardware.identity();
        let mut inner = self.inner();
        if inner.machine != now {
            inner.machine = now;
            self.work_out(&inner);
        }
    }

    /// Updates the folder to the state. Every step can be repeated, and a crash between two steps loses nothing.
    fn settle(&self, inner: &mut KeyRing) -> io::Result<()> {
        let KeyRing { keys, held, .. } = inner;
        for (&id, keys) in keys.iter_mut() {
            let certified = held.certified(id);
            let is_next = |next: &PrivateKey| certified.is_some_and(|certified| is_of(next, certified));
            if keys.next.as_ref().is_some_and(is_next) {
                self.folder.promote(id)?;
                tracing::info!(key = %id, "the key of the changed machine is certified and replaces the old one");
                keys.current = keys.next.take();
            }
            if keys.current.as_ref().is_some_and(|current| is_given_back(current, id, held)) {
                // Destroy the current key last: as long as it exists, the folder still shows that both keys have to
                // be destroyed.
                self.folder.destroy(id, KeyFile::Next)?;
                keys.next = None;
                self.folder.destroy(id, KeyFile::Current)?;
                keys.current = None;
                tracing::info!(key = %id, "the node's activation slot was released; its private key is destroyed");
            }
        }
        Ok(())
    }

    fn work_out(&self, inner: &KeyRing) {
        let mut signing_keys = SigningKeys::default();
        for (&(publisher, id), certificate) in &inner.held.certificates {
            let current = inner.keys.get(&id).and_then(|keys| keys.current.as_ref());
            match current.filter(|current| is_of(current, certificate.node_key)) {
                Some(current) if is_at_home(current, &inner.machine) => {
                    let credential = Credential { certificate: certificate.clone(), key: current.key.clone() };
                    signing_keys.usable.insert((publisher, id), Arc::new(credential));
                }
                Some(_) => drop(signing_keys.unusable.insert((publisher, id), Unusable::MachineChanged)),
                None => drop(signing_keys.unusable.insert((publisher, id), Unusable::KeyLost)),
            }
        }
        let mut known = self.signing_keys.write().unwrap_or_else(PoisonError::into_inner);
        for (key, why) in &signing_keys.unusable {
            match why {
                _ if known.unusable.get(key) == Some(why) => {}
                Unusable::MachineChanged => tracing::error!(
                    key = %key.1,
                    "this is not the machine that was activated: activate the node again with `quorate key activate \
                     --reactivate`, which uses one reactivation"
                ),
                // A node that has just started may have an older state than its folder until it has applied the log.
                Unusable::KeyLost => tracing::warn!(
                    key = %key.1,
                    "by the log as applied so far, this node is certified for a private key that it does not have; if \
                     that persists, activate the node again with `quorate key activate`"
                ),
            }
        }
        *known = Arc::new(signing_keys);
    }
}

impl Unusable {
    /// The reason as a part of a sentence.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::MachineChanged => "the machine changed",
            Self::KeyLost => "the private key of the node's certificate is missing",
        }
    }
}

fn is_of(key: &PrivateKey, certified: [u8; 32]) -> bool {
    key.key.verifying_key().to_bytes() == certified
}

fn is_at_home(key: &PrivateKey, machine: &Identity) -> bool {
    key.machine.change_to(machine).is_within_tolerance()
}

/// Whether the key's slot was released: its own statement waits for the publisher, or it signed a statement while it
/// was certified and is not certified any more.
fn is_given_back(key: &PrivateKey, id: KeyId, held: &Held) -> bool {
    let public = key.key.verifying_key().to_bytes();
    let gone = held.certified(id) != Some(public);
    let signed_before = key.release_signed_at.is_some_and(|signed| held.applied_index >= signed);
    held.released.contains(&(id, public)) || (signed_before && gone)
}
