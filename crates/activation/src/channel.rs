//! How a machine is activated: by a host that counts it, or directly by its publisher (R24, R35).

use thiserror::Error;

use crate::catalog::{Catalog, Name};
use crate::direct::DirectCertificate;
use crate::id::{Cmid, KeyId, MachineDigest, ProductId};
use crate::key::{KeyKind, TypedKey};
use crate::status::Status;
use crate::trust::Trust;

/// The kind of activation that the last installed key selects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Channel {
    /// A setup key: the machine asks hosts.
    Volume { product: Name, setup_key: TypedKey },
    /// A direct key: the machine asks its publisher, once.
    Direct {
        product: Name,
        key: DirectKey,
        /// The publisher's certificate; `None` until the machine is activated.
        certificate: Option<DirectCertificate>,
    },
}

/// A direct key in a machine's stored state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DirectKey {
    Typed(TypedKey),
    /// The id of a key that was cleared after the activation. It can no longer activate a machine.
    Cleared(KeyId),
}

impl DirectKey {
    #[must_use]
    pub fn id(&self) -> KeyId {
        match self {
            Self::Typed(key) => key.key_id(),
            Self::Cleared(id) => *id,
        }
    }
}

/// Why a key was not cleared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the direct key cannot be cleared: the machine is not activated with it yet; activate the machine first")]
pub struct KeyStillNeeded;

/// Why a key was not installed on a client.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InstallKeyError {
    #[error("a host key cannot be installed on a client machine: install a setup key or a direct key")]
    HostKey,
    #[error("the publisher's catalog does not contain this setup key: check the key, or get a newer trust file")]
    UnknownSetupKey,
    #[error("the product of the direct key is unknown: install the product's setup key first, or give --product")]
    NoProduct,
    #[error("the publisher's catalog has no product `{0}`")]
    UnknownProduct(Name),
}

impl InstallKeyError {
    /// The HRESULT of the error.
    #[must_use]
    pub fn status(&self) -> Status {
        Status::KEY_INVALID
    }
}

/// Why a certificate of a direct activation does not activate this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DirectError {
    #[error("this machine was not activated by its publisher yet")]
    NotYet,
    #[error("the direct certificate is not signed by this publisher")]
    Signature,
    #[error("the direct certificate was issued for another key, product or CMID")]
    ForAnother,
    #[error("the direct certificate was issued for another machine")]
    Machine,
    #[error("the publisher blocked the direct key")]
    Blocked,
}

impl DirectError {
    /// The HRESULT of the error.
    #[must_use]
    pub fn status(self) -> Status {
        match self {
            Self::NotYet | Self::Signature | Self::ForAnother => Status::KEY_INVALID,
            Self::Machine => Status::HARDWARE_OUT_OF_TOLERANCE,
            Self::Blocked => Status::KEY_BLOCKED,
        }
    }
}

impl Channel {
    #[must_use]
    pub fn product(&self) -> &Name {
        match self {
            Self::Volume { product, .. } | Self::Direct { product, .. } => product,
        }
    }

    /// The channel after `key` is installed on a machine whose channel is `before`. A direct key is for `product`,
    /// or, where that is `None`, for the product that is set up. Installing the same direct key again keeps the
    /// publisher's certificate.
    pub fn install_key(
        before: Option<&Self>,
        key: TypedKey,
        product: Option<Name>,
        catalog: &Catalog,
    ) -> Result<Self, InstallKeyError> {
        match key.kind() {
            KeyKind::Host => Err(InstallKeyError::HostKey),
            KeyKind::Setup => {
                let (product, edition) = catalog.by_setup_key(&key).ok_or(InstallKeyError::UnknownSetupKey)?;
                Ok(Self::Volume { product: product.name.clone(), setup_key: edition.setup_key })
            }
            KeyKind::Direct => {
                let product = product.or_else(|| before.map(|before| before.product().clone()));
                let product = product.ok_or(InstallKeyError::NoProduct)?;
                if catalog.product(product.as_str()).is_none() {
                    return Err(InstallKeyError::UnknownProduct(product));
                }
                let kept = before.and_then(|before| before.certificate_of(&product, key));
                Ok(Self::Direct { product, key: DirectKey::Typed(key), certificate: kept.cloned() })
            }
        }
    }

    /// The publisher's certificate for exactly this key and product.
    fn certificate_of(&self, product: &Name, key: TypedKey) -> Option<&DirectCertificate> {
        match self {
            Self::Direct { product: held, key: held_key, certificate }
                if held == product && held_key.id() == key.key_id() =>
            {
                certificate.as_ref()
            }
            _ => None,
        }
    }

    /// Replaces a direct key by its id, which suffices to verify its certificate. A setup key is public and stays.
    pub fn clear_key(&self) -> Result<Self, KeyStillNeeded> {
        match self {
            Self::Volume { .. } => Ok(self.clone()),
            Self::Direct { certificate: None, .. } => Err(KeyStillNeeded),
            Self::Direct { product, key, certificate } => {
                let (product, certificate) = (product.clone(), certificate.clone());
                Ok(Self::Direct { product, key: DirectKey::Cleared(key.id()), certificate })
            }
        }
    }

    /// Checks whether a directly activated machine is activated. Every check is repeated each time, so a changed
    /// copy of the stored certificate does not verify. A volume machine is not activated directly.
    pub fn check_direct(&self, trust: &Trust, cmid: Cmid, machine: MachineDigest) -> Result<(), DirectError> {
        let Self::Direct { product, key, certificate: Some(certificate) } = self else {
            return Err(DirectError::NotYet);
        };
        certificate.verify(&trust.activation_keys).map_err(|_| DirectError::Signature)?;
        let product = ProductId::derive(trust.publisher, product.as_str());
        let given_for = (certificate.publisher, certificate.key, certificate.product, certificate.cmid);
        if given_for != (trust.publisher, key.id(), product, cmid) {
            return Err(DirectError::ForAnother);
        }
        if certificate.machine != machine {
            return Err(DirectError::Machine);
        }
        let blocked = trust.catalog.as_ref().map(|opened| opened.catalog.blocked_keys());
        if blocked.is_some_and(|blocked| blocked.contains(&certificate.key)) {
            return Err(DirectError::Blocked);
        }
        Ok(())
    }
}
