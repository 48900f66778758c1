//! A publisher's answers to activation requests.

use bytes::Bytes;
use ed25519_dalek::{SigningKey, VerifyingKey};
use prost::Message;
use thiserror::Error;

use super::ActivationFileError::{self, Malformed};
use super::{ACTIVATION_FORMAT, check_distinct, check_format, check_length};
use crate::certificate::NodeCertificate;
use crate::id::{KeyId, NodeId, PublisherId, node_id};
use crate::signature::{sign, verifies};
use crate::{limits, proto};

const PURPOSE: &str = "quorate/answers/1";

/// A publisher's answer to one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActivationAnswer {
    /// The id of the answered request.
    pub request_id: [u8; 16],
    pub node: NodeId,
    pub certificate: NodeCertificate,
    /// R31: how often this host may be activated again.
    pub reactivations_left: u32,
}

/// The use of a key's activation slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyStanding {
    pub key: KeyId,
    /// R31: the number of activation slots that the key grants.
    pub hosts_limit: u32,
    /// Activation slots in use, in all clusters.
    pub hosts_used: u32,
}

/// A publisher's answers to the [`super::ActivationRequests`] of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActivationAnswers {
    pub publisher: PublisherId,
    /// Time of the answer by the publisher's clock, in milliseconds since 1970. Of two statements about a key the
    /// later one holds.
    pub answered_ms: u64,
    /// The answers, in the order of the requests.
    pub answers: Vec<ActivationAnswer>,
    /// Activation slots that are free again, by key and node key.
    pub released: Vec<(KeyId, [u8; 32])>,
    /// The use of each key that the answers or the released slots name.
    pub standings: Vec<KeyStanding>,
}

/// [`ActivationAnswers`] in the signed form in which they are sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedAnswers {
    answers: ActivationAnswers,
    signed: Bytes,
    signature: [u8; 64],
}

/// Neither of the publisher's activation keys signed the answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the answer is not signed by this publisher")]
pub struct NotSignedByPublisher;

impl ActivationAnswers {
    #[must_use]
    pub fn sign(self, activation_key: &SigningKey) -> SignedAnswers {
        let signed: Bytes = self.to_proto().encode_to_vec().into();
        let signature = sign(activation_key, PURPOSE, &[&signed]);
        SignedAnswers { answers: self, signed, signature }
    }

    fn to_proto(&self) -> proto::ActivationAnswers {
        let answers = self.answers.iter().map(|answer| proto::ActivationAnswer {
            request_id: Bytes::copy_from_slice(&answer.request_id),
            node: u32::try_from(answer.node).unwrap_or(u32::MAX),
            key: Bytes::copy_from_slice(&answer.certificate.key.0),
            certificate: answer.certificate.encode().into(),
            reactivations_left: answer.reactivations_left,
        });
        let released = self.released.iter().map(|(key, node_key)| proto::Released {
            key: Bytes::copy_from_slice(&key.0),
            node_key: Bytes::copy_from_slice(node_key),
        });
        proto::ActivationAnswers {
            publisher: Bytes::copy_from_slice(&self.publisher.0),
            answered_ms: self.answered_ms,
            answers: answers.collect(),
            released: released.collect(),
            standings: self.standings.iter().map(|standing| standing.to_proto()).collect(),
        }
    }

    fn from_proto(raw: &proto::ActivationAnswers) -> Result<Self, ActivationFileError> {
        check_length(raw.answers.len() + raw.released.len())?;
        if raw.standings.len() > raw.answers.len() + raw.released.len() {
            return Err(Malformed("standings"));
        }
        if raw.answered_ms > limits::TIME_MS_MAX {
            return Err(Malformed("time"));
        }
        let publisher = PublisherId::try_from(raw.publisher.as_ref()).map_err(|_| Malformed("publisher"))?;
        let answers = raw.answers.iter().map(|answer| decode_answer(publisher, answer));
        let answers: Vec<_> = answers.collect::<Result<_, _>>()?;
        check_distinct(answers.iter().map(|answer| (answer.certificate.key, answer.node)))?;
        let released = raw.released.iter().map(|released| {
            let key = KeyId::try_from(released.key.as_ref()).map_err(|_| Malformed("key id"))?;
            Ok((key, released.node_key.as_ref().try_into().map_err(|_| Malformed("node key"))?))
        });
        let standings = raw.standings.iter().map(KeyStanding::from_proto);
        Ok(Self {
            publisher,
            answered_ms: raw.answered_ms,
            answers,
            released: released.collect::<Result<_, _>>()?,
            standings: standings.collect::<Result<_, _>>()?,
        })
    }
}

impl KeyStanding {
    pub(crate) fn to_proto(self) -> proto::KeyStanding {
        proto::KeyStanding {
            key: Bytes::copy_from_slice(&self.key.0),
            hosts_limit: self.hosts_limit,
            hosts_used: self.hosts_used,
        }
    }

    pub(crate) fn from_proto(raw: &proto::KeyStanding) -> Result<Self, ActivationFileError> {
        let key = KeyId::try_from(raw.key.as_ref()).map_err(|_| Malformed("key id"))?;
        Ok(Self { key, hosts_limit: raw.hosts_limit, hosts_used: raw.hosts_used })
    }
}

impl SignedAnswers {
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let signature = Bytes::copy_from_slice(&self.signature);
        proto::SignedAnswers { format: ACTIVATION_FORMAT, answers: self.signed.clone(), signature }.encode_to_vec()
    }

    /// Decodes answers, and checks that every certificate is of the named publisher and key and that no node has
    /// two. Does not verify the signature: see [`Self::verify`].
    pub fn decode(bytes: &[u8]) -> Result<Self, ActivationFileError> {
        let bytes = check_format(bytes)?;
        let raw = proto::SignedAnswers::decode(bytes).map_err(|_| Malformed("encoding"))?;
        let signature = raw.signature.as_ref().try_into().map_err(|_| Malformed("signature"))?;
        let answers = proto::ActivationAnswers::decode(raw.answers.clone()).map_err(|_| Malformed("answers"))?;
        Ok(Self { answers: ActivationAnswers::from_proto(&answers)?, signed: raw.answers, signature })
    }

    /// Verifies that one of the publisher's two activation keys signed the answers. The certificates inside have
    /// their own signatures: see [`NodeCertificate::verify`].
    pub fn verify(&self, activation_keys: &[VerifyingKey; 2]) -> Result<(), NotSignedByPublisher> {
        let signed = activation_keys.iter().any(|key| verifies(key, PURPOSE, &[&self.signed], &self.signature));
        if signed { Ok(()) } else { Err(NotSignedByPublisher) }
    }

    #[must_use]
    pub fn answers(&self) -> &ActivationAnswers {
        &self.answers
    }
}

fn decode_answer(
    publisher: PublisherId,
    raw: &proto::ActivationAnswer,
) -> Result<ActivationAnswer, ActivationFileError> {
    let certificate = NodeCertificate::decode(&raw.certificate).map_err(|_| Malformed("certificate"))?;
    let key = KeyId::try_from(raw.key.as_ref()).map_err(|_| Malformed("key id"))?;
    if (certificate.publisher, certificate.key) != (publisher, key) {
        return Err(Malformed("a certificate of another publisher or key"));
    }
    Ok(ActivationAnswer {
        request_id: raw.request_id.as_ref().try_into().map_err(|_| Malformed("request id"))?,
        node: node_id(raw.node.into()).map_err(|_| Malformed("node"))?,
        certificate,
        reactivations_left: raw.reactivations_left,
    })
}
