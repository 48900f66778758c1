//! The audit record of administrators' acts, and the change of format that introduces it.

use std::collections::BTreeSet;

use activation::{
    audit::{Audit, Description},
    id::NodeId,
    state::{Activation, Command, Format, State},
};
use api::admin::v1 as proto;
use bytes::Bytes;
use tonic::Status;

use super::{
    acting::Acting,
    caller::Caller,
    status::{invalid, unavailable},
};
use crate::lifecycle::registration::Registrar;

/// All audit entries that the cluster keeps, oldest first.
pub(super) async fn read(acting: &Acting<'_>) -> Result<proto::AuditReply, Status> {
    acting.replica.read_point().await.map_err(unavailable)?;
    acting.replica.view(|state| {
        if !state.format().holds_audit() {
            return Err(Status::failed_precondition(format!(
                "format {}, which the cluster writes, has no audit record: run `quorate cluster format set {}` once \
                 every node runs a version that reads it",
                state.format(),
                Format::NEWEST
            )));
        }
        let (before, entries) = encoded(state.audit());
        let (others_before, others) = encoded(state.audit_of_others());
        Ok(proto::AuditReply { before, entries, others_before, others })
    })
}

/// The hash before the first entry, and the encoded entries.
fn encoded(audit: &Audit) -> (Bytes, Vec<proto::AuditEntry>) {
    let entries = audit.entries().map(|entry| proto::AuditEntry {
        number: entry.number,
        time_ms: entry.origin.time_ms,
        who: entry.origin.who.clone(),
        from: entry.origin.from.clone(),
        act: entry.act.to_string(),
        refused: entry.refused.as_ref().map_or(String::new(), ToString::to_string),
        hash: Bytes::copy_from_slice(&entry.hash),
        act_code: code(Some(&entry.act)),
        refused_code: code(entry.refused.as_ref()),
    });
    (Bytes::copy_from_slice(&audit.before()), entries.collect())
}

fn code(description: Option<&Description>) -> Option<proto::AuditCode> {
    match description {
        Some(Description::Coded(coded)) => {
            Some(proto::AuditCode { code: coded.code as u32, values: coded.values().to_vec() })
        }
        Some(Description::Text(_)) | None => None,
    }
}

/// The nodes that hold certificates which this format does not hold.
fn ending(state: &State, format: Format) -> BTreeSet<NodeId> {
    let ends = |(_, activation): &(&NodeId, &Activation)| activation.certificate.days.is_some();
    let held = state.keys().flat_map(|key| key.activations.iter().filter(ends).map(|(node, _)| *node));
    held.filter(|_| !format.holds_ending_certificates()).collect()
}

pub(super) async fn set_format(
    (acting, registrar): (&Acting<'_>, &Registrar),
    caller: &Caller,
    asked: &proto::SetFormatRequest,
) -> Result<proto::SetFormatReply, Status> {
    let format = Format::new(asked.format).map_err(invalid)?;
    let nodes = acting.replica.view(|state| ending(state, format));
    if !nodes.is_empty() {
        return Err(Status::failed_precondition(format!(
            "format {format} has no host certificates that expire, so nodes {nodes:?} would not answer clients: have \
             the publisher sign a catalog without certificate_days, activate these nodes again with `quorate key \
             activate --node NODE`, and then set the format"
        )));
    }
    acting.propose(Command::SetFormat { format }).await?;
    // The caller that sets the format that registers keys is registered together with the members. All other persons
    // have to log in again.
    if let Err(why) = registrar.take_over(acting, caller.certificate.as_deref()).await {
        tracing::warn!(%why, "could not register the keys yet; the leader registers them");
    }
    Ok(proto::SetFormatReply {})
}
