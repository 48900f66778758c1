//! `quorate cluster revoke`: revokes the keys of a node or a person, and lists registered and revoked keys.

use admin::{time_text, wire::TextEnum};
use api::admin::v1::{RegisteredKey, RegistryReply, RegistryRequest, RevokeRequest};
use serde_json::{Value, json};

use crate::{
    administration::AdminArgs,
    output::{Failure, Output, table},
};

pub(super) const EXAMPLES: &str = "\
Examples:
  quorate cluster revoke ada                    a person, with all current certificates
  quorate cluster revoke node:4                 a node: the keys in its data folder are rejected
  quorate cluster revoke serial:5e0a…           the holder of the certificate with this number
  quorate cluster revoke --list                 registered and revoked keys

It takes effect on every node within seconds, also for open connections and streams. A person logs in again with a new
token. A revoked node stays a member until `quorate cluster remove N --dead`.";

/// Arguments of `cluster revoke`.
#[derive(Debug, clap::Args)]
pub(crate) struct Revoke {
    /// Whose keys to revoke: node:N, serial:HEX, or a person's name.
    #[arg(value_name = "WHOM", required_unless_present = "list")]
    whom: Option<String>,
    /// List the registered keys, and what was revoked.
    #[arg(long, conflicts_with = "whom")]
    list: bool,
    #[command(flatten)]
    admin: AdminArgs,
}

impl Revoke {
    pub(super) fn run(self, output: &Output) -> Result<(), Failure> {
        let Some(whom) = self.whom else { return list(&self.admin, output) };
        let asked = RevokeRequest { whom: whom.clone() };
        let revoked = self.admin.ask(async |admin| admin.revoke(asked).await)?.revoked;
        let json: Vec<_> = revoked.iter().map(key_json).collect();
        let text = match revoked.as_slice() {
            // Certificates of an organisation's authority are not registered on the cluster, so no key is listed.
            [] => format!("Certificates of {whom} that were issued before now are rejected."),
            keys => keys
                .iter()
                .map(|key| format!("The key of {} is revoked.", holder_text(key)))
                .collect::<Vec<_>>()
                .join("\n"),
        };
        output.result(&json!({ "revoked": json }), &text);
        Ok(())
    }
}

fn list(admin: &AdminArgs, output: &Output) -> Result<(), Failure> {
    let reply = admin.ask(async |admin| admin.registry(RegistryRequest {}).await)?;
    output.result(&registry_json(&reply), registry_text(&reply));
    Ok(())
}

fn registry_json(reply: &RegistryReply) -> Value {
    let revoked = reply.revoked.iter().map(|one| json!({ "whom": one.whom, "at": time_text::rfc3339(one.time_ms) }));
    json!({
        "in_force": reply.in_force,
        "keys": reply.keys.iter().map(key_json).collect::<Vec<_>>(),
        "revoked": revoked.collect::<Vec<_>>(),
    })
}

fn registry_text(reply: &RegistryReply) -> String {
    let mut keys = table(["HOLDER", "ROLE", "ENDS", "SERIAL"]);
    for key in &reply.keys {
        keys.add_row([key.holder.as_str(), key.role().text(), &time_text::second(key.ends_ms), &key.serial]);
    }
    let mut revoked = table(["REVOKED", "AT"]);
    for one in &reply.revoked {
        revoked.add_row([one.whom.clone(), time_text::second(one.time_ms)]);
    }
    let mut parts = Vec::new();
    if !reply.in_force {
        parts
            .push("Registration is not in force: every certificate of the cluster's authority is accepted.".to_owned());
    }
    if !reply.keys.is_empty() {
        parts.push(keys.to_string());
    }
    if !reply.revoked.is_empty() {
        parts.push(revoked.to_string());
    }
    parts.join("\n\n")
}

fn key_json(key: &RegisteredKey) -> Value {
    json!({
        "holder": key.holder,
        "role": key.role().text(),
        "serial": key.serial,
        "ends_at": time_text::rfc3339(key.ends_ms),
    })
}

fn holder_text(key: &RegisteredKey) -> String {
    match key.role().text() {
        "node" => key.holder.clone(),
        role => format!("{} ({role})", key.holder),
    }
}
