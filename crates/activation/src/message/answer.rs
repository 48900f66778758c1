//! A host's answer: signed by the node, whose key the publisher certified.
//!
//! An answer is a protobuf message whose last field, the proof, has exactly 160 bytes: the node's signature, the
//! publisher's signature and the node's public key. The node signs "quorate/answer/1", the SHA-256 of the request
//! and every byte of the answer before the proof's tag. So the signature covers the bytes as sent, and nothing is
//! encoded twice.

use std::ops::RangeInclusive;

use bytes::Bytes;
use ed25519_dalek::SigningKey;
use prost::Message;
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::request::ValidRequest;
use crate::certificate::{NodeCertificate, RENEWAL_AFTER_END_MS};
use crate::id::ProductId;
use crate::signature::{public_key, sign, verifies};
use crate::trust::Trust;
use crate::{limits, proto};

const PURPOSE: &str = "quorate/answer/1";
/// Tag and length of the proof: field 9, length-delimited, 160 bytes.
const PROOF_HEADER: [u8; 3] = [0x4a, 0xa0, 0x01];
const PROOF_BYTES: usize = 64 + 64 + 32;

/// The content of a host's answer. Values are within the ranges of [`limits`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnswerBody {
    /// The number of machines of the application, this one included (R3).
    pub count: u32,
    /// R9: the client is activated when `count >= threshold`.
    pub threshold: u32,
    pub activation_interval_minutes: u32,
    pub renewal_interval_minutes: u32,
    pub cluster_time_ms: u64,
    /// The index of the log entry that holds this activation.
    pub log_index: u64,
    /// The position of the request's record in that entry.
    pub offset: u32,
}

impl AnswerBody {
    /// R9: whether the count has reached the threshold.
    #[must_use]
    pub fn is_activated(&self) -> bool {
        self.count >= self.threshold
    }

    fn validate(&self) -> Result<(), AnswerError> {
        let intervals = limits::INTERVAL_MINUTES_MIN..=limits::INTERVAL_MINUTES_MAX;
        within(self.count, 1..=limits::COUNT_MAX, "count")?;
        within(self.threshold, 1..=limits::THRESHOLD_MAX, "threshold")?;
        within(self.activation_interval_minutes, intervals.clone(), "activation interval")?;
        within(self.renewal_interval_minutes, intervals, "renewal interval")?;
        within(self.cluster_time_ms, 0..=limits::TIME_MS_MAX, "cluster time")?;
        within(self.log_index, 0..=limits::LOG_INDEX_MAX, "log index")?;
        within(self.offset, 0..=limits::OFFSET_MAX, "offset")
    }
}

fn within<T: PartialOrd>(value: T, range: RangeInclusive<T>, field: &'static str) -> Result<(), AnswerError> {
    if range.contains(&value) { Ok(()) } else { Err(AnswerError::Malformed(field)) }
}

/// Encodes and signs the answer to the request whose bytes have the given SHA-256.
#[must_use]
pub fn sign_answer(
    body: &AnswerBody,
    certificate: &NodeCertificate,
    node_key: &SigningKey,
    request_digest: &[u8; 32],
) -> Vec<u8> {
    let mut answer = proto::Answer {
        count: body.count,
        threshold: body.threshold,
        activation_interval_minutes: body.activation_interval_minutes,
        renewal_interval_minutes: body.renewal_interval_minutes,
        cluster_time_ms: body.cluster_time_ms,
        log_index: body.log_index,
        offset: body.offset,
        certificate: certificate.fields().into(),
        proof: Bytes::new(),
    }
    .encode_to_vec();
    let signature = sign(node_key, PURPOSE, &[request_digest, &answer]);
    answer.extend_from_slice(&PROOF_HEADER);
    answer.extend_from_slice(&signature);
    answer.extend_from_slice(&certificate.signature);
    answer.extend_from_slice(&certificate.node_key);
    answer
}

/// An answer that passed every check of [`verify_answer`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedAnswer {
    pub body: AnswerBody,
    /// The answering node's certificate.
    pub certificate: NodeCertificate,
}

/// Why an answer does not activate the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AnswerError {
    #[error("the answer is malformed: {0}")]
    Malformed(&'static str),
    #[error("the host's certificate is not signed by the publisher that this client trusts")]
    UntrustedHost,
    #[error("the trust file has no catalog, so what the host's key covers is unknown: embed the publisher's catalog")]
    NoCatalog,
    #[error("the catalog in the trust file has no such product: get a newer trust file from the publisher")]
    UnknownProduct,
    #[error("the publisher blocked the host's key or certificate")]
    Blocked,
    #[error("the host's certificate has expired")]
    Ended,
    #[error("the host's key does not cover this product")]
    NotCovered,
    #[error("the answer is not the node's signed answer to this request")]
    Signature,
}

