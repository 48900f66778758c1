//! A publisher with the example catalog, and nodes with requests.

use std::future::Future;
use std::path::{Path, PathBuf};

use activation::SigningKey;
use activation::host_activation::{
    ActivationAnswers, ActivationRequests, HostActivation, HostActivationRequest, IdentityKind,
};
use activation::id::{MachineDigest, NodeId};
use activation::key::TypedKey;
use publisher::{ActivateError, Host, IssuedKey, KeyLimits, Publisher, Reason};

pub(crate) const EXAMPLE: &str = include_str!("../../../../deploy/catalogs/example.toml");
pub(crate) const STANDARD: &str = "server-standard-and-enterprise";

/// Runs one call of the library.
pub(crate) fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// The example catalog with a change to its text, which must apply.
pub(crate) fn example_with(from: &str, to: &str) -> String {
    assert!(EXAMPLE.contains(from), "the example catalog has no {from:?}");
    EXAMPLE.replacen(from, to, 1)
}

pub(crate) struct World {
    /// The guard that deletes the folder at the end.
    pub(crate) _temporary: tempfile::TempDir,
    pub(crate) folder: PathBuf,
    pub(crate) publisher: Publisher,
}

impl World {
    /// A publisher that has signed no catalog yet.
    pub(crate) fn new() -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let folder = temporary.path().join("publisher");
        let publisher = Publisher::init(&folder, None, None).unwrap();
        Self { _temporary: temporary, folder, publisher }
    }

    /// A publisher that has signed the example catalog.
    pub(crate) fn with_catalog() -> Self {
        let world = Self::new();
        world.publisher.sign_catalog(EXAMPLE, None).unwrap();
        world
    }

    /// Closes the folder and opens it again.
    pub(crate) fn reopened(self) -> Self {
        let Self { _temporary, folder, publisher } = self;
        drop(publisher);
        let publisher = open_when_closed(&folder);
        Self { _temporary, folder, publisher }
    }

    /// A key of group server-b.
    pub(crate) fn key(&self, limits: KeyLimits) -> TypedKey {
        run(self.publisher.issue_key("server-b", limits)).unwrap().key
    }

    pub(crate) fn activate(
        &self,
        requests: impl IntoIterator<Item = HostActivationRequest>,
    ) -> Result<ActivationAnswers, ActivateError> {
        let signed = run(self.publisher.activate(&file(requests)))?;
        signed.verify(&self.publisher.trust().activation_keys).unwrap();
        Ok(signed.answers().clone())
    }

    /// The refusals of the requests, in their order.
    pub(crate) fn refusals(&self, requests: impl IntoIterator<Item = HostActivationRequest>) -> Vec<(NodeId, Reason)> {
        match self.activate(requests) {
            Err(ActivateError::Refused(refusals)) => {
                refusals.0.into_iter().map(|refusal| (refusal.node, refusal.reason)).collect()
            }
            other => panic!("expected refusals, found {other:?}"),
        }
    }

    pub(crate) fn on_record(&self, key: &TypedKey) -> IssuedKey {
        self.publisher.keys().unwrap().into_iter().find(|issued| issued.key == *key).unwrap()
    }

    pub(crate) fn hosts(&self, key: &TypedKey) -> Vec<Host> {
        self.on_record(key).hosts
    }
}

/// Opens a folder whose previous owner in this process is being dropped: its writing thread ends by itself.
pub(crate) fn open_when_closed(folder: &Path) -> Publisher {
    for _ in 0..1_000_000 {
        match Publisher::open(folder) {
            Err(publisher::OpenError::Records(publisher::RecordsError::Open(storage::OpenError::InUse { .. }))) => {
                std::thread::yield_now();
            }
            opened => return opened.unwrap(),
        }
    }
    panic!("{} stays in use", folder.display());
}

pub(crate) fn file(requests: impl IntoIterator<Item = HostActivationRequest>) -> ActivationRequests {
    ActivationRequests { requests: requests.into_iter().collect(), releases: Vec::new() }
}

pub(crate) fn node_key(number: u8) -> SigningKey {
    SigningKey::from_bytes(&[number; 32])
}

/// The request of host number `host`, with its own machine and node key. `attempt` makes its requests distinct.
pub(crate) fn asked(key: &TypedKey, host: u8, attempt: u8) -> HostActivation {
    let mut request_id = [host; 16];
    request_id[0] = attempt;
    HostActivation {
        request_id,
        node: host.into(),
        key: *key,
        platform: STANDARD.parse().unwrap(),
        machine: MachineDigest([host; 8]),
        identity: IdentityKind::Machine,
    }
}

pub(crate) fn sign(asked: HostActivation, node_key: &SigningKey) -> HostActivationRequest {
    HostActivationRequest::sign(asked, node_key, None)
}

pub(crate) fn request(key: &TypedKey, host: u8, attempt: u8) -> HostActivationRequest {
    sign(asked(key, host, attempt), &node_key(host))
}
