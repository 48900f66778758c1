//! One TCP connection to a primary that carries queries and updates one after the other. Each is signed, and each
//! answer is verified.
//!
//! Invariant: never uses any content of an answer that does not match its query or has a wrong signature; such an
//! answer ends the conversation.

use std::net::SocketAddr;

use domain::base::Rtype;
use domain::base::iana::{Opcode, Rcode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::difference::Update;
use super::error::PublishError;
use super::key::Credentials;
use super::message::{self, Incoming, Outgoing, RecordsAtName};
use super::signature::AnswerSignatures;
use super::signer::Signer;
use crate::limits::EXCHANGES_MAX;
use crate::name::DnsName;

pub(super) struct Conversation<'a> {
    stream: TcpStream,
    primary: SocketAddr,
    signer: Signer<'a>,
    signed_at_unix_seconds: u64,
    exchanges: usize,
}

impl<'a> Conversation<'a> {
    /// Starts a conversation on `stream`, signed with a TSIG key or unsigned. A GSS key signs once a context is
    /// established.
    pub(super) fn new(
        stream: TcpStream,
        primary: SocketAddr,
        credentials: &'a Credentials,
        signed_at_unix_seconds: u64,
    ) -> Self {
        Self { stream, primary, signer: Signer::at_once(credentials), signed_at_unix_seconds, exchanges: 0 }
    }

    /// Signs messages with `signer` from now on.
    #[cfg(feature = "gss-tsig")]
    pub(super) fn sign_with(&mut self, signer: Signer<'a>) {
        self.signer = signer;
    }

    /// The zone of `name`, for which this server must be authoritative.
    pub(super) async fn zone(&mut self, name: &DnsName) -> Result<DnsName, PublishError> {
        let elsewhere = || PublishError::NotAuthoritative { primary: self.primary, name: name.clone() };
        let (elsewhere, primary) = (elsewhere(), self.primary);
        let asked = self.ask(name, Rtype::SOA).await;
        let (answered, is_authority) = match asked {
            // A server refuses queries for zones that it does not hold.
            Err(PublishError::Refused { .. }) => return Err(elsewhere),
            other => other?,
        };
        if answered.is_alias {
            return Err(PublishError::Alias { name: name.clone() });
        }
        match answered.zone {
            Some(zone) if is_authority => Ok(zone),
            None if is_authority => Err(PublishError::Malformed { primary, cause: "it does not contain its zone" }),
            _ => Err(elsewhere),
        }
    }

    /// The records of a type at a name, and whether the server is authoritative for it.
    pub(super) async fn ask(&mut self, name: &DnsName, rtype: Rtype) -> Result<(RecordsAtName, bool), PublishError> {
        let what = format!("the query for {name} {rtype}");
        let question = message::query(name, rtype).map_err(|_| PublishError::TooMany { what: "bytes of a query" })?;
        let answer = self.exchange(question, Opcode::QUERY, name, what).await?;
        let malformed = |cause| PublishError::Malformed { primary: self.primary, cause };
        message::check_question(&answer, name, rtype).map_err(malformed)?;
        let answered = message::read(&answer, name).map_err(malformed)?;
        Ok((answered, answer.header().aa()))
    }

    /// Makes all changes of the update, or none.
    pub(super) async fn update(&mut self, zone: &DnsName, update: &Update) -> Result<(), PublishError> {
        let message =
            message::update(zone, update).map_err(|_| PublishError::TooMany { what: "changes in one update" })?;
        let what = format!("the update of {}", update.summary());
        match self.exchange(message, Opcode::UPDATE, &update.service_name, what).await {
            Ok(answer) if answer.header().rcode() == Rcode::NOERROR => Ok(()),
            Ok(_) => Err(PublishError::Malformed { primary: self.primary, cause: "the name of its zone is invalid" }),
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
        self.count()?;
        let (id, ours) = (message.header().id(), self.signed_at_unix_seconds);
        let signed = self.signer.sign(&mut message, ours)?;
        let mut answer = self.send_and_receive(message).await?;
        let malformed = |cause| PublishError::Malformed { primary: self.primary, cause };
        // An answer to another message is malformed, whether it is signed or not.
        message::check_header(&answer, id, opcode).map_err(malformed)?;
        self.signer.verify(&mut answer, &signed, self.primary, ours)?;
        match answer.header().rcode() {
            rcode if message::is_plain(rcode) => Ok(answer),
            rcode => Err(self.refusal(rcode, opcode, name, what)),
        }
    }

    /// An exchange before there is a signer. The caller verifies the answer.
    #[cfg(feature = "gss-tsig")]
    pub(super) async fn exchange_unsigned(&mut self, message: Outgoing) -> Result<Incoming, PublishError> {
        self.count()?;
        self.send_and_receive(message).await
    }

    fn count(&mut self) -> Result<(), PublishError> {
        self.exchanges += 1;
        if self.exchanges > EXCHANGES_MAX {
            return Err(PublishError::TooMany { what: "exchanges on one connection" });
        }
        Ok(())
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

    #[cfg(feature = "gss-tsig")]
    pub(super) fn primary(&self) -> SocketAddr {
        self.primary
    }

    #[cfg(feature = "gss-tsig")]
    pub(super) fn signed_at_unix_seconds(&self) -> u64 {
        self.signed_at_unix_seconds
    }

    pub(super) fn answer_signatures(&self) -> AnswerSignatures {
        self.signer.answer_signatures()
    }

    fn refusal(&self, rcode: Rcode, opcode: Opcode, name: &DnsName, what: String) -> PublishError {
        let primary = self.primary;
        match (rcode, self.signer.account()) {
            // The response codes for a record that another account owns: Microsoft's DNS, BIND, and Samba's.
            (Rcode::REFUSED | Rcode::SERVFAIL, Some(account)) if opcode == Opcode::UPDATE => {
                PublishError::AccountRefused { primary, account, rcode: rcode.to_string(), what }
            }
            (Rcode::REFUSED, _) => PublishError::Refused { primary, what },
            (Rcode::NOTAUTH, _) => PublishError::NotAuthoritative { primary, name: name.clone() },
            (rcode, _) => PublishError::Server { primary, rcode: rcode.to_string(), code: rcode.to_int(), what },
        }
    }
}