/// Verifies the answer to the client's request: that the publisher signed the certificate, that it is not blocked
/// and has not expired, that its group covers `product`, and that the node signed the request and the answer as sent.
///
/// The expiry is compared with the answer's time, limited in two ways. It is at most the client's own clock in the
/// request, because a cluster whose time is ahead also answers with expired certificates. It is at least
/// [`RENEWAL_AFTER_END_MS`] before that clock, so that the holder of a copied key cannot backdate answers at will.
pub fn verify_answer(
    answer: &[u8],
    request_bytes: &[u8],
    trust: &Trust,
    product: ProductId,
) -> Result<VerifiedAnswer, AnswerError> {
    let (signed, proof) = split(answer)?;
    let raw = proto::Answer::decode(signed).map_err(|_| AnswerError::Malformed("encoding"))?;
    if !raw.proof.is_empty() {
        return Err(AnswerError::Malformed("more than one proof"));
    }
    let body = AnswerBody {
        count: raw.count,
        threshold: raw.threshold,
        activation_interval_minutes: raw.activation_interval_minutes,
        renewal_interval_minutes: raw.renewal_interval_minutes,
        cluster_time_ms: raw.cluster_time_ms,
        log_index: raw.log_index,
        offset: raw.offset,
    };
    body.validate()?;
    let certificate =
        NodeCertificate::from_parts(trust.publisher, &raw.certificate, proof.node_key, proof.certificate_signature)
            .map_err(|_| AnswerError::Malformed("certificate"))?;
    certificate.verify(&trust.activation_keys).map_err(|_| AnswerError::UntrustedHost)?;
    check_rights(&certificate, trust, product)?;
    if certificate.days.is_some() && certificate.validity().has_ended_at(judged_at(&body, request_bytes)) {
        return Err(AnswerError::Ended);
    }
    let node_key = public_key(&certificate.node_key).ok_or(AnswerError::Malformed("node key"))?;
    let digest: [u8; 32] = Sha256::digest(request_bytes).into();
    if verifies(&node_key, PURPOSE, &[&digest, signed], &proof.answer_signature) {
        Ok(VerifiedAnswer { body, certificate })
    } else {
        Err(AnswerError::Signature)
    }
}

fn check_rights(certificate: &NodeCertificate, trust: &Trust, product: ProductId) -> Result<(), AnswerError> {
    let opened = trust.catalog.as_ref().ok_or(AnswerError::NoCatalog)?;
    let catalog = &opened.catalog;
    let product = opened.product(product).ok_or(AnswerError::UnknownProduct)?;
    if catalog.blocks(certificate) {
        return Err(AnswerError::Blocked);
    }
    if catalog.covers(certificate.group, product) { Ok(()) } else { Err(AnswerError::NotCovered) }
}

/// The time with which the expiry of the answering node's certificate is compared.
fn judged_at(body: &AnswerBody, request_bytes: &[u8]) -> u64 {
    let answered_ms = body.cluster_time_ms;
    ValidRequest::decode(request_bytes).map_or(answered_ms, |request| {
        let asked_ms = request.request().client_time_ms;
        answered_ms.clamp(asked_ms.saturating_sub(RENEWAL_AFTER_END_MS), asked_ms)
    })
}

struct Proof {
    answer_signature: [u8; 64],
    certificate_signature: [u8; 64],
    node_key: [u8; 32],
}

/// Splits an answer into the bytes that the node signed and the proof.
fn split(answer: &[u8]) -> Result<(&[u8], Proof), AnswerError> {
    if answer.len() > limits::ANSWER_BYTES_MAX {
        return Err(AnswerError::Malformed("too long"));
    }
    let malformed = AnswerError::Malformed("proof");
    let (rest, proof) = answer.split_last_chunk::<PROOF_BYTES>().ok_or(malformed)?;
    let signed = rest.strip_suffix(&PROOF_HEADER).ok_or(malformed)?;
    let (answer_signature, proof) = proof.split_first_chunk::<64>().ok_or(malformed)?;
    let (certificate_signature, node_key) = proof.split_first_chunk::<64>().ok_or(malformed)?;
    let node_key = node_key.try_into().map_err(|_| malformed)?;
    Ok((signed, Proof { answer_signature: *answer_signature, certificate_signature: *certificate_signature, node_key }))
}
