//! `quorate cluster token`: issues, lists and revokes join tokens for nodes and persons.

use admin::{time_text, wire::TextEnum};
use api::admin::v1::{CertificateRole, CreateTokenRequest, ListTokensRequest, RevokeTokenRequest};
use serde_json::json;

use crate::{
    administration::AdminArgs,
    arguments,
    output::{Failure, Output, table},
};

pub(super) const EXAMPLES: &str = "\
Examples:
  quorate cluster token                                    for a node: quorate host init --join HOST:1690 --token T ...
  quorate cluster token --role reader --valid 10m          for a person: quorate cluster login HOST:1690 --token T
  quorate cluster token list                               tokens that were not used yet
  quorate cluster token revoke 0a1b2c3d4e5f                revokes one

The token holds a secret: the first caller that presents it gets the role. It also holds the fingerprint of the
cluster's authority, with which its user verifies the cluster.";

/// Arguments of `cluster token`.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Token {
    #[command(subcommand)]
    act: Option<Act>,
    /// Role that the token gives.
    #[arg(long, value_name = "ROLE", value_parser = ["node", "administrator", "operator", "reader"], default_value = "node")]
    role: String,
    /// How long the token may be used: a number with s, m, h or d.
    #[arg(long, value_name = "TIME", value_parser = arguments::seconds, default_value = "1h")]
    valid: u64,
    #[command(flatten)]
    admin: AdminArgs,
}

#[derive(Debug, clap::Subcommand)]
enum Act {
    /// List the tokens that have not been used yet.
    List {
        #[command(flatten)]
        admin: AdminArgs,
    },
    /// Revoke a token, so that it cannot be used any more.
    Revoke {
        /// Id of the token, as `list` shows it.
        #[arg(value_name = "ID")]
        id: String,
        #[command(flatten)]
        admin: AdminArgs,
    },
}

impl Token {
    pub(super) fn run(self, output: &Output) -> Result<(), Failure> {
        match self.act {
            None => create(self.role, self.valid, &self.admin, output),
            Some(Act::List { admin }) => list(&admin, output),
            Some(Act::Revoke { id, admin }) => {
                let asked = RevokeTokenRequest { id: id.clone() };
                admin.ask(async |admin| admin.revoke_token(asked).await)?;
                output.result(&json!({ "revoked": id }), format_args!("Token {id} is revoked."));
                Ok(())
            }
        }
    }
}

fn create(role: String, valid_s: u64, admin: &AdminArgs, output: &Output) -> Result<(), Failure> {
    let asked = CreateTokenRequest { role: CertificateRole::from_text(&role).into(), role_text: role, valid_s };
    let reply = admin.ask(async |admin| admin.create_token(asked).await)?;
    output.result(&json!({ "token": reply.token, "expires_ms": reply.expires_ms }), &reply.token);
    Ok(())
}

fn list(admin: &AdminArgs, output: &Output) -> Result<(), Failure> {
    let tokens = admin.ask(async |admin| admin.list_tokens(ListTokensRequest {}).await)?.tokens;
    let json = tokens.iter().map(|token| {
        json!({ "id": token.id, "role": token.role().text(), "expires_at": time_text::rfc3339(token.expires_ms) })
    });
    let json: Vec<_> = json.collect();
    let mut shown = table(["ID", "ROLE", "EXPIRES"]);
    for token in &tokens {
        shown.add_row([token.id.clone(), token.role().text().to_owned(), time_text::second(token.expires_ms)]);
    }
    let text = if tokens.is_empty() { "There are no unused tokens.".to_owned() } else { shown.to_string() };
    output.result(&json!({ "tokens": json }), &text);
    Ok(())
}
