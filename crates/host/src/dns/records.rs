//! A node's view of its records in DNS: the wanted ones, the results of publishing, and the readiness of the
//! members.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use activation::settings::{Announcement, PublishDomain, Rank, Settings};
use api::{
    admin::v1::DnsSettled,
    node::v1::{DnsPublication, DnsPublicationsReply, ReadinessReply, ReadinessRequest},
};
use discovery::{Desired, DnsName, Domain, Neighbours, RecordPublisher, Snapshot};
use futures::future::join_all;
use replication::Replica;
use tokio::{
    sync::{mpsc, oneshot, watch as channel},
    time::Instant,
};

use super::{config::DnsConfig, ledger::Ledger};
use crate::{lifecycle::readiness::Readiness, limits::LOOK_TIMEOUT, peers::node_client::NodeClient, test_hooks};

/// The results of publishing in one domain since the node started.
#[derive(Clone, Debug, Default)]
pub(super) struct PublishState {
    /// When the node last saw that its record exists.
    pub(super) settled: Option<Instant>,
    pub(super) last_error: Option<String>,
}

/// A request to settle now, as the channel to which the outcome is sent.
pub(super) type SettleRequest = oneshot::Sender<DnsSettled>;

/// The part of a node that publishes its records.
pub(crate) struct Dns {
    pub(super) own: DnsConfig,
    pub(super) replica: Replica,
    pub(super) nodes: NodeClient,
    pub(super) readiness: Arc<Readiness>,
    pub(super) ledger: Ledger,
    /// This node's announcement; its addresses are looked up again periodically.
    pub(super) announcement: Mutex<Announcement>,
    pub(super) standing: Mutex<BTreeMap<String, PublishState>>,
    /// Number of foreign records under the cluster's name by domain, on the node that watches the records.
    pub(super) strangers: Mutex<BTreeMap<String, u32>>,
    pub(super) orders: mpsc::Sender<SettleRequest>,
    /// The address on which clients are served now.
    pub(super) clients: channel::Receiver<SocketAddr>,
    /// The content of the zone that this node serves; `None` where it serves none, or cannot determine the content
    /// now.
    pub(super) zone: channel::Sender<Option<Snapshot>>,
}

impl Dns {
    /// Settles now, and returns the outcome. The node first catches up with the log, so that it follows settings
    /// that were just changed on another node.
    pub(crate) async fn settle_now(&self) -> DnsSettled {
        if let Err(error) = self.replica.read_point().await {
            return self.passed_over(&error.to_string());
        }
        let (answer, answered) = oneshot::channel();
        if self.orders.try_send(answer).is_err() {
            return self.passed_over("the node is publishing its records already: try again");
        }
        answered.await.unwrap_or_else(|_| self.passed_over("the node is stopping"))
    }

    /// The results of publishing this node's own records.
    pub(crate) fn own_publications(&self) -> DnsPublicationsReply {
        let all = self.standing();
        let domains = all.iter().map(|(domain, standing)| DnsPublication {
            domain: domain.clone(),
            settled_ago_s: standing.settled.map(|at| at.elapsed().as_secs()),
            last_error: standing.last_error.clone().unwrap_or_default(),
        });
        DnsPublicationsReply { domains: domains.collect() }
    }

