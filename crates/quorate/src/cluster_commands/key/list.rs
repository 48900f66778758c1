//! `quorate key list`: lists the installed keys.

use admin::{
    time_text,
    wire::{TextEnum, activation_state},
};
use api::admin::v1::{InstalledKey, ListKeysReply, ListKeysRequest, NodeActivation};
use serde_json::{Value, json};

use crate::{
    administration::AdminArgs,
    output::{Failure, Output, table},
};

/// Prints the installed keys.
pub(crate) fn run(admin: &AdminArgs, output: &Output) -> Result<(), Failure> {
    let reply = admin.ask(async |admin| admin.list_keys(ListKeysRequest {}).await)?;
    output.result(&to_json(&reply), to_text(&reply));
    Ok(())
}

fn to_json(reply: &ListKeysReply) -> Value {
    let releases = reply.pending_releases.iter().map(
        |place| json!({ "node": place.node, "key_id": place.key_id, "publisher": place.publisher, "publisher_id": place.publisher_id }),
    );
    json!({
        "keys": reply.keys.iter().map(key_json).collect::<Vec<_>>(),
        "pending_releases": releases.collect::<Vec<_>>(),
    })
}

fn key_json(key: &InstalledKey) -> Value {
    let activation = |activation: &NodeActivation| {
        json!({
            "node": activation.node,
            "state": activation_state(activation).text(),
            "reactivations_left": activation.reactivations_left,
            "issued_ms": (activation.issued_ms != 0).then_some(activation.issued_ms),
            // Null if the certificate does not expire.
            "certificate_ends_ms": activation.certificate_ends_ms,
        })
    };
    json!({
        "key_id": key.key_id,
        "key": key.masked,
        "publisher": key.publisher,
        "publisher_id": key.publisher_id,
        "group": (!key.group.is_empty()).then_some(&key.group),
        // From the publisher's last answer, with its time by the publisher's clock; null before the first activation.
        "hosts_limit": key.standing.map(|standing| standing.hosts_limit),
        "hosts_used": key.standing.map(|standing| standing.hosts_used),
        "told_ms": key.standing.map(|standing| standing.told_ms),
        "activations": key.activations.iter().map(activation).collect::<Vec<_>>(),
    })
}

fn to_text(reply: &ListKeysReply) -> String {
    if reply.keys.is_empty() {
        return "No host key is installed. Install one with `quorate key install KEY`.".into();
    }
    let mut rows = table(["key id", "publisher", "group", "hosts", "node", "state", "reactivations left", "expires"]);
    for key in &reply.keys {
        let hosts = key.standing.map(|standing| format!("{} of {}", standing.hosts_used, standing.hosts_limit));
        for (index, activation) in key.activations.iter().enumerate() {
            let first = |text: &str| if index == 0 { text.to_owned() } else { String::new() };
            rows.add_row([
                first(&key.key_id),
                first(&key.publisher),
                first(&key.group),
                first(hosts.as_deref().unwrap_or_default()),
                activation.node.to_string(),
                activation_state(activation).text().into(),
                activation.reactivations_left.map_or_else(String::new, |left| left.to_string()),
                activation.certificate_ends_ms.map_or_else(String::new, time_text::date),
            ]);
        }
    }
    let mut text = rows.to_string();
    for place in &reply.pending_releases {
        text += &format!(
            "\nNode {} released its activation slot of key {}, and {} has not been informed: run `quorate key release \
             --node {} --publisher ADDR`",
            place.node, place.key_id, place.publisher, place.node
        );
    }
    text
}
