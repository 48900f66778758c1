//! The node's own keys, and the publishers' certificates for them.
//!
//! Certificates are replicated; the private key is not. With both, and on the machine on which the key was made (R23), the
//! node signs answers. On another machine it signs nothing but the request to be activated again, with a new key and the
//! old one, so that the publisher knows the host (R31).
//!
//! Invariant: a key is destroyed only when the state says that another one is certified in its place, or that the node's
//! own statement gave the place back.

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

/// The secret of a private key that a node makes for a host key; where its machine changed, in place of the key whose public
/// half is given. A daemon takes the operating system's randomness.
pub(crate) type NewSecret = fn(NodeId, KeyId, Option<&VerifyingKey>) -> io::Result<[u8; 32]>;

/// A certificate and the private key that it certifies.
#[derive(Debug)]
pub(crate) struct Credential {
    pub(crate) certificate: NodeCertificate,
    pub(crate) key: SigningKey,
}

/// Why a certificate of this node is good for nothing here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Unusable {
    /// The machine is no longer the one on which the key was made.
    MachineChanged,
    /// The private key is not in the folder.
    KeyLost,
}

/// What the node can sign, and what it cannot although it is certified.
#[derive(Debug, Default)]
pub(crate) struct SigningKeys {
    usable: BTreeMap<(PublisherId, KeyId), Arc<Credential>>,
    unusable: BTreeMap<(PublisherId, KeyId), Unusable>,
}

/// What the applied state says of this node.
#[derive(Clone, Debug, Default)]
pub(crate) struct Held {
    /// The entry after which the state is so.
    applied_index: u64,
    certificates: BTreeMap<(PublisherId, KeyId), NodeCertificate>,
    /// Key and node key of places that were given back and wait for the publisher.
    released: BTreeSet<(KeyId, [u8; 32])>,
}

/// What signs a request to the publisher.
#[derive(Debug)]
pub(crate) struct Signers {
    /// To be certified.
    pub(crate) key: SigningKey,
    /// Of this host before its machine changed.
    pub(crate) previous: Option<SigningKey>,
    /// What `key` is bound to.
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
    /// From the state after the entry at `applied_index`.
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
    /// What may sign a request on this machine: the next key, which waits for its certificate, before the current one.
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
    /// Loads the private keys in `folder`, and changes nothing there. Keys that are made from now on are of `new_secret`.
    pub(crate) fn load(node: NodeId, folder: &Path, hardware: Hardware, new_secret: NewSecret) -> io::Result<Self> {
        let folder = KeyFolder::at(folder);
        let inner = KeyRing { keys: folder.load()?, machine: hardware.identity(), held: Held::default() };
        Ok(Self { node, folder, hardware, new_secret, inner: Mutex::new(inner), signing_keys: RwLock::default() })
    }

    pub(crate) fn node(&self) -> NodeId {
        self.node
    }

    /// Takes note of what is replicated now: promotes and destroys keys, and works out what can be signed. What is
    /// older than what was noted before is passed over.
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

    /// Whether the node has to be activated with this key for the first time or again, by what it knows of itself.
    pub(crate) fn is_in_need(&self, id: KeyId) -> bool {
        self.look_at_machine();
        let inner = self.inner();
        let Some(certified) = inner.held.certified(id) else { return true };
        let current = inner.keys.get(&id).and_then(|keys| keys.current.as_ref());
        !current.is_some_and(|current| is_of(current, certified) && is_at_home(current, &inner.machine))
    }

    /// What signs a request for this host key: made now where there is nothing that may, the same until it is certified.
    pub(crate) fn signers(&self, id: KeyId) -> io::Result<Signers> {
        self.look_at_machine();
        let mut inner = self.inner();
        let KeyRing { keys, machine, .. } = &mut *inner;
        let waiting = keys.get(&id).and_then(|keys| keys.waiting(machine));
        waiting.map_or_else(|| self.make(&mut inner, id), Ok)
    }

