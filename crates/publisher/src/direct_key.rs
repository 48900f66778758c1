//! Issued direct keys: each activates machines of one product, without a host (R24).

use activation::{
    catalog::Name,
    direct::{DirectCertificate, DirectRequest},
    id::{KeyId, ProductId},
    key::{KeyKind, TypedKey},
    status::Status,
};

use crate::{
    clock,
    credential::CredentialError,
    entropy::random,
    issued::DirectKey,
    key::{ChangeError, IssueError},
    limits::DIRECT_ACTIVATIONS_MAX,
    publisher::Publisher,
    records::{Change, RecordsError},
};

/// Why a machine was not activated. No activation was used, except where the outcome of a write is unknown; a retry
/// then gets the recorded result.
#[derive(Debug, thiserror::Error)]
pub enum DirectError {
    /// The rules refuse the request.
    #[error("the machine was not activated: {status} {0}", status = .0.status())]
    Refused(DirectReason),
    /// No activation key is available to sign with.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// The records could not be read or written.
    #[error(transparent)]
    Records(#[from] RecordsError),
}

/// Why a machine gets no direct certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DirectReason {
    /// The key is a host key or a setup key.
    #[error("a direct key is needed, but this is a {0}")]
    WrongKind(KeyKind),
    /// This publisher did not issue the key.
    #[error("this publisher issued no such key")]
    UnknownKey,
    /// The key is blocked on record, or in the last signed catalog.
    #[error("the key is blocked")]
    KeyBlocked,
    /// The key was issued for another product.
    #[error("the key is for product `{0}`")]
    OtherProduct(Name),
    /// R24: every activation of the key is used.
    #[error("the limit of {limit} machines of this key is reached")]
    UsedUp {
        /// The number of machines that the key activates.
        limit: u32,
    },
}

impl DirectReason {
    /// The HRESULT of the reason.
    pub fn status(&self) -> Status {
        match self {
            Self::WrongKind(_) | Self::UnknownKey => Status::KEY_INVALID,
            Self::KeyBlocked => Status::KEY_BLOCKED,
            Self::OtherProduct(_) => Status::KEY_DOES_NOT_COVER_PRODUCT,
            Self::UsedUp { .. } => Status::KEY_LIMIT_REACHED,
        }
    }
}

impl Publisher {
    /// Activates one machine with a direct key (R24). The record is durable before the certificate is returned. The
    /// same machine and CMID get the same certificate again and use no further activation.
    pub async fn activate_directly(&self, request: &DirectRequest) -> Result<DirectCertificate, DirectError> {
        let trust = self.trust();
        let activation_key = self.credentials.activation(&trust)?;
        let refused = |reason| Err(DirectError::Refused(reason));
        if request.key.kind() != KeyKind::Direct {
            return refused(DirectReason::WrongKind(request.key.kind()));
        }
        let turn = self.records.turn().await?;
        let id = request.key.key_id();
        let Some(mut key) = self.records.direct_key(id)?.filter(|key| key.key == request.key) else {
            return refused(DirectReason::UnknownKey);
        };
        let catalog = trust.catalog.as_ref();
        if key.blocked || catalog.is_some_and(|catalog| catalog.catalog.blocked_keys().contains(&id)) {
            return refused(DirectReason::KeyBlocked);
        }
        if request.product != ProductId::derive(trust.publisher, key.product.as_str()) {
            return refused(DirectReason::OtherProduct(key.product));
        }
        if let Some(earlier) = self.records.direct_activation(id, request.machine, request.cmid)? {
            return Ok(earlier);
        }
        if key.used >= key.activations {
            return refused(DirectReason::UsedUp { limit: key.activations });
        }
        key.used += 1;
        let issued_minutes = u32::try_from(clock::now_ms() / 60_000).unwrap_or(u32::MAX);
        let certificate = DirectCertificate::issue(trust.publisher, request, issued_minutes, activation_key);
        let mut change = Change::default();
        change.direct_key(&key)?;
        change.direct_activation(&certificate)?;
        self.records.commit(turn, change).await?;
        Ok(certificate)
    }

    /// Issues a direct key for a product of the last signed catalog. The key is on record before it is returned.
    pub async fn issue_direct_key(&self, product: &str, activations: u32) -> Result<DirectKey, IssueError> {
        let trust = self.trust();
        let catalog = &trust.catalog.as_ref().ok_or(IssueError::NoCatalog)?.catalog;
        let unknown = || IssueError::UnknownProduct { product: product.to_owned() };
        let product = catalog.product(product).ok_or_else(unknown)?;
        if !(1..=DIRECT_ACTIVATIONS_MAX).contains(&activations) {
            return Err(IssueError::DirectLimit);
        }
        let key = DirectKey {
            key: TypedKey::generate(KeyKind::Direct, product.group, random()?),
            product: product.name.clone(),
            activations,
            used: 0,
            issued_ms: clock::now_ms(),
            blocked: false,
        };
        let turn = self.records.turn().await?;
        let mut change = Change::default();
        change.direct_key(&key)?;
        self.records.commit(turn, change).await?;
        Ok(key)
    }

    /// Every direct key, by id.
    pub fn direct_keys(&self) -> Result<Vec<DirectKey>, RecordsError> {
        self.records.direct_keys()
    }

    /// The direct key with this id.
    pub fn direct_key(&self, id: KeyId) -> Result<DirectKey, ChangeError> {
        self.records.direct_key(id)?.ok_or(ChangeError::UnknownKey { id })
    }

    /// Blocks the direct key: later activations are refused. Machines that it activated stay activated.
    pub async fn block_direct(&self, id: KeyId) -> Result<DirectKey, ChangeError> {
        let turn = self.records.turn().await?;
        let mut key = self.direct_key(id)?;
        key.blocked = true;
        let mut change = Change::default();
        change.direct_key(&key)?;
        self.records.commit(turn, change).await?;
        Ok(key)
    }
}
