//! The exchange of TKEY records at the beginning of a conversation (RFC 3645 section 3.1).
//!
//! The answers that carry tokens are unsigned, or signed in a context that is not established yet. So only the token
//! in them is used, and the token is its own proof: with it the server shows that it holds the service's key.

use domain::base::Rtype;
use domain::base::iana::{Opcode, Rcode, TsigRcode};
use kerberos::Stage;

use super::super::conversation::Conversation;
use super::super::error::PublishError;
use super::super::message;
use super::super::signer::Signer;
use super::wire::{read_tkey, tkey_query};
use super::{GssKey, GssSession, service};
use crate::name::DnsName;

impl GssKey {
    /// Establishes a context with the primary. Where `server` is `None`, its name is taken from the SOA record.
    /// Messages of the conversation are signed in that context afterwards.
    pub(in super::super) async fn agree(
        &self,
        conversation: &mut Conversation<'_>,
        server: Option<DnsName>,
        name: &DnsName,
    ) -> Result<(), PublishError> {
        let server = match server {
            Some(server) => server,
            None => own_name(conversation, name).await?,
        };
        let context_name = context_name(&server);
        let (mut context, mut token) = self.begin(&server).await?;
        loop {
            let answer = self.hand_over(conversation, &context_name, &server, &token).await?;
            let (stepped, stage) = self.step(context, answer).await?;
            context = stepped;
            match stage {
                Stage::Send(next) => token = next,
                Stage::Stands(last) => {
                    if let Some(last) = last {
                        self.hand_over(conversation, &context_name, &server, &last).await?;
                    }
                    let session = GssSession::new(context, context_name, service(&server));
                    conversation.sign_with(Signer::Gss(Box::new(session)));
                    return Ok(());
                }
            }
        }
    }

    /// Sends one token to the server, and returns the server's token.
    async fn hand_over(
        &self,
        conversation: &mut Conversation<'_>,
        context_name: &DnsName,
        server: &DnsName,
        token: &[u8],
    ) -> Result<Vec<u8>, PublishError> {
        let primary = conversation.primary();
        let question = tkey_query(context_name, token, conversation.signed_at_unix_seconds());
        let question = question.map_err(|_| PublishError::TooMany { what: "bytes of a ticket" })?;
        let id = question.header().id();
        let answer = conversation.exchange_unsigned(question).await?;
        let malformed = |cause| PublishError::Malformed { primary, cause };
        message::check_header(&answer, id, Opcode::QUERY).map_err(malformed)?;
        let refused = |cause: String| {
            // The ticket may be for a key that the service no longer has.
            self.forget();
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

/// The primary's name (MNAME of the SOA record), for a configuration that has only its address.
async fn own_name(conversation: &mut Conversation<'_>, name: &DnsName) -> Result<DnsName, PublishError> {
    let elsewhere = PublishError::NotAuthoritative { primary: conversation.primary(), name: name.clone() };
    match conversation.ask(name, Rtype::SOA).await {
        Err(PublishError::Refused { .. }) => Err(elsewhere),
        asked => asked?.0.zone_primary.filter(|primary| !primary.is_root()).ok_or(elsewhere),
    }
}

/// A context name that no other context has (RFC 2930 section 2.1).
fn context_name(server: &DnsName) -> DnsName {
    let label = format!("{:032x}", rand::random::<u128>());
    let below = format!("{label}.{}", server.to_string().to_ascii_lowercase()).parse();
    // A long host name leaves no room for the label.
    below.or_else(|_| label.parse()).expect("32 letters and digits are a name")
}
