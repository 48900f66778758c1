//! The readiness of this node to answer clients, with the state of each condition.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use activation::{id::KeyId, limits::LAG_ENTRIES_MAX};
use replication::{ClusterView, Health, Replica};

use super::draining::Draining;
use crate::credentials::{Credentials, Unusable};
use crate::forwarding::Forwarding;

/// One condition of readiness: its name, and why it is not met; `None` where it is met.
pub(crate) type Condition = (&'static str, Option<String>);

/// The purpose for which readiness is checked, as `/readyz?for=` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Ready to run: the node itself works. This needs no other node, no leader and no activation.
    Host,
    /// Ready as a member: the next node of the cluster may be stopped or started.
    Cluster,
    /// Ready to forward associations to upstreams.
    Gateway,
    /// Ready to answer clients in any of its roles.
    Service,
}

impl Purpose {
    const ALL: [(&'static str, Self); 4] =
        [("host", Self::Host), ("gateway", Self::Gateway), ("cluster", Self::Cluster), ("service", Self::Service)];

    /// The purpose with this name; `None` where there is none.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find_map(|(known, purpose)| (known == name).then_some(purpose))
    }

    /// The names of all purposes, separated by commas.
    pub(crate) fn names() -> String {
        Self::ALL.map(|(name, _)| name).join(", ")
    }

    fn needs(self, condition: &str) -> bool {
        match self {
            Self::Host => matches!(condition, "state" | "quarantine"),
            Self::Cluster => matches!(condition, "state" | "quarantine" | "leader" | "caught_up"),
            Self::Gateway => matches!(condition, "state" | "quarantine" | "in_service" | "upstream"),
            Self::Service => condition != "upstream",
        }
    }
}

/// The parts of a node on which its readiness depends.
pub(crate) struct Readiness {
    replica: Replica,
    credentials: Arc<Credentials>,
    draining: Arc<Draining>,
    /// `None` where the node has no gateway, as in a simulation.
    forwarding: Option<Arc<Forwarding>>,
}

impl Readiness {
    pub(crate) fn new(
        replica: Replica,
        credentials: Arc<Credentials>,
        draining: Arc<Draining>,
        forwarding: Option<Arc<Forwarding>>,
    ) -> Self {
        Self { replica, credentials, draining, forwarding }
    }

    /// Whether this node is being drained.
    pub(crate) fn draining(&self) -> &Draining {
        &self.draining
    }

    /// Why this node may not answer clients; `None` where it may.
    pub(crate) fn unready_because(&self) -> Option<String> {
        self.unready_in(&self.replica.cluster())
    }

    /// Why this node may not answer clients, judged by a view of the cluster that the caller already has; `None`
    /// where it may.
    pub(crate) fn unready_in(&self, cluster: &ClusterView) -> Option<String> {
        self.of_purpose(Purpose::Service, cluster).into_iter().find_map(|(_, why)| why)
    }

    /// Every condition of `purpose`, met or not.
    pub(crate) fn checks(&self, purpose: Purpose) -> Vec<Condition> {
        self.of_purpose(purpose, &self.replica.cluster())
    }

    /// The conditions of `purpose`. A node with upstreams serves as a host, as a gateway, or as both (G8): it needs only
    /// what one of these roles needs, and as a host only where a catalog is installed.
    fn of_purpose(&self, purpose: Purpose, cluster: &ClusterView) -> Vec<Condition> {
        let upstream = match (self.forwarding.as_ref().filter(|forwarding| forwarding.is_on()), purpose) {
            (Some(forwarding), _) => Some(forwarding.unready_because()),
            (None, Purpose::Gateway) => Some(Some(
                "no upstream is configured: `quorate gateway set HOST:PORT` on any node of the cluster".to_owned(),
            )),
            (None, _) => None,
        };
        let is_gateway = upstream.as_ref().is_some_and(Option::is_none);
        let is_host = || self.replica.view(|state| state.publishers().next().is_some());
        let role = match purpose {
            Purpose::Service if is_gateway || (upstream.is_some() && !is_host()) => Purpose::Gateway,
            other => other,
        };
        let conditions = self.conditions(cluster).into_iter().chain(upstream.map(|why| ("upstream", why)));
        conditions.filter(|(name, _)| role.needs(name)).collect()
    }

