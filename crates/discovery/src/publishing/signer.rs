//! How the messages of a conversation are signed, and what an answer's signature is worth.
//!
//! Two ways, one for each kind of key, over the same bytes (RFC 8945 section 4.3): a MAC with a shared secret, or a
//! Kerberos context's signature (RFC 3645).
//!
//! Invariant: an answer that says that something is or was done counts only with a signature made for this very question.

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

/// Who signs.
pub(super) enum Signer<'a> {
    Nobody,
    Tsig(&'a TsigKey),
    #[cfg(feature = "gss-tsig")]
    Gss(Box<GssSession>),
}

/// What the answer's signature is checked against.
pub(super) enum Signed<'a> {
    Not,
    Tsig(&'a DnsName, Box<ClientTransaction<Arc<Key>>>),
    #[cfg(feature = "gss-tsig")]
    Gss(Vec<u8>),
}

impl<'a> Signer<'a> {
    /// The signer that needs no words with the server before; a GSS key has none.
    pub(super) fn at_once(credentials: &'a Credentials) -> Self {
        match credentials {
            Credentials::Tsig(key) => Self::Tsig(key),
            _ => Self::Nobody,
        }
    }

    /// Adds the signature, as the last record.
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

    /// Whether the answer may be believed. `ours` is the time of the question's signature.
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

    /// The account that signs, where it is one of a directory.
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

/// A refusal of the signature is believed unsigned: no server can sign with a key that it does not have.
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
        // A server that does not understand signatures says so without one.
        Err(ValidationError::ServerUnsigned) if !message::is_plain(rcode) => Ok(()),
        Err(ValidationError::ServerUnsigned) => Err(PublishError::Unsigned { primary }),
        Err(error) => Err(PublishError::Forged { primary, cause: error.to_string() }),
    }
}
