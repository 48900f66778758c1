//! Replacement of the cluster's authority. The registry of keys does not change; certificates are issued again for
//! the same keys.

use activation::state::{ClusterAuthority, Command};
use api::admin::v1 as proto;
use data_encoding::HEXLOWER;
use replication::Clock;
use tonic::Status;
use transport::Authority;

use super::{
    acting::Acting,
    caller::Caller,
    status::{ACCESS_DENIED, unavailable},
};
use crate::{
    credentials::identity::Source,
    environment::SystemClock,
    tasks::{self, HostTask},
};

/// Creates a new authority and proposes it to the cluster. Its key is first stored on this node, which must be a
/// voter; the other voters get the key from this node.
pub(super) async fn rotate(
    (acting, source): (&Acting<'_>, &Source),
    caller: &Caller,
    asked: proto::RotateAuthorityRequest,
) -> Result<proto::RotateAuthorityReply, Status> {
    let internal = |error: &dyn std::fmt::Display| Status::internal(error.to_string());
    let present = source.authority_pem().map_err(|error| internal(&error))?.ok_or_else(|| {
        Status::failed_precondition(
            "this cluster uses the authority of the organisation (tls.authority): replace it there",
        )
    })?;
    let cluster = acting.replica.cluster();
    let node = cluster.node;
    if !cluster.voters.contains(&node) {
        return Err(Status::failed_precondition(format!(
            "node {node} is not a voter, and only voters hold the authority's key: repeat the command on one of nodes \
             {:?}",
            cluster.voters
        )));
    }
    if asked.lost && caller.from != "socket" {
        return Err(Status::permission_denied(format!(
            "{ACCESS_DENIED}: an authority whose key is lost can be replaced only through a node's administration \
             socket"
        )));
    }
    if !asked.lost && source.holds_authority() != Some(true) {
        return Err(Status::failed_precondition(format!(
            "node {node} does not hold the authority's key: repeat the command on a node that does (holds_authority in \
             `quorate cluster status --json`). If no node holds it any more: quorate cluster authority rotate --lost, \
             through this node's socket"
        )));
    }
    let since_ms = acting.replica.read_point().await.map_err(unavailable)?.cluster_time_ms;
    let authority = Authority::create(SystemClock::default().wall_ms()).map_err(|error| internal(&error))?;
    let previous =
        if asked.now { Vec::new() } else { Authority::der_of(&present).map_err(|error| internal(&error))? };
    let certificate = authority.certificate_der().to_vec();
    let fingerprint = HEXLOWER.encode(&authority.fingerprint());
    // Store the key before the cluster uses the authority: a crash in between leaves an unused key, and never an
    // authority without a key.
    let staging = source.clone();
    let staged = tasks::blocking(HostTask::CertificateLoad, move || staging.stage_authority(&authority)).await;
    staged.map_err(|error| internal(&error))?.map_err(|error| internal(&error))?;
    let replaced = ClusterAuthority { certificate: certificate.into(), previous: previous.into(), since_ms };
    acting.propose(Command::SetAuthority(replaced)).await?;
    Ok(proto::RotateAuthorityReply { fingerprint })
}
