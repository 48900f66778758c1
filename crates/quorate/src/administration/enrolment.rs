//! Exchanges a join token for a certificate: `cluster login` for a person, `host init --join` for a node.

use std::{error::Error as _, time::Duration};

use admin::wire::{TextEnum, enrolled_role};
use anyhow::{Context as _, anyhow};
use api::admin::v1::{EnrollReply, EnrollRequest, admin_client::AdminClient};
use serde_json::json;
use tokio::time::{Instant, sleep};
use tonic::{Code, Response, Status, transport::Endpoint};
use transport::{Authority, Identity, SigningRequest, Token};
use zeroize::Zeroizing;

use super::{
    CONNECT_TIMEOUT, block_on,
    contexts::{self, Context, NewContext},
    key_password, refused,
    repeating::{REPEAT_PAUSE, REPEAT_TIMEOUT},
    unreached,
    unreached::cause,
};
use crate::{
    output::{Failure, Output, new_file::ForceArgs},
    secrets::TokenArgs,
};

/// Timeout of one enrolment call to the cluster.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Arguments of `cluster login`.
#[derive(Debug, clap::Args)]
pub(crate) struct Login {
    /// Address of a node's administration (its admin.listen, port 1690).
    #[arg(value_name = "HOST:PORT")]
    address: String,
    #[command(flatten)]
    token: TokenArgs,
    /// Name in the certificate, which the audit record shows.
    #[arg(long = "as", env = "USER", value_name = "NAME")]
    name: String,
    /// Name of the context under which the certificate is saved.
    #[arg(long, value_name = "NAME", default_value = contexts::DEFAULT)]
    context: String,
    #[command(flatten)]
    force: ForceArgs,
    /// Encrypt the private key with a password, typed at the terminal or taken from QUORATE_CONTEXT_PASSWORD.
    #[arg(long)]
    password: bool,
}

impl Login {
    pub(crate) fn run(self, output: &Output) -> Result<(), Failure> {
        if !contexts::is_name(&self.context) {
            let what = anyhow!(
                "--context {:?}: use only letters, digits, `-`, `_` and `.`, and do not begin with a dot",
                self.context
            );
            return Err(Failure::usage(what));
        }
        let token = self.token.required()?;
        // Checked before the token is spent.
        if Context::is_saved(&self.context)? {
            self.force.allow_replacing(&format!("the saved context {}, with its private key,", self.context))?;
        }
        let password = if self.password { Some(key_password::new_password()?) } else { None };
        let (request, key) = SigningRequest::create().map_err(anyhow::Error::from)?;
        let asked = EnrollRequest { request: request.into(), name: self.name.clone(), ..EnrollRequest::default() };
        let reply = enroll(&self.address, &token, asked, output)?;
        Identity::from_pem(reply.certificate.as_bytes(), key.as_bytes(), reply.authority.as_bytes())
            .context("the cluster's response does not contain a certificate for this key")?;
        let key = match &password {
            Some(password) => key_password::encrypt(&key, password)?,
            None => key,
        };
        let role = enrolled_role(&reply).text();
        let new = NewContext {
            address: &self.address,
            name: &self.name,
            role,
            certificate: &reply.certificate,
            key: &key,
            authority: &reply.authority,
        };
        let file = Context::save(&self.context, &new)?;
        output.result(
            &json!({ "context": self.context, "name": self.name, "role": role, "file": file }),
            format_args!(
                "Logged in as {} with role {} on the cluster at {}. Use this context with\n  --admin {}",
                self.name, role, self.address, self.context
            ),
        );
        Ok(())
    }
}

/// What a node receives in exchange for a token.
pub(crate) struct Joined {
    pub(crate) reply: EnrollReply,
    /// The node's private key, in PEM; it never leaves this machine.
    pub(crate) key: Zeroizing<String>,
}

/// Has the cluster certify a new key for this node. A cluster of the previous version sends its authority's key
/// instead.
pub(crate) fn join(
    address: &str,
    token: &Token,
    (node, peer_address): (u64, String),
    output: &Output,
) -> Result<Joined, Failure> {
    let (request, key) = SigningRequest::create().map_err(anyhow::Error::from)?;
    let asked = EnrollRequest { node, peer_address, ..EnrollRequest::default() };
    let certified = EnrollRequest { request: request.into(), ..asked.clone() };
    let reply = match ask(address, token, certified, output)? {
        // The previous version reads a signing request as a person's and refuses it for a node.
        Err(status) if status.code() == Code::InvalidArgument => ask(address, token, asked, output)?,
        reply => reply,
    };
    let reply = reply.map_err(refused)?;
    if Authority::fingerprint_of(&reply.authority).map_err(anyhow::Error::from)? != token.authority() {
        return Err(anyhow!(
            "the authority certificate that {address} sent does not match the fingerprint in the token"
        )
        .into());
    }
    Ok(Joined { reply, key })
}

fn enroll(address: &str, token: &Token, asked: EnrollRequest, output: &Output) -> Result<EnrollReply, Failure> {
    ask(address, token, asked, output)?.map_err(refused)
}

/// Sends the enrolment request and returns the cluster's answer or refusal. Where the reply is lost, the same signing
/// request is sent again with the same token: a cluster that writes format 3 or later repeats its first answer.
fn ask(
    address: &str,
    token: &Token,
    mut asked: EnrollRequest,
    output: &Output,
) -> Result<Result<EnrollReply, Status>, Failure> {
    asked.secret = token.secret().to_vec().into();
    block_on(async {
        let connector = transport::pinned(token.authority(), CONNECT_TIMEOUT).map_err(anyhow::Error::from)?;
        let endpoint = Endpoint::from_shared(format!("http://{address}"));
        let endpoint =
            endpoint.map_err(|_| Failure::usage(anyhow!("{address:?} is not an address of the form HOST:PORT")))?;
        let endpoint = endpoint.timeout(TIMEOUT);
        let channel = endpoint.connect_with_connector(connector.clone()).await;
        let mut channel = channel.map_err(|error| unreached(address, &error))?;
        let until = Instant::now() + REPEAT_TIMEOUT;
        loop {
            let answer = AdminClient::new(channel.clone()).enroll(asked.clone()).await;
            let lost = match answer {
                Err(status) if is_lost(&status) && Instant::now() < until => status,
                answer => return Ok(answer.map(Response::into_inner)),
            };
            output.remark(format_args!(
                "{address}: the connection failed before the reply arrived ({}); sending the request again",
                cause(&lost)
            ));
            channel = loop {
                sleep(REPEAT_PAUSE).await;
                match endpoint.connect_with_connector(connector.clone()).await {
                    Ok(channel) => break channel,
                    Err(_) if Instant::now() < until => {}
                    Err(_) => return Ok(Err(lost)),
                }
            };
        }
    })?
}

/// Whether the reply was lost, so that the token may be spent already: the status comes from the connection, not from
/// the node.
fn is_lost(status: &Status) -> bool {
    status.source().is_some() || status.code() == Code::Unknown
}
