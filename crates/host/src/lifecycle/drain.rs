//! Takes a node out of service: it first leaves DNS, then hands leadership over and stops (R38).
//!
//! It keeps answering until its records have expired in resolvers. The drain is not stored: a node that is started
//! again is in service.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use admin::wire::node_state;
use api::admin::v1::{DnsOutcome, DrainReply, DrainRequest, NodeState, NodeStatus};
use discovery::Delegated;
use tokio::{sync::Mutex, time::Instant};
use tonic::Status;

use super::draining::{Begun, Draining, Phase, Then};
use crate::{dns::Dns, observation::cluster_status, peers::node_client::NodeClient};

/// Carries out the drain of this node.
pub(crate) struct Drain {
    nodes: NodeClient,
    draining: Arc<Draining>,
    dns: Option<Arc<Dns>>,
    /// Longest time to wait until the node's records have expired in resolvers.
    wait: Duration,
    turn: Mutex<()>,
}

impl Drain {
    pub(crate) fn new(nodes: NodeClient, draining: Arc<Draining>, dns: Option<Arc<Dns>>, wait: Duration) -> Self {
        Self { nodes, draining, dns, wait, turn: Mutex::default() }
    }

    /// Withdraws the node from DNS, and sets the time at which it stops. Error: the other nodes would be no
    /// majority, or its DNS record cannot be withdrawn; then the node stays in service.
    pub(crate) async fn begin(&self, request: DrainRequest) -> Result<DrainReply, Status> {
        if request.leave && request.restart {
            return Err(Status::invalid_argument(
                "a node that leaves its cluster does not start again: request either leaving or a restart",
            ));
        }
        let _turn = self.turn.lock().await;
        let node = self.nodes.replica().identity().owner;
        let draining = &*self.draining;
        if let Phase::Until { end, .. } = draining.phase() {
            let wait = end.saturating_duration_since(Instant::now());
            return Ok(DrainReply { node, domains: Vec::new(), wait_s: seconds(wait) });
        }
        // Read before the drain begins: from then on another task withdraws records, too, and they would be missing
        // here.
        let published = self.dns.as_ref().map(|dns| dns.published()).unwrap_or_default();
        // Begin before the other nodes are checked: of two nodes that drain at the same time, at least one sees the
        // other.
        let begun = Begun::new(draining);
        if !request.force {
            self.others_suffice(request.leave).await?;
        }
        let (domains, forgotten_after) = self.withdraw(request.force, published).await?;
        let wait = request.wait_s.map_or(forgotten_after.min(self.wait), |seconds| Duration::from_secs(seconds.into()));
        let then = match (request.leave, request.restart) {
            (true, _) => Then::Leave,
            (false, true) => Then::Restart,
            (false, false) => Then::Stop,
        };
        begun.ends(Instant::now() + wait, then);
        tracing::info!(
            node,
            wait_s = wait.as_secs(),
            "draining: the node's DNS records are withdrawn; it stops when they have expired from resolvers' caches"
        );
        Ok(DrainReply { node, domains, wait_s: seconds(wait) })
    }

    /// Checks that the cluster can go on without this node.
    async fn others_suffice(&self, leaves: bool) -> Result<(), Status> {
        let own = self.nodes.replica().identity().owner;
        let cluster = self.nodes.replica().cluster();
        let voters = cluster.voters;
        if leaves && cluster.members.len() <= 1 {
            return Err(Status::failed_precondition(format!(
                "node {own} is the last member: stop it, and delete its data folder"
            )));
        }
        if !voters.contains(&own) {
            return Ok(());
        }
        let nodes = cluster_status::gather(&self.nodes).await.nodes;
        // A node that answers, and whose log is not known to lag far behind the leader's.
        let is_able = |status: &NodeStatus| {
            status.reachable && matches!(node_state(status), NodeState::Ok | NodeState::Unspecified)
        };
        let stays = |node: u64| nodes.iter().any(|status| status.node == node && is_able(status));
        // When a node leaves, another member gets its vote first.
        if leaves && voters.len() <= 1 && cluster.members.keys().any(|node| *node != own && stays(*node)) {
            return Ok(());
        }
        let left = voters.iter().filter(|voter| **voter != own && stays(**voter)).count();
        let majority = voters.len() / 2 + 1;
        if left >= majority {
            return Ok(());
        }
        Err(Status::failed_precondition(format!(
            "without this node {left} of {} voters are left, and a majority needs {majority}: no client would be \
             answered. Start the others (`quorate cluster status` names them), or stop this node anyway with --force",
            voters.len()
        )))
    }

    /// Withdraws the node's records. Returns the outcomes, and the time after which they have expired in resolvers.
    async fn withdraw(&self, force: bool, published: BTreeSet<String>) -> Result<(Vec<DnsOutcome>, Duration), Status> {
        let Some(dns) = &self.dns else { return Ok((Vec::new(), Duration::ZERO)) };
        let mut settled = dns.settle_now().await;
        let unsaid = published.into_iter().filter(|domain| settled.domains.iter().all(|said| said.domain != *domain));
        let unsaid: Vec<_> = unsaid.map(|domain| DnsOutcome { domain, ..DnsOutcome::default() }).collect();
        settled.domains.extend(unsaid);
        let failed = settled.domains.iter().find(|domain| domain.status != 0);
        let failed = failed.map(|domain| format!("{}: {}", domain.domain, domain.error));
        let failed = failed.or_else(|| (!settled.passed_over.is_empty()).then(|| settled.passed_over.clone()));
        match failed {
            Some(why) if force => {
                tracing::warn!(
                    why,
                    "could not withdraw this node's DNS record: clients still find the node for a while"
                )
            }
            Some(why) => {
                return Err(Status::failed_precondition(format!(
                    "this node's DNS record was not withdrawn: {why}. The node stays in service; correct the cause, or \
                     stop the node anyway with --force"
                )));
            }
            None => {}
        }
        let ttl_s = match (settled.domains.is_empty(), dns.served_zone()) {
            (false, _) => self.nodes.replica().view(|state| state.settings().dns_ttl_s),
            // The other nodes check every second which members are ready.
            (true, Some(_)) => Delegated::TTL_SECONDS + 1,
            (true, None) => 0,
        };
        Ok((settled.domains, Duration::from_secs(ttl_s.into())))
    }
}

/// The duration in seconds, rounded up.
fn seconds(wait: Duration) -> u32 {
    u32::try_from(wait.as_millis().div_ceil(1000)).unwrap_or(u32::MAX)
}
