//! The proof of a licence: the client's request and the host's signed answer to it, byte for byte as they were sent.

use thiserror::Error;

use crate::id::{Cmid, MachineDigest, ProductId};
use crate::message::{AnswerBody, AnswerError, MalformedRequest, ValidRequest, verify_answer};
use crate::trust::Trust;

/// R13: how long one answer licenses a machine, in milliseconds: 180 days.
pub const LICENCE_MS: u64 = 180 * 24 * 60 * 60 * 1000;

/// An exchange that was verified. Only [`Evidence::verify`] builds it, each time from the stored bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Evidence {
    body: AnswerBody,
}

/// Why an exchange is not a proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum EvidenceError {
    #[error(transparent)]
    Request(#[from] MalformedRequest),
    #[error("the request is of another machine, product or publisher")]
    ForAnother,
    #[error(transparent)]
    Answer(#[from] AnswerError),
}

impl Evidence {
    /// Verifies that the request is of this publisher, product, CMID and machine, and that the answer to it is
    /// signed by a host that the publisher allows to answer for the product.
    pub fn verify(
        request: &[u8],
        answer: &[u8],
        trust: &Trust,
        (product, cmid, machine): (ProductId, Cmid, MachineDigest),
    ) -> Result<Self, EvidenceError> {
        let asked = ValidRequest::decode(request)?;
        let asked = asked.request();
        if (asked.publisher, asked.product, asked.cmid, asked.machine) != (trust.publisher, product, cmid, machine) {
            return Err(EvidenceError::ForAnother);
        }
        Ok(Self { body: verify_answer(answer, request, trust, product)?.body })
    }

    /// The content of the host's answer.
    #[must_use]
    pub fn body(&self) -> &AnswerBody {
        &self.body
    }

    /// Until when the answer licenses this machine (R13), in milliseconds since 1970; `None` below the threshold.
    #[must_use]
    pub fn licensed_until_ms(&self) -> Option<u64> {
        self.body.is_activated().then(|| self.body.cluster_time_ms.saturating_add(LICENCE_MS))
    }
}
