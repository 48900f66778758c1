//! For a simulation of a cluster: the parts of a host that decide on requests, unchanged from the daemon.
//!
//! They need a replica, a folder for private keys and a description of the machine, but no sockets, event files,
//! metrics or DNS. They start no thread and no task, read only the clocks of the tokio runtime and of the replica,
//! and take no randomness from the operating system. Files below the two folders are read and written synchronously.

use std::{io, path::Path, sync::Arc, time::Duration};

use activation::{
    VerifyingKey,
    id::{KeyId, NodeId},
    message::ValidRequest,
    status::Status,
};
use dcerpc::fault;
use machine::Choice;
use replication::Replica;
use sha2::{Digest, Sha256};
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

use crate::{
    client_port::decider::Decider,
    credentials::{
        Credentials,
        follow::{ConfigurationChanges, take_note},
        hardware::Hardware,
    },
    lifecycle::{
        draining::{Begun, Draining, Phase, Then},
        readiness::Readiness,
    },
    limits::STOP_DEADLINE,
    records::new_cmids::NewCmids,
};

/// The parts of a host that decide on requests. Clones are the same host.
#[derive(Clone)]
pub struct AnsweringHost {
    decider: Decider,
    readiness: Arc<Readiness>,
    draining: Arc<Draining>,
    requests: Arc<watch::Sender<Requests>>,
}

/// The requests of clients, as the server of port 1688 counts them by their connections.
#[derive(Debug, Default)]
struct Requests {
    /// The number of requests in progress.
    open: usize,
    /// Whether new requests are refused.
    closed: bool,
}

impl AnsweringHost {
    /// Creates the host of a replica that has started. `keys` is the folder of the node's private keys;
    /// `machine_root` is the folder in place of `/` below which the description of the machine is read.
    ///
    /// Errors: a private key in the folder cannot be read.
    pub fn new(replica: Replica, keys: &Path, machine_root: &Path) -> io::Result<Self> {
        let node = replica.identity().owner;
        let credentials = Arc::new(Credentials::load(
            node,
            keys,
            Hardware::at(machine_root, Choice::automatic(machine_root)),
            derived_secret,
        )?);
        take_note(&replica, &credentials);
        let draining = Arc::new(Draining::default());
        let readiness = Readiness::new(replica.clone(), Arc::clone(&credentials), Arc::clone(&draining), None);
        Ok(Self {
            decider: Decider { replica, credentials, new_cmids: Arc::new(NewCmids::new(0)) },
            readiness: Arc::new(readiness),
            draining,
            requests: Arc::default(),
        })
    }

    /// Updates the private keys to the applied state whenever its configuration changes, until the replica stops.
    /// The caller runs this in a task of its own.
    pub async fn follow(self) {
        let Decider { replica, credentials, .. } = &self.decider;
        let mut changes = ConfigurationChanges::of(replica);
        let followed = async {
            while changes.next().await.is_some() {
                take_note(replica, credentials);
            }
        };
        tokio::select! {
            biased;
            _stopped = replica.failed() => {}
            () = followed => {}
        }
    }

    /// The public key that a publisher has to certify for a host key. The key is made if there is none.
    ///
    /// The private key is derived from the node's number and the host key, and, where the machine changed, from the
    /// key that it replaces. A key that was lost, or whose slot was released, is therefore made again identically.
    ///
    /// Errors: the private key cannot be written.
    pub fn node_key(&self, key: KeyId) -> io::Result<[u8; 32]> {
        let Decider { replica, credentials, .. } = &self.decider;
        take_note(replica, credentials);
        Ok(credentials.signers(key)?.key.verifying_key().to_bytes())
    }

    /// Why this node may not answer clients, as text; `None` where it may.
    pub fn unready_because(&self) -> Option<String> {
        self.readiness.unready_because()
    }

    /// The answer to an encoded request, and its status. With a refusal the answer holds human-readable advice.
    ///
    /// Once [`stop_when_drained`](Self::stop_when_drained) stops the node, a request is not recorded, and its status
    /// is that of a node without a leader: a client of the daemon would find port 1688 closed.
    ///
    /// Errors: the status of a DCE/RPC fault where the request is malformed.
    pub async fn answer(&self, request: &[u8]) -> Result<(Vec<u8>, Status), u32> {
        let request = ValidRequest::decode(request).map_err(|_| fault::BAD_STUB_DATA)?;
        let Some(_open) = OpenRequest::begin(&self.requests) else {
            return Ok((Vec::new(), Status::HOST_UNAVAILABLE));
        };
        let decision = self.decider.decide(None, &request).await;
        Ok(self.decider.answer(&request, &decision).await)
    }

    /// Begins a drain that ends after `wait`: from now on the node is not ready, but still answers. If a drain was
    /// begun before, its end does not change.
    pub fn drain(&self, wait: Duration) {
        if !matches!(self.draining.phase(), Phase::Until { .. }) {
            Begun::new(&self.draining).ends(Instant::now() + wait, Then::Stop);
        }
    }

    /// Waits until a drain is over, and stops the node as the daemon does: announces the stop to the other members,
    /// accepts no new requests, finishes open ones within [`STOP_DEADLINE`], hands leadership over, and shuts the
    /// replica down.
    pub async fn stop_when_drained(&self) {
        self.draining.over().await;
        self.decider.replica.say_farewell().await;
        self.requests.send_modify(|requests| requests.closed = true);
        let mut requests = self.requests.subscribe();
        if timeout(STOP_DEADLINE, requests.wait_for(|requests| requests.open == 0)).await.is_err() {
            tracing::warn!("some requests were still open at the deadline");
        }
        self.decider.replica.shutdown().await;
    }
}

/// A request in progress, until it is dropped.
struct OpenRequest<'a>(&'a watch::Sender<Requests>);

impl<'a> OpenRequest<'a> {
    /// Begins a request; `None` where new requests are refused.
    fn begin(requests: &'a watch::Sender<Requests>) -> Option<Self> {
        let is_taken = requests.send_if_modified(|requests| {
            requests.open += usize::from(!requests.closed);
            !requests.closed
        });
        is_taken.then(|| Self(requests))
    }
}

impl Drop for OpenRequest<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|requests| requests.open -= 1);
    }
}

/// A replacement for the operating system's randomness: the same in every run, and not secret.
fn derived_secret(node: NodeId, key: KeyId, replaced: Option<&VerifyingKey>) -> io::Result<[u8; 32]> {
    let mut digest = Sha256::new_with_prefix(b"quorate/simulated-node-key/1");
    digest.update(node.to_be_bytes());
    digest.update(key.0);
    if let Some(replaced) = replaced {
        digest.update(replaced.as_bytes());
    }
    Ok(digest.finalize().into())
}
