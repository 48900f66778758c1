//! Revocation of persons, nodes and join tokens.

use std::collections::BTreeSet;

use activation::state::{Command, Grant, Holder, PersonRole, Registration, Revocation, Serial, Whom, token_id};
use api::admin::v1::{self as proto, CertificateRole, NodeState, NodeStatus};
use replication::Replica;
use tonic::Status;
use transport::{Role, Subject};

use super::{
    acting::Acting,
    status::{invalid, unavailable},
};
use crate::{lifecycle::registration::Registrar, observation::cluster_status};

/// The join tokens that are neither used nor expired.
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

/// Revokes a join token.
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
        Status::not_found(format!("there is no open token {id:?}: `quorate cluster token list` shows the open tokens"))
    })?;
    acting.propose(Command::RevokeToken { digest }).await?;
    Ok(proto::RevokeTokenReply {})
}

/// Revokes a holder with all its current certificates. Open connections are closed, too.
pub(super) async fn revoke(
    (acting, registrar): (&Acting<'_>, &Registrar),
    asked: &proto::RevokeRequest,
) -> Result<proto::RevokeReply, Status> {
    let whom = whom(&asked.whom)?;
    let point = acting.replica.read_point().await.map_err(unavailable)?;
    let cluster = acting.replica.cluster();
    if let Whom::Node(node) = &whom
        && cluster.voters.contains(node)
    {
        others_are_a_majority(*node, &cluster.voters, &cluster_status::gather(&registrar.nodes).await.nodes)?;
    }
    let meant: Vec<_> = acting.replica.view(|state| {
        let meant = state.registry().registrations().filter(|(_, registration)| whom.means(registration));
        meant.map(|(key, registration)| (*key, registration.clone())).collect()
    });
    let joins = acting
        .replica
        .view(|state| state.registry().joining_nodes().any(|(_, joining)| whom == Whom::Node(joining.node)));
    if meant.is_empty() && !joins && registrar.registered.is_own_authority() {
        return Err(Status::not_found(format!(
            "no key is registered for {whom}: `quorate cluster revoke --list` shows the registered keys"
        )));
    }
    let time_ms = point.cluster_time_ms;
    acting.propose(Command::Revoke(Revocation { whom, time_ms })).await?;
    for (key, _) in &meant {
        // The certificate may have been renewed just before and have another serial number now: revoke that number
        // as well.
        let renewed = acting.replica.view(|state| state.registry().get(key).map(|known| known.serial.clone()));
        if let Some(serial) = renewed {
            acting.propose(Command::Revoke(Revocation { whom: Whom::Serial(serial), time_ms })).await?;
        }
    }
    Ok(proto::RevokeReply { revoked: meant.iter().map(|(_, registration)| described(registration)).collect() })
}

/// Refuses where the working voters other than `node` are no majority of all voters: a revoked voter no longer votes
/// but still counts as a voter.
fn others_are_a_majority(node: u64, voters: &[u64], nodes: &[NodeStatus]) -> Result<(), Status> {
    let works = |status: &&NodeStatus| {
        let works = matches!(status.state(), NodeState::Ok | NodeState::Lagging | NodeState::Unspecified);
        status.reachable && works
    };
    let working: BTreeSet<_> = nodes.iter().filter(works).map(|status| status.node).collect();
    let (others, voters) = (voters.iter().filter(|voter| **voter != node), voters.len());
    let (working, silent): (Vec<_>, Vec<_>) = others.copied().partition(|voter| working.contains(voter));
    if working.len() > voters / 2 {
        return Ok(());
    }
    let silent = match silent.as_slice() {
        [] => String::new(),
        silent => format!("; of the others, these are not available now: nodes {silent:?}"),
    };
    Err(Status::failed_precondition(format!(
        "node {node} is one of {voters} voters, and without it there would be no majority{silent}. Start or add a node \
         first, or run `quorate cluster remove {node}`, which also revokes its key"
    )))
}

/// The holders whose keys are registered, and the revocations.
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
        return node.map(Whom::Node).ok_or_else(|| invalid(format!("{number:?} is not a node number")));
    }
    if let Some(hex) = text.strip_prefix("serial:") {
        let serial = Serial::from_hex(hex);
        return serial
            .map(Whom::Serial)
            .ok_or_else(|| invalid(format!("{hex:?} is not a serial number: give hexadecimal digits")));
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

#[cfg(test)]
mod tests {
    use super::*;

    fn voter(node: u64, state: NodeState) -> NodeStatus {
        NodeStatus { node, reachable: state != NodeState::Unreachable, state: state.into(), ..NodeStatus::default() }
    }

    #[test]
    fn a_voter_is_revoked_only_if_the_available_others_are_a_majority_of_all_voters() {
        use NodeState::{Diverged, Lagging, Ok as Well, Unreachable};
        for (states, is_allowed) in [
            (&[Well][..], false),
            (&[Well, Well], false),
            (&[Well, Well, Well], true),
            (&[Unreachable, Well, Lagging], true),
            (&[Well, Well, Unreachable], false),
            (&[Well, Well, Diverged], false),
            (&[Well, Well, Well, Unreachable], false),
            (&[Well, Well, Well, Well, Unreachable], true),
        ] {
            let nodes: Vec<_> = (1..).zip(states).map(|(node, state)| voter(node, *state)).collect();
            let voters: Vec<_> = nodes.iter().map(|status| status.node).collect();
            let allowed = others_are_a_majority(1, &voters, &nodes);
            assert_eq!(allowed.is_ok(), is_allowed, "{states:?}: {allowed:?}");
            let why = allowed.map_err(|why| why.message().to_owned()).err().unwrap_or_default();
            assert_eq!(why.contains("not available now: nodes [3]"), states.len() == 3 && !is_allowed, "{why}");
        }
    }
}
