//! The exchange of TKEY records at the beginning of a conversation (RFC 3645 section 3.1).
//!
//! The answers that carry tokens are not signed, or signed by a context that does not stand yet. Nothing of them is
//! believed but the token, and that proves itself: with it the server shows that it holds the service's key.

use domain::base::Rtype;
use domain::base::iana::{Opcode, Rcode, TsigRcode};
use kerberos::Stage;

use super::super::conversation::Conversation;
use super::super::error::PublishError;
use super::super::message;
use super::wire::{read_tkey, tkey_query};
use super::{GssKey, Session, service};
use crate::name::DnsName;

impl Conversation<'_> {
    /// A context with the primary, whose name is the SOA's where none is given.
    pub(in super::super) async fn agree(
        &mut self,
        key: &GssKey,
        server: Option<DnsName>,
        name: &DnsName,
    ) -> Result<Session, PublishError> {
        let server = match server {
            Some(server) => server,
            None => self.own_name(name).await?,
        };
        let context_name = context_name(&server);
        let (mut context, mut token) = key.begin(&server).await?;
        loop {
            let answer = self.hand_over(key, &context_name, &server, &token).await?;
            let (stepped, stage) = key.step(context, answer).await?;
            context = stepped;
            match stage {
                Stage::Send(next) => token = next,
                Stage::Stands(last) => {
                    if let Some(last) = last {
                        self.hand_over(key, &context_name, &server, &last).await?;
                    }
                    return Ok(Session::new(context, context_name, service(&server)));
                }
            }
        }
    }

    /// The primary by its own name, as it says itself: where the configuration has only an address.
    async fn own_name(&mut self, name: &DnsName) -> Result<DnsName, PublishError> {
        let elsewhere = PublishError::NotAuthoritative { primary: self.primary(), name: name.clone() };
        match self.ask(name, Rtype::SOA).await {
            Err(PublishError::Refused { .. }) => Err(elsewhere),
            asked => asked?.0.zone_primary.filter(|primary| !primary.is_root()).ok_or(elsewhere),
        }
    }

    /// One token to the server, and its token back.
    async fn hand_over(
        &mut self,
        key: &GssKey,
        context_name: &DnsName,
        server: &DnsName,
        token: &[u8],
    ) -> Result<Vec<u8>, PublishError> {
        let primary = self.primary();
        let question = tkey_query(context_name, token, self.signed_at_unix_seconds());
        let question = question.map_err(|_| PublishError::TooMany { what: "bytes of a ticket" })?;
        let id = question.header().id();
        let answer = self.exchange_unsigned(question).await?;
        let malformed = |cause| PublishError::Malformed { primary, cause };
        message::check_header(&answer, id, Opcode::QUERY).map_err(malformed)?;
        let refused = |cause: String| {
            // The ticket may be of a key that the service no longer has.
            key.forget();
            PublishError::ContextRefused { primary, service: service(server), cause }
        };
        let tkey = read_tkey(&answer, context_name).map_err(malformed)?;
        match (answer.header().rcode(), tkey) {
            (Rcode::NOERROR, Some(tkey)) if tkey.error == 0 => Ok(tkey.token),
            (_, Some(tkey)) if tkey.error != 0 => Err(refused(TsigRcode::from_int(tkey.error).to_string())),
            (Rcode::NOERROR, _) => Err(malformed("it has no TKEY record")),
            (rcode, _) => Err(refused(rcode.to_string())),
        }
    }
}

/// A name that no other context has (RFC 2930 section 2.1).
fn context_name(server: &DnsName) -> DnsName {
    let label = format!("{:032x}", rand::random::<u128>());
    let below = format!("{label}.{}", server.to_string().to_ascii_lowercase()).parse();
    // Some names leave no room.
    below.or_else(|_| label.parse()).expect("32 letters and digits are a name")
}
