//! The proof of a licence: one's own request and the host's signed answer to it, as they were on the wire.

use thiserror::Error;

use crate::id::{Cmid, MachineDigest, ProductId};
use crate::message::{AnswerBody, AnswerError, MalformedRequest, ValidRequest, verify_answer};
use crate::trust::Trust;

/// R13: what one answer is good for: 180 days.
pub const LICENCE_MS: u64 = 180 * 24 * 60 * 60 * 1000;

/// An exchange that was verified: made only by [`Evidence::verify`], each time anew from the bytes that were kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Evidence {
    body: AnswerBody,
}

/// Why an exchange proves nothing.
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
    /// Checks everything: that the request is of this publisher, product, CMID and machine, and that the answer to it is
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

    /// What the host said.
    #[must_use]
    pub fn body(&self) -> &AnswerBody {
        &self.body
    }

    /// Until when it makes this machine a licensed one (R13); none below the threshold.
    #[must_use]
    pub fn licensed_until_ms(&self) -> Option<u64> {
        self.body.is_activated().then(|| self.body.cluster_time_ms.saturating_add(LICENCE_MS))
    }
}
