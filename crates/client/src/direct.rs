//! Direct activation (R24): once, with the publisher, using a direct key.

use activation::certificate::CertificateError;
use activation::channel::{Channel, DirectError, DirectKey};
use activation::direct::{DirectCertificate, DirectRequest};
use activation::hresult;
use activation::id::ProductId;
use activation::status::Status;
use activation::trust::Trust;
use machine::Machine;
use thiserror::Error;

use crate::publishing::{Publishing, PublishingError};
use crate::request::{NoEntropy, random};
use crate::state::{StateError, StateFolder};

/// Why a machine was not activated directly. Its state is unchanged.
#[derive(Debug, Error)]
pub enum DirectActivationError {
    #[error("no direct key is installed")]
    NoDirectKey,
    #[error("the direct key was cleared after this machine was activated: install it again")]
    KeyCleared,
    #[error(transparent)]
    Publishing(#[from] PublishingError),
    #[error("the publisher's service sent no valid certificate: {0}")]
    Certificate(#[from] CertificateError),
    /// The service returned a certificate that does not activate this machine.
    #[error(transparent)]
    NotForThis(#[from] DirectError),
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    NoEntropy(#[from] NoEntropy),
}

impl DirectActivationError {
    /// The HRESULT of the error.
    #[must_use]
    pub fn status(&self) -> Status {
        match self {
            Self::Publishing(error) => error.status(),
            Self::NotForThis(error) => error.status(),
            Self::State(error) => error.status(),
            Self::NoDirectKey | Self::KeyCleared => hresult::NOT_INSTALLED,
            Self::Certificate(_) => hresult::INVALID_DATA,
            Self::NoEntropy(_) => hresult::NO_ENTROPY,
        }
    }
}

/// Exchanges the installed direct key for this machine's certificate, verifies the certificate and stores it. The
/// same machine with the same key and CMID uses no second activation.
pub async fn activate_directly(
    state: &mut StateFolder,
    trust: &Trust,
    machine: &Machine,
    service: &Publishing,
) -> Result<DirectCertificate, DirectActivationError> {
    let Some(Channel::Direct { product, key, .. }) = state.channel().cloned() else {
        return Err(DirectActivationError::NoDirectKey);
    };
    let DirectKey::Typed(typed) = key else { return Err(DirectActivationError::KeyCleared) };
    let request = DirectRequest {
        request_id: random()?,
        key: typed,
        product: ProductId::derive(trust.publisher, product.as_str()),
        cmid: state.cmid(),
        machine: machine.digest,
    };
    let answer = service.activate_directly(request.encode()).await?;
    let certificate = DirectCertificate::decode(&answer)?;
    let channel = Channel::Direct { product, key, certificate: Some(certificate.clone()) };
    channel.check_direct(trust, state.cmid(), machine.digest)?;
    state.set_channel(channel)?;
    Ok(certificate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_direct_activation_that_fails_on_this_machine_has_the_status_of_its_reason() {
        let no_entropy = || NoEntropy::from(getrandom::Error::UNSUPPORTED);
        let table: [(DirectActivationError, u32); 10] = [
            (DirectActivationError::NoDirectKey, 0x8007_0490),
            (DirectActivationError::KeyCleared, 0x8007_0490),
            (PublishingError::Certificates("not PEM").into(), 0x8007_000D),
            (DirectActivationError::Certificate(CertificateError::Signature), 0x8007_000D),
            (DirectError::NotYet.into(), 0xC004_F050),
            (DirectError::Machine.into(), 0xC004_F00F),
            (DirectError::Blocked.into(), 0xC004_F051),
            (StateError::Denied { path: "client.toml".into() }.into(), 0x8007_0005),
            (StateError::InUse { folder: "machine".into() }.into(), 0x8007_0020),
            (no_entropy().into(), 0x8009_0020),
        ];
        for (error, status) in table {
            assert_eq!(error.status(), Status(status), "{error}");
        }
    }
}
