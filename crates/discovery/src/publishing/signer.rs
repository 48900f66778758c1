//! Signs the messages of a conversation, and verifies the signatures of answers.
//!
//! Each kind of key has its own method over the same bytes (RFC 8945 section 4.3): a MAC with a shared secret, or
//! the signature of a Kerberos context (RFC 3645).
//!
//! Invariant: never accepts an answer that reports success without a signature made for exactly this query.

use std::net::SocketAddr;
use std::sync::Arc;

use domain::base::iana::Rcode;
use domain::rdata::tsig::Time48;
use domain::tsig::{ClientTransaction, Key, ValidationError};

use super::error::PublishError;
#[cfg(feature = "gss-tsig")]
use super::gss::GssSession;
use super::key::{Credentials, TsigKey};
use super::message::{self, Incoming, Outgoing};
use super::signature::{AnswerSignatures, BADKEY, BADSIG, BADTIME, BADTRUNC};
use crate::limits::SIGNATURE_FUDGE_SECONDS;
use crate::name::DnsName;

/// The method of signing.
pub(super) enum Signer<'a> {
    Nobody,
    Tsig(&'a TsigKey),
    #[cfg(feature = "gss-tsig")]
    Gss(Box<GssSession>),
}

/// What the answer's signature is verified against.
pub(super) enum Signed<'a> {
    Not,
    Tsig(&'a DnsName, Box<ClientTransaction<Arc<Key>>>),
    #[cfg(feature = "gss-tsig")]
    Gss(Vec<u8>),
}

impl<'a> Signer<'a> {
    /// The signer that needs no exchange with the server first; a GSS key has none.
    pub(super) fn at_once(credentials: &'a Credentials) -> Self {
        match credentials {
            Credentials::Tsig(key) => Self::Tsig(key),
            _ => Self::Nobody,
        }
    }

    /// Adds the signature as the last record.
    pub(super) fn sign(&mut self, message: &mut Outgoing, at_unix_seconds: u64) -> Result<Signed<'a>, PublishError> {
        match self {
            Self::Nobody => Ok(Signed::Not),
            Self::Tsig(key) => {
                let now = Time48::from_u64(at_unix_seconds);
                let signed =
                    ClientTransaction::request_with_fudge(key.signing(), message, now, SIGNATURE_FUDGE_SECONDS);
                let signed = signed.map_err(|_| PublishError::TooMany { what: "bytes of a message" })?;
                Ok(Signed::Tsig(key.name(), Box::new(signed)))
            }
            #[cfg(feature = "gss-tsig")]
            Self::Gss(session) => session.sign(message, at_unix_seconds).map(Signed::Gss),
        }
    }

    /// Verifies the answer. `ours` is the time at which the query was signed.
    pub(super) fn verify(
        &mut self,
        answer: &mut Incoming,
        signed: &Signed<'_>,
        primary: SocketAddr,
        ours: u64,
    ) -> Result<(), PublishError> {
        match (self, signed) {
            (_, Signed::Not) => Ok(()),
            (_, Signed::Tsig(key, transaction)) => verify_tsig(answer, key, transaction, primary, ours),
            #[cfg(feature = "gss-tsig")]
            (Self::Gss(session), Signed::Gss(mac)) => session.verify(answer, mac, primary, ours),
            #[cfg(feature = "gss-tsig")]
            (_, Signed::Gss(_)) => Err(PublishError::Unsigned { primary }),
        }
    }

    /// The account that signs, where it is an account of a directory.
    pub(super) fn account(&self) -> Option<String> {
        match self {
            #[cfg(feature = "gss-tsig")]
            Self::Gss(session) => Some(session.account()),
            _ => None,
        }
    }

    pub(super) fn answer_signatures(&self) -> AnswerSignatures {
        match self {
            #[cfg(feature = "gss-tsig")]
            Self::Gss(session) => session.answer_signatures(),
            _ => AnswerSignatures::Standard,
        }
    }
}

/// Verifies a TSIG signature. A server's refusal of the signature is accepted unsigned, because no server can sign
/// with a key that it does not have.
fn verify_tsig(
    answer: &mut Incoming,
    key: &DnsName,
    signature: &ClientTransaction<Arc<Key>>,
    primary: SocketAddr,
    ours: u64,
) -> Result<(), PublishError> {
    let key = key.clone();
    let rcode = answer.header().rcode();
    if rcode == Rcode::NOTAUTH {
        match message::signature_error(answer) {
            Some((BADSIG | BADTRUNC, _)) => return Err(PublishError::WrongKey { primary, key }),
            Some((BADKEY, _)) => return Err(PublishError::UnknownKey { primary, key }),
            Some((BADTIME, theirs)) => return Err(PublishError::Clock { primary, ours, theirs }),
            _ => {}
        }
    }
    match signature.answer(answer, Time48::from_u64(ours)) {
        Ok(()) => Ok(()),
        Err(ValidationError::BadTime) => Err(PublishError::Clock { primary, ours, theirs: None }),
        // A server that does not support signatures refuses the query unsigned.
        Err(ValidationError::ServerUnsigned) if !message::is_plain(rcode) => Ok(()),
        Err(ValidationError::ServerUnsigned) => Err(PublishError::Unsigned { primary }),
        Err(error) => Err(PublishError::Forged { primary, cause: error.to_string() }),
    }
}