    /// The same with a key that is made now, where the publisher gives nothing for the one that the node has: its slot was
    /// freed, or the file is an old copy. Until the new key is certified the other one stays and signs what it signed.
    pub(crate) fn new_signers(&self, id: KeyId) -> io::Result<Signers> {
        self.look_at_machine();
        self.make(&mut self.inner(), id)
    }

    /// Makes a key for this host key: the next one where there is one.
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

    /// Signs that the node gives its place back. Signed again it is the same statement; the key lives until the state
    /// says that the place is given back.
    pub(crate) fn release(&self, publisher: PublisherId, id: KeyId) -> io::Result<ReleaseStatement> {
        let mut inner = self.inner();
        let KeyRing { keys, held, .. } = &mut *inner;
        let certificate = held.certificates.get(&(publisher, id));
        let certificate = certificate.ok_or_else(|| io::Error::other("it holds no certificate for this key"))?;
        let current = keys.get_mut(&id).and_then(|keys| keys.current.as_mut());
        let current = current.filter(|current| is_of(current, certificate.node_key)).ok_or_else(|| {
            io::Error::other("its private key is lost, so it cannot sign: ask the publisher to free the place")
        })?;
        if current.release_signed_at.is_none() {
            let signed = PrivateKey { release_signed_at: Some(held.applied_index), ..current.clone() };
            self.folder.write(id, KeyFile::Current, &signed)?;
            *current = signed;
        }
        Ok(ReleaseStatement::sign(publisher, id, self.node, &current.key))
    }

    /// What signs answers under this host key, where the node has it.
    pub(crate) fn get(&self, publisher: PublisherId, id: KeyId) -> Option<Arc<Credential>> {
        self.signing_keys().usable.get(&(publisher, id)).cloned()
    }

    /// Why the node cannot sign with one of its certificates of this publisher, whatever the count says.
    pub(crate) fn barred(&self, publisher: PublisherId) -> Option<Unusable> {
        let signing_keys = self.signing_keys();
        signing_keys.unusable.iter().filter(|((of, _), _)| *of == publisher).map(|(_, why)| *why).min()
    }

    /// The keys that the node is certified for and cannot sign with.
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

    /// Brings the folder in line with the state. Every step can be repeated, and a crash between two loses nothing.
    fn settle(&self, inner: &mut KeyRing) -> io::Result<()> {
        let KeyRing { keys, held, .. } = inner;
        for (&id, keys) in keys.iter_mut() {
            let certified = held.certified(id);
            let is_next = |next: &PrivateKey| certified.is_some_and(|certified| is_of(next, certified));
            if keys.next.as_ref().is_some_and(is_next) {
                self.folder.promote(id)?;
                tracing::info!(key = %id, "the key of the changed machine is certified and takes the old one's place");
                keys.current = keys.next.take();
            }
            if keys.current.as_ref().is_some_and(|current| is_given_back(current, id, held)) {
                // The current key last: as long as it is there the folder still says that both have to go.
                self.folder.destroy(id, KeyFile::Next)?;
                keys.next = None;
                self.folder.destroy(id, KeyFile::Current)?;
                keys.current = None;
                tracing::info!(key = %id, "the node's place was given back: its private key is destroyed");
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
                    "this is not the machine that was activated: activate the node again with `quorate key activate --reactivate`, \
                     which spends a re-activation"
                ),
                // A node that has just started knows an older state than its folder, until the log is applied.
                Unusable::KeyLost => tracing::warn!(
                    key = %key.1,
                    "as far as the log is applied here, this node is certified for a private key that it does not have;                      if it stays so, activate the node again with `quorate key activate`"
                ),
            }
        }
        *known = Arc::new(signing_keys);
    }
}

impl Unusable {
    /// Half a sentence.
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

/// Its own statement waits for the publisher; or it signed one at a time when it was certified, and now it is not.
fn is_given_back(key: &PrivateKey, id: KeyId, held: &Held) -> bool {
    let public = key.key.verifying_key().to_bytes();
    let gone = held.certified(id) != Some(public);
    let signed_before = key.release_signed_at.is_some_and(|signed| held.applied_index >= signed);
    held.released.contains(&(id, public)) || (signed_before && gone)
}
