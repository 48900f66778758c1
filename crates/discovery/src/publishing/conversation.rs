//! One TCP connection to a primary, on which questions and updates go one after the other, each signed and each answer
//! verified.
//!
//! Invariant: an answer that is not what was asked for, or whose signature is wrong, ends the conversation; nothing of it
//! is used.

use std::net::SocketAddr;
use std::sync::Arc;

use domain::base::Rtype;
use domain::base::iana::{Opcode, Rcode};
use domain::rdata::tsig::Time48;
use domain::tsig::{ClientTransaction, Key, ValidationError};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::difference::Update;
use super::error::PublishError;
use super::key::Credentials;
use super::message::{self, Answered, Incoming, Outgoing};
use crate::limits::{EXCHANGES_MAX, SIGNATURE_FUDGE_SECONDS};
use crate::name::DnsName;

/// TSIG errors in a server's words (RFC 8945 section 3).
const BADSIG: u16 = 16;
const BADKEY: u16 = 17;
const BADTIME: u16 = 18;
const BADTRUNC: u16 = 22;

pub(super) struct Conversation<'a> {
    stream: TcpStream,
    primary: SocketAddr,
    credentials: &'a Credentials,
    signed_at_unix_seconds: u64,
    exchanges: usize,
}

impl<'a> Conversation<'a> {
    pub(super) fn new(
        stream: TcpStream,
        primary: SocketAddr,
        credentials: &'a Credentials,
        signed_at_unix_seconds: u64,
    ) -> Self {
        Self { stream, primary, credentials, signed_at_unix_seconds, exchanges: 0 }
    }

    /// The zone that `name` stands in, of which this server must be an authority.
    pub(super) async fn zone(&mut self, name: &DnsName) -> Result<DnsName, PublishError> {
        let elsewhere = || PublishError::NotAuthoritative { primary: self.primary, name: name.clone() };
        let (elsewhere, primary) = (elsewhere(), self.primary);
        let asked = self.ask(name, Rtype::SOA).await;
        let (answered, is_authority) = match asked {
            // A server refuses to speak of zones that it does not hold.
            Err(PublishError::Refused { .. }) => return Err(elsewhere),
            other => other?,
        };
        if answered.is_alias {
            return Err(PublishError::Alias { name: name.clone() });
        }
        match answered.zone {
            Some(zone) if is_authority => Ok(zone),
            None if is_authority => Err(PublishError::Malformed { primary, cause: "it does not name its zone" }),
            _ => Err(elsewhere),
        }
    }

    /// The records of a type at a name, and whether the server is an authority for it.
    pub(super) async fn ask(&mut self, name: &DnsName, rtype: Rtype) -> Result<(Answered, bool), PublishError> {
        let what = format!("the question for {name} {rtype}");
        let question =
            message::query(name, rtype).map_err(|_| PublishError::TooMany { what: "bytes of a question" })?;
        let answer = self.exchange(question, Opcode::QUERY, name, what).await?;
        let malformed = |cause| PublishError::Malformed { primary: self.primary, cause };
        message::check_question(&answer, name, rtype).map_err(malformed)?;
        let answered = message::read(&answer, name).map_err(malformed)?;
        Ok((answered, answer.header().aa()))
    }

    /// Makes all changes, or none.
    pub(super) async fn update(&mut self, zone: &DnsName, update: &Update) -> Result<(), PublishError> {
        let message =
            message::update(zone, update).map_err(|_| PublishError::TooMany { what: "changes in one update" })?;
        let what = format!("the update of {}", update.service_name);
        match self.exchange(message, Opcode::UPDATE, &update.service_name, what).await {
            Ok(answer) if answer.header().rcode() == Rcode::NOERROR => Ok(()),
            Ok(_) => Err(PublishError::Malformed { primary: self.primary, cause: "it says that the zone is no name" }),
            Err(error) => Err(error),
        }
    }

    async fn exchange(
        &mut self,
        mut message: Outgoing,
        opcode: Opcode,
        name: &DnsName,
        what: String,
    ) -> Result<Incoming, PublishError> {
        self.exchanges += 1;
        if self.exchanges > EXCHANGES_MAX {
            return Err(PublishError::TooMany { what: "exchanges in one conversation" });
        }
        let id = message.header().id();
        let signature = match self.credentials {
            Credentials::Unsigned => None,
            Credentials::Tsig(key) => {
                let now = Time48::from_u64(self.signed_at_unix_seconds);
                let signed =
                    ClientTransaction::request_with_fudge(key.signing(), &mut message, now, SIGNATURE_FUDGE_SECONDS);
                Some((key.name(), signed.map_err(|_| PublishError::TooMany { what: "bytes of a message" })?))
            }
        };
        let mut answer = self.send_and_receive(message).await?;
        let malformed = |cause| PublishError::Malformed { primary: self.primary, cause };
        // Signed or not, an answer to something else is none.
        message::check_header(&answer, id, opcode).map_err(malformed)?;
        if let Some((key, signature)) = signature {
            self.verify(&mut answer, key, &signature)?;
        }
        match answer.header().rcode() {
            rcode if message::is_plain(rcode) => Ok(answer),
            rcode => Err(self.refusal(rcode, name, what)),
        }
    }

    async fn send_and_receive(&mut self, message: Outgoing) -> Result<Incoming, PublishError> {
        let closed = |cause| PublishError::Closed { primary: self.primary, cause };
        let message = message.finish();
        self.stream.write_all(message.as_stream_slice()).await.map_err(closed)?;
        let length = self.stream.read_u16().await.map_err(closed)?;
        let mut bytes = vec![0; usize::from(length)];
        self.stream.read_exact(&mut bytes).await.map_err(closed)?;
        Incoming::from_octets(bytes)
            .map_err(|_| PublishError::Malformed { primary: self.primary, cause: "it is shorter than a header" })
    }

    /// A refusal of the signature is believed unsigned: no server can sign with a key that it does not have.
    fn verify(
        &self,
        answer: &mut Incoming,
        key: &DnsName,
        signature: &ClientTransaction<Arc<Key>>,
    ) -> Result<(), PublishError> {
        let (primary, key) = (self.primary, key.clone());
        let rcode = answer.header().rcode();
        let ours = self.signed_at_unix_seconds;
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

    fn refusal(&self, rcode: Rcode, name: &DnsName, what: String) -> PublishError {
        let primary = self.primary;
        match rcode {
            Rcode::REFUSED => PublishError::Refused { primary, what },
            Rcode::NOTAUTH => PublishError::NotAuthoritative { primary, name: name.clone() },
            rcode => PublishError::Server { primary, rcode: rcode.to_string(), code: rcode.to_int(), what },
        }
    }
}
