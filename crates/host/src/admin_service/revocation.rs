//! Who is let in no more: persons, nodes, and the bearers of tokens.

use activation::state::{Command, Grant, Holder, PersonRole, Registration, Revocation, Serial, Whom, token_id};
use api::admin::v1::{self as proto, CertificateRole};
use replication::Replica;
use tonic::Status;
use transport::{Role, Subject};

use super::{
    acting::Acting,
    status::{invalid, unavailable},
};
use crate::lifecycle::registration::Registrar;

/// The tokens that were not used, and are good still.
pub(super) async fn list_tokens(replica: &Replica) -> Result<proto::ListTokensReply, Status> {
    let now_ms = replica.read_point().await.map_err(unavailable)?.expiry_ms;
    let tokens = replica.view(|state| {
        let open = state.open_tokens().filter(|(_, token)| token.expires_ms >= now_ms);
        let status = open.map(|(digest, token)| proto::TokenStatus {
            id: token_id(digest),
            role: granted(token.grant).into(),
            expires_ms: token.expires_ms,
        });
        status.collect()
    });
    Ok(proto::ListTokensReply { tokens })
}

/// Takes a token back.
pub(super) async fn revoke_token(
    acting: &Acting<'_>,
    asked: &proto::RevokeTokenRequest,
) -> Result<proto::RevokeTokenReply, Status> {
    acting.replica.read_point().await.map_err(unavailable)?;
    let id = asked.id.to_ascii_lowercase();
    let digest = acting.replica.view(|state| {
        let found = state.open_tokens().find(|(digest, _)| token_id(digest) == id);
        found.map(|(digest, _)| *digest)
    });
    let digest = digest.ok_or_else(|| {
        Status::not_found(format!(
            "there is no open token {id:?}: `quorate cluster token list` shows those that there are"
        ))
    })?;
    acting.propose(Command::RevokeToken { digest }).await?;
    Ok(proto::RevokeTokenReply {})
}

/// Shuts a holder out: with every certificate that it holds now, on open connections too.
pub(super) async fn revoke(
    (acting, registrar): (&Acting<'_>, &Registrar),
    asked: &proto::RevokeRequest,
) -> Result<proto::RevokeReply, Status> {
    let whom = whom(&asked.whom)?;
    let point = acting.replica.read_point().await.map_err(unavailable)?;
    let cluster = acting.replica.cluster();
    if let Whom::Node(node) = &whom
        && cluster.voters.contains(node)
        && cluster.voters.len() <= 2
    {
        return Err(Status::failed_precondition(format!(
            "node {node} is one of {} voters: without it there would be no majority. Add a node first, or \
             `quorate cluster remove {node}`, which revokes it, too",
            cluster.voters.len()
        )));
    }
    let revoked: Vec<_> = acting.replica.view(|state| {
        let meant = state.registry().registrations().filter(|(_, registration)| whom.means(registration));
        meant.map(|(_, registration)| described(registration)).collect()
    });
    if revoked.is_empty() && registrar.registered.is_own_authority() {
        return Err(Status::not_found(format!(
            "no registered key is {whom}'s: `quorate cluster revoke --list` shows whose there are"
        )));
    }
    acting.propose(Command::Revoke(Revocation { whom, time_ms: point.cluster_time_ms })).await?;
    Ok(proto::RevokeReply { revoked })
}

/// Whose keys are registered.
pub(super) async fn registry(replica: &Replica) -> Result<proto::RegistryReply, Status> {
    replica.read_point().await.map_err(unavailable)?;
    Ok(replica.view(|state| {
        let registry = state.registry();
        let revoked = registry.revocations().iter();
        proto::RegistryReply {
            in_force: registry.is_in_force(),
            keys: registry.registrations().map(|(_, registration)| described(registration)).collect(),
            revoked: revoked.map(|one| proto::Revoked { whom: one.whom.to_string(), time_ms: one.time_ms }).collect(),
        }
    }))
}

fn whom(text: &str) -> Result<Whom, Status> {
    if let Some(number) = text.strip_prefix("node:") {
        let node = number.parse().ok().and_then(|number| activation::id::node_id(number).ok());
        return node.map(Whom::Node).ok_or_else(|| invalid(format!("{number:?} is no number of a node")));
    }
    if let Some(hex) = text.strip_prefix("serial:") {
        let serial = Serial::from_hex(hex);
        return serial
            .map(Whom::Serial)
            .ok_or_else(|| invalid(format!("{hex:?} is no serial number: give hexadecimal digits")));
    }
    match Subject::person(text, Role::Reader).map_err(invalid)? {
        Subject::Person { name, .. } => Ok(Whom::Person(name)),
        Subject::Node(_) => Err(invalid("give node:N, serial:HEX or a name")),
    }
}

fn described(registration: &Registration) -> proto::RegisteredKey {
    let role = match &registration.holder {
        Holder::Node(_) => CertificateRole::Node,
        Holder::Person { role: PersonRole::Administrator, .. } => CertificateRole::Administrator,
        Holder::Person { role: PersonRole::Operator, .. } => CertificateRole::Operator,
        Holder::Person { role: PersonRole::Reader, .. } => CertificateRole::Reader,
    };
    proto::RegisteredKey {
        holder: registration.holder.to_string(),
        role: role.into(),
        serial: registration.serial.to_string(),
        ends_ms: registration.ends_ms,
    }
}

fn granted(grant: Grant) -> CertificateRole {
    match grant {
        Grant::Node => CertificateRole::Node,
        Grant::Administrator => CertificateRole::Administrator,
        Grant::Operator => CertificateRole::Operator,
        Grant::Reader => CertificateRole::Reader,
    }
}
