//! Signs what only this node can sign: requests to the publisher for a certificate, and statements that release a
//! slot.

use std::sync::Arc;

use activation::{
    catalog::Name,
    certificate::NodeCertificate,
    host_activation::{ActivationRequests, HostActivation, HostActivationRequest},
    id::{CertificateId, InvalidId, KeyId},
    state::State,
};
use api::node::v1::{SignActivationRequest, SignReleaseRequest};
use bytes::Bytes;
use replication::{Replica, Unavailable};
use sha2::{Digest, Sha256};
use tonic::Status;

use crate::credentials::{Credentials, Signers, follow::take_note, hardware::Hardware};

/// Why nothing was signed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SigningError {
    /// The key id in the request is malformed.
    #[error(transparent)]
    Key(#[from] InvalidId),
    /// No leader confirmed that this node's state is up to date.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// The key is not in this node's state.
    #[error("key {0} is not installed on this node yet")]
    NotInstalled(KeyId),
    /// There is no private key to sign with, and none could be made.
    #[error("no private key: {0}")]
    NoPrivateKey(std::io::Error),
    /// The node's credentials refused to sign a release.
    #[error("{0}")]
    Release(std::io::Error),
}

impl From<SigningError> for Status {
    fn from(error: SigningError) -> Self {
        Self::failed_precondition(error.to_string())
    }
}

/// Signs with this node's keys.
pub(crate) struct Signer {
    pub(crate) replica: Replica,
    pub(crate) credentials: Arc<Credentials>,
    pub(crate) platform: Name,
    pub(crate) hardware: Hardware,
}

impl Signer {
    /// The encoded request for a certificate. Empty where the node needs none and the caller asked for a needed one
    /// only. A certificate that is to be renewed is needed.
    pub(crate) async fn activation(&self, asked: &SignActivationRequest) -> Result<Bytes, SigningError> {
        // Catch up first, so that a key that was just installed through another node is in this node's state.
        self.replica.read_point().await?;
        let key_id = KeyId::try_from(asked.key_id.as_ref())?;
        let identity = self.replica.identity();
        let (key, current, is_due) = self
            .replica
            .view(|state| {
                let installed = state.keys().find(|installed| installed.id == key_id)?;
                let own = installed.activations.get(&identity.owner).map(|activation| &activation.certificate);
                let is_due = own.is_some_and(|own| is_due(state, own));
                Some((*installed.key, own.map(NodeCertificate::id), is_due))
            })
            .ok_or(SigningError::NotInstalled(key_id))?;
        take_note(&self.replica, &self.credentials);
        if asked.only_if_needed && !is_due && !self.credentials.is_in_need(key_id) {
            return Ok(Bytes::new());
        }
        let signers =
            if asked.new_key { self.credentials.new_signers(key_id) } else { self.credentials.signers(key_id) };
        let signers = signers.map_err(SigningError::NoPrivateKey)?;
        let mut request = HostActivation {
            request_id: [0; 16],
            node: identity.owner,
            key,
            platform: self.platform.clone(),
            machine: self.hardware.digest(identity.store),
            identity: signers.identity,
        };
        request.request_id = request_id(&request, &signers, current);
        let requests = vec![HostActivationRequest::sign(request, &signers.key, signers.previous.as_ref())];
        Ok(ActivationRequests { requests, releases: Vec::new() }.encode().into())
    }

    /// The encoded statement that this node releases its slot of a key.
    pub(crate) async fn release(&self, asked: &SignReleaseRequest) -> Result<Bytes, SigningError> {
        self.replica.read_point().await?;
        let key_id = KeyId::try_from(asked.key_id.as_ref())?;
        take_note(&self.replica, &self.credentials);
        let publisher = self.replica.view(|state| {
            let installed = state.keys().find(|installed| installed.id == key_id)?;
            Some(installed.publisher)
        });
        let publisher = publisher.ok_or(SigningError::NotInstalled(key_id))?;
        let statement = self.credentials.release(publisher, key_id).map_err(SigningError::Release)?;
        Ok(statement.encode().into())
    }
}

/// Whether a certificate is due for renewal, on the clock for expiry.
pub(crate) fn is_due(state: &State, certificate: &NodeCertificate) -> bool {
    state.expiry_ms().is_some_and(|now_ms| certificate.validity().is_due_at(now_ms))
}

/// The id of a request, which stays the same until the publisher's answer is installed: a request that is repeated
/// because its answer was lost spends nothing twice. A request that differs in any part has another id.
fn request_id(asked: &HostActivation, signers: &Signers, current: Option<CertificateId>) -> [u8; 16] {
    let mut digest = Sha256::new();
    digest.update(b"quorate/request/2");
    digest.update(signers.key.verifying_key().as_bytes());
    digest.update(signers.previous.as_ref().map_or([0; 32], |key| key.verifying_key().to_bytes()));
    digest.update(asked.machine);
    digest.update(asked.node.to_be_bytes());
    digest.update(asked.platform.as_str());
    digest.update([0]);
    digest.update(current.as_ref().map_or(&[][..], AsRef::as_ref));
    let mut id = [0; 16];
    id.iter_mut().zip(digest.finalize()).for_each(|(to, from)| *to = from);
    id
}
