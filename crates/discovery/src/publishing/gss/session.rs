//! An established context, as a signer of messages.

use std::net::SocketAddr;

use domain::base::Ttl;
use domain::base::iana::Class;
use domain::rdata::tsig::{Time48, Tsig};
use kerberos::Context;

use super::super::error::PublishError;
use super::super::message::{self, Incoming, Outgoing};
use super::super::signature::{AnswerSignatures, BADTIME};
use super::wire::{Trailer, Variables, algorithm, trailer};
use crate::limits::SIGNATURE_FUDGE_SECONDS;
use crate::name::DnsName;

/// The context of one conversation, with the name that both sides use for it.
pub(in super::super) struct GssSession {
    context: Context,
    key: DnsName,
    service: String,
    answer_signatures: AnswerSignatures,
}

impl GssSession {
    /// `key` is the owner name of the TKEY record.
    pub(in super::super) fn new(context: Context, key: DnsName, service: String) -> Self {
        Self { context, key, service, answer_signatures: AnswerSignatures::Standard }
    }

    /// Adds a signature to the message, and returns it.
    pub(in super::super) fn sign(
        &mut self,
        message: &mut Outgoing,
        at_unix_seconds: u64,
    ) -> Result<Vec<u8>, PublishError> {
        let too_long = || PublishError::TooMany { what: "bytes of a message" };
        let mut covered = message.as_slice().to_vec();
        Variables::of_question(&self.key, at_unix_seconds).append_to(&mut covered);
        let mac = self.context.sign(&covered)?;
        let (id, time) = (message.header().id(), Time48::from_u64(at_unix_seconds));
        let no_error = domain::base::iana::TsigRcode::NOERROR;
        let rdata = Tsig::new(algorithm(), time, SIGNATURE_FUDGE_SECONDS, mac.as_slice(), id, no_error, &[][..]);
        let rdata = rdata.map_err(|_| too_long())?;
        message.push((self.key.wire(), Class::ANY, Ttl::from_secs(0), rdata)).map_err(|_| too_long())?;
        Ok(mac)
    }

    /// Verifies an answer; `question` is the signature of the query.
    ///
    /// A refusal is accepted without a signature, and where it only repeats the signature of the query, as Samba
    /// does.
    pub(in super::super) fn verify(
        &mut self,
        answer: &Incoming,
        question: &[u8],
        primary: SocketAddr,
        ours: u64,
    ) -> Result<(), PublishError> {
        let forged = |cause: &str| PublishError::Forged { primary, cause: cause.to_owned() };
        let is_refusal = !message::is_plain(answer.header().rcode());
        let found = trailer(answer).map_err(|cause| PublishError::Malformed { primary, cause })?;
        let Some(found) = found else {
            return if is_refusal { Ok(()) } else { Err(PublishError::Unsigned { primary }) };
        };
        if found.key != self.key || !found.of_context {
            return Err(forged("it names another key"));
        }
        if found.error != 0 && is_refusal {
            return Err(self.refused(&found, primary, ours));
        }
        if is_refusal && (found.mac.is_empty() || found.mac == question) {
            return Ok(());
        }
        if !self.covers(&found, question) {
            return Err(forged("it does not verify in this security context for this answer"));
        }
        if found.time.abs_diff(ours) > u64::from(found.fudge.min(SIGNATURE_FUDGE_SECONDS)) {
            return Err(PublishError::Clock { primary, ours, theirs: Some(found.time) });
        }
        Ok(())
    }

    /// Verifies the MAC over the bytes of RFC 8945 section 5.3: the signature of the query preceded by its length,
    /// the answer, and the variables. Also accepts the form without the length.
    fn covers(&mut self, found: &Trailer, question: &[u8]) -> bool {
        let Trailer { message, key, time, fudge, mac, error, other, .. } = found;
        let mut without_length = question.to_vec();
        without_length.extend(message);
        Variables { key, time: *time, fudge: *fudge, error: *error, other }.append_to(&mut without_length);
        let mut standard = u16::try_from(question.len()).unwrap_or(u16::MAX).to_be_bytes().to_vec();
        standard.extend(&without_length);
        if self.context.verify(&standard, mac) {
            return true;
        }
        let is_without_length = self.context.verify(&without_length, mac);
        if is_without_length {
            self.answer_signatures = AnswerSignatures::WithoutLength;
        }
        is_without_length
    }

    fn refused(&self, found: &Trailer, primary: SocketAddr, ours: u64) -> PublishError {
        match found.error {
            BADTIME => {
                let theirs = <[u8; 6]>::try_from(found.other.as_slice()).ok();
                let theirs = theirs.map(|bytes| bytes.iter().fold(0, |time, byte| time << 8 | u64::from(*byte)));
                PublishError::Clock { primary, ours, theirs }
            }
            error => PublishError::ContextRefused {
                primary,
                service: self.service.clone(),
                cause: format!("{} on a signature", domain::base::iana::TsigRcode::from_int(error)),
            },
        }
    }

    pub(in super::super) fn account(&self) -> String {
        self.context.account()
    }

    pub(in super::super) fn answer_signatures(&self) -> AnswerSignatures {
        self.answer_signatures
    }
}