    pub(super) fn set_strangers<'a>(&self, domains: impl Iterator<Item = &'a String>) {
        let mut strangers = self.strangers.lock().unwrap_or_else(PoisonError::into_inner);
        // A domain without foreign records is listed with 0, so that it differs from a domain that was not checked.
        strangers.values_mut().for_each(|count| *count = 0);
        for domain in self.all_domains() {
            strangers.entry(shown(&domain)).or_default();
        }
        domains.for_each(|domain| *strangers.entry(domain.clone()).or_default() += 1);
    }

    /// Number of foreign records under the cluster's name, by domain; empty on a node that does not watch the
    /// records.
    pub(crate) fn strangers(&self) -> BTreeMap<String, u32> {
        self.strangers.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The domains in which this node may have published records.
    pub(crate) fn published(&self) -> BTreeSet<String> {
        self.ledger.records().iter().map(|record| shown(&record.domain)).collect()
    }

    /// The name of the zone that this node serves; `None` where it serves none.
    pub(crate) fn served_zone(&self) -> Option<String> {
        self.own.served.as_ref().map(|served| shown(&served.zone))
    }

    pub(super) fn passed_over(&self, why: &str) -> DnsSettled {
        DnsSettled { node: self.node(), passed_over: why.into(), domains: Vec::new() }
    }

    pub(super) fn node(&self) -> u64 {
        self.replica.identity().owner
    }

    pub(super) fn standing(&self) -> MutexGuard<'_, BTreeMap<String, PublishState>> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn announcement(&self) -> Announcement {
        self.announcement.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The records that should exist, one set per domain; empty where publishing is off.
    pub(super) fn wanted(&self) -> Vec<Desired> {
        let announcement = self.announcement();
        self.replica.view(|state| {
            let settings = state.settings();
            if !self.own.publish || !settings.dns_publish {
                return Vec::new();
            }
            let domains = self.domains(settings, &announcement).into_iter();
            domains.map(|domain| self.desired(settings, &announcement, domain)).collect()
        })
    }

    pub(super) fn desired(&self, settings: &Settings, of: &Announcement, domain: Domain) -> Desired {
        Desired {
            service: self.own.service.clone(),
            domain,
            target: DnsName::from(&of.target),
            port: of.port,
            ttl_seconds: settings.dns_ttl_s,
            addresses: of.addresses.clone(),
        }
    }

    /// The domains in which a member publishes itself: the cluster's list, or the domain of its own name (R26). The
    /// domain that the nodes serve themselves is left out.
    pub(super) fn domains(&self, settings: &Settings, of: &Announcement) -> Vec<Domain> {
        let mut domains = listed(settings, of);
        domains.retain(|domain| self.own.served.as_ref().is_none_or(|served| domain.name != served.domain));
        domains
    }

    /// The publisher that sends updates to the primaries, with the present members as its neighbours.
    pub(super) fn publisher(&self) -> RecordPublisher {
        let mut publisher = self.own.publisher();
        publisher.neighbours = self.neighbours();
        publisher
    }

    pub(super) fn neighbours(&self) -> Neighbours {
        let targets = self
            .replica
            .view(|state| state.announcements().values().map(|of| DnsName::from(&of.target)).collect::<BTreeSet<_>>());
        Neighbours {
            share_name: self.own.share_name,
            members: targets.into_iter().collect(),
            known: self.own.known.clone(),
        }
    }

    pub(super) fn now_s(&self) -> u64 {
        self.replica.wall_ms() / 1000
    }

    /// The domains in which any member publishes itself, sorted.
    pub(super) fn all_domains(&self) -> Vec<DnsName> {
        let mut names: Vec<DnsName> = self.all_desired().into_iter().map(|desired| desired.domain.name).collect();
        names.sort();
        names.dedup();
        names
    }

    /// The wanted records of every member, whether they exist or not.
    pub(super) fn all_desired(&self) -> Vec<Desired> {
        let own = self.announcement();
        self.replica.view(|state| {
            let mut members = state.announcements().clone();
            members.entry(self.node()).or_insert(own);
            let of_member = |of| self.domains(state.settings(), of).into_iter().map(move |domain| (of, domain));
            let all = members.values().flat_map(of_member);
            all.map(|(of, domain)| self.desired(state.settings(), of, domain)).collect()
        })
    }

    /// The readiness of every member that answers.
    pub(super) async fn look(&self) -> BTreeMap<u64, ReadinessReply> {
        let members = self.replica.cluster().members;
        let asked = members.keys().map(|&node| async move {
            let readiness = self.nodes.ask(node, ReadinessRequest {}, LOOK_TIMEOUT).await;
            Some((node, readiness.ok()?))
        });
        join_all(asked).await.into_iter().flatten().collect()
    }

    /// How long a member may be silent, or this node not ready, before its records are withdrawn; `None` where none
    /// are withdrawn.
    pub(super) fn silence_max(&self) -> Option<Duration> {
        let seconds = self.replica.view(|state| state.settings().dns_withdraw_dead_s);
        let silence_max = (seconds > 0).then(|| Duration::from_secs(seconds.into()));
        silence_max.map(|silence_max| test_hooks::dns_timeout().unwrap_or(silence_max))
    }
}

/// The domains in which a node publishes itself, with its rank in each: the cluster's list, or the domain of its own
/// name.
pub(super) fn listed(settings: &Settings, of: &Announcement) -> Vec<Domain> {
    let domain = |name, Rank { priority, weight }| Domain { name, priority, weight };
    match settings.dns_domains.as_slice() {
        [] => {
            let parent = DnsName::from(&of.target).parent().filter(|parent| !parent.is_root());
            parent.map(|parent| domain(parent, of.rank)).into_iter().collect()
        }
        list => {
            let listed = |entry: &PublishDomain| domain(DnsName::from(&entry.domain), entry.rank.unwrap_or(of.rank));
            list.iter().map(listed).collect()
        }
    }
}

/// A domain as people write it, without the root's dot.
pub(super) fn shown(domain: &DnsName) -> String {
    domain.to_string().trim_end_matches('.').to_owned()
}