    fn conditions(&self, cluster: &ClusterView) -> [Condition; 7] {
        let owner = self.replica.identity().owner;
        let activated =
            self.replica.view(|state| state.publishers().any(|publisher| state.is_activated(publisher.id(), owner)));
        let unusable = self.credentials.unusable();
        // The leader's log may be far ahead of this node's.
        let due_index = cluster.last_index.max(cluster.confirmed_index);
        let lag = due_index.saturating_sub(self.replica.progress().borrow().applied_index);
        let seconds = replication::limits::CONFIRMED_WITHIN.as_secs();
        let no_leader = || {
            let slow = slow_links(&self.replica);
            format!("no leader is known: no majority confirmed one within the last {seconds} s{slow}")
        };
        let state = match self.replica.health() {
            Health::Failed(why) => Some(why.to_string()),
            Health::Diverged(index) => Some(format!(
                "its state differs from the majority's since entry {index} (run `quorate cluster rejoin {owner}` on \
                 another node)"
            )),
            Health::Quarantined(_) | Health::Running => self.replica.is_disk_hanging().then(|| {
                let seconds = replication::limits::DISK_HANDOVER_AFTER.as_secs();
                format!("its disk has not finished a write for {seconds} s")
            }),
        };
        let unless = |is_met: bool, why: &str| (!is_met).then(|| why.to_owned());
        [
            ("state", state),
            ("quarantine", quarantined_because(&self.replica).map(|why| format!("it is quarantined: {why}"))),
            ("in_service", unless(!self.draining.is_on(), "it is drained")),
            ("leader", cluster.leader.is_none().then(no_leader)),
            ("caught_up", (lag > LAG_ENTRIES_MAX).then(|| format!("it has yet to apply {lag} entries"))),
            ("activated", unless(activated, "not activated by any publisher")),
            ("keys", (!unusable.is_empty()).then(|| unusable_reason(&unusable))),
        ]
    }
}

/// The links of this node that are too slow for its election timeouts, worded as the end of a sentence; empty where
/// there are none.
fn slow_links(replica: &Replica) -> String {
    let limit = replica.round_trip_max();
    let slow: Vec<_> = replica.round_trips().into_iter().filter(|(_, took)| *took > limit).collect();
    if slow.is_empty() {
        return String::new();
    }
    let links: Vec<_> = slow
        .iter()
        .map(|(node, took)| format!("the round trip to node {node} takes {} ms", took.as_millis()))
        .collect();
    format!(
        "; {} (the election timeouts tolerate at most {} ms: run `quorate settings set raft.profile far`, or, if that \
         fails, set raft.profile = \"far\" in the configuration of every node, and send each SIGHUP)",
        links.join(", "),
        limit.as_millis()
    )
}

/// Why the node is quarantined; `None` where it is not.
pub(crate) fn quarantined_because(replica: &Replica) -> Option<String> {
    match replica.health() {
        Health::Quarantined(why) => Some(why),
        Health::Running | Health::Diverged(_) | Health::Failed(_) => None,
    }
}

fn unusable_reason(unusable: &BTreeMap<KeyId, Unusable>) -> String {
    let why: BTreeSet<_> = unusable.values().map(|why| why.words()).collect();
    let keys: Vec<_> = unusable.keys().map(ToString::to_string).collect();
    let why = why.into_iter().collect::<Vec<_>>().join(", and ");
    format!("{why}: activate again (`quorate key activate --reactivate`), key {}", keys.join(", "))
}
