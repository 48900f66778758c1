//! A node's records in DNS (R25 to R29): published while it may answer clients, brought in line when the settings change,
//! and again now and then; on one node, the leader where it can, those of members that are dead; and, where a zone was
//! delegated to the nodes, the zone itself.
//!
//! What is wanted comes from the node's own configuration (its name, rank, key) and from the cluster's settings (where,
//! whether, for how long). A restart withdraws nothing: it takes seconds, and DNS forgets slowly. A node that may not
//! answer clients for as long as a dead one is borne withdraws itself.
//!
//! Invariant: never publishes a node that is not ready, and never touches a record that is not this node's or a dead
//! member's.

mod follow;
mod identity;
mod ledger;
mod serve;
mod settle;
mod status;
mod watch;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use activation::settings::{Announcement, PublishDomain, Settings};
use api::admin::v1::{
    DnsDomainStanding, DnsSettled, DnsStanding, Readiness, ReadinessQuestion, node_answer::Answer,
    node_question::Question,
};
use discovery::{Desired, DnsName, Domain, Neighbours, Publisher, Snapshot};
use futures::future::join_all;
use replication::Replica;
use tokio::{
    net::{TcpListener, UdpSocket},
    sync::{mpsc, oneshot, watch as channel},
    time::Instant,
};

pub(crate) use self::{
    identity::Own,
    ledger::Ledger,
    status::{status, zone},
};
use self::{identity::Served, settle::shown};
use crate::{desk::Desk, limits::LOOK_TIMEOUT, question, test_hooks};

/// Requests to settle at once.
const ORDERS_MAX: usize = 8;

/// What became of a domain since the node started.
#[derive(Clone, Debug, Default)]
struct Standing {
    /// When the node last saw that its record stands.
    settled: Option<Instant>,
    last_error: Option<String>,
}

/// Someone who waits for what comes of settling.
type Order = oneshot::Sender<DnsSettled>;

/// The part of a node that knows its records.
pub(crate) struct Dns {
    own: Own,
    replica: Replica,
    desk: Arc<Desk>,
    ledger: Ledger,
    /// Its addresses are looked up now and then.
    announcement: Mutex<Announcement>,
    standing: Mutex<BTreeMap<String, Standing>>,
    /// Records of others under the cluster's name by domain, as this node saw them where it looks.
    strangers: Mutex<BTreeMap<String, u32>>,
    orders: mpsc::Sender<Order>,
    /// Where clients are served now.
    clients: channel::Receiver<SocketAddr>,
    /// What the zone that this node serves holds; nothing where it serves none, or knows nothing now.
    zone: channel::Sender<Option<Snapshot>>,
}

/// One address on which the node answers DNS.
pub(crate) type Sockets = (UdpSocket, TcpListener);

/// Starts the tasks, and gives what commands ask.
pub(crate) fn start(
    (own, ledger, sockets, clients): (Own, Ledger, Vec<Sockets>, channel::Receiver<SocketAddr>),
    replica: Replica,
    desk: Arc<Desk>,
    seed: u64,
    tasks: &mut tokio::task::JoinSet<()>,
) -> Arc<Dns> {
    let (orders, received) = mpsc::channel(ORDERS_MAX);
    let port = clients.borrow().port();
    let dns = Arc::new(Dns {
        announcement: Mutex::new(own.announcement(port)),
        clients,
        own,
        replica,
        desk,
        ledger,
        standing: Mutex::default(),
        strangers: Mutex::default(),
        orders,
        zone: channel::Sender::new(None),
    });
    tasks.spawn(follow::run(Arc::clone(&dns), received, seed));
    tasks.spawn(watch::run(Arc::clone(&dns)));
    if let Some(served) = dns.own.served.clone() {
        tasks.spawn(serve::run(Arc::clone(&dns), served, sockets));
    }
    dns
}

impl Dns {
    /// Settles now, and says what came of it. First it catches up: settings that were changed on another node are to be
    /// followed, not those of before.
    pub(crate) async fn settle_now(&self) -> DnsSettled {
        if let Err(error) = self.replica.read_point().await {
            return self.passed_over(&error.to_string());
        }
        let (answer, answered) = oneshot::channel();
        if self.orders.try_send(answer).is_err() {
            return self.passed_over("the node is busy with its records already: ask again");
        }
        answered.await.unwrap_or_else(|_| self.passed_over("the node is stopping"))
    }

    /// What became of this node's own records.
    pub(crate) fn own_standing(&self) -> DnsStanding {
        let all = self.standing();
        let domains = all.iter().map(|(domain, standing)| DnsDomainStanding {
            domain: domain.clone(),
            settled_ago_s: standing.settled.map(|at| at.elapsed().as_secs()),
            last_error: standing.last_error.clone().unwrap_or_default(),
        });
        DnsStanding { domains: domains.collect() }
    }

    fn set_strangers<'a>(&self, domains: impl Iterator<Item = &'a String>) {
        let mut strangers = self.strangers.lock().unwrap_or_else(PoisonError::into_inner);
        // A domain without any is listed with none, so that nobody takes silence for order.
        strangers.values_mut().for_each(|count| *count = 0);
        for domain in self.all_domains() {
            strangers.entry(shown(&domain)).or_default();
        }
        domains.for_each(|domain| *strangers.entry(domain.clone()).or_default() += 1);
    }

    /// Records of others under the cluster's name, by domain; none on a node that does not look.
    pub(crate) fn strangers(&self) -> BTreeMap<String, u32> {
        self.strangers.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Domains with records of this node's making.
    pub(crate) fn published(&self) -> BTreeSet<String> {
        self.ledger.places().iter().map(|place| shown(&place.domain)).collect()
    }

    /// The zone that this node answers for.
    pub(crate) fn served_zone(&self) -> Option<String> {
        self.own.served.as_ref().map(|served| shown(&served.zone))
    }

    fn passed_over(&self, why: &str) -> DnsSettled {
        DnsSettled { node: self.node(), passed_over: why.into(), domains: Vec::new() }
    }

    fn node(&self) -> u64 {
        self.replica.identity().owner
    }

    fn standing(&self) -> MutexGuard<'_, BTreeMap<String, Standing>> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn announcement(&self) -> Announcement {
        self.announcement.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The records that should stand, one set a domain; none where publishing is off.
    fn wanted(&self) -> Vec<Desired> {
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

    fn desired(&self, settings: &Settings, of: &Announcement, domain: Domain) -> Desired {
        Desired {
            service: self.own.service.clone(),
            domain,
            target: name(of.target.as_str()).unwrap_or_else(|| self.own.target.clone()),
            port: of.port,
            ttl_seconds: settings.dns_ttl_s,
            addresses: of.addresses.clone(),
        }
    }

    /// Where a node publishes itself: the cluster's list, or the domain of its own name (R26); never where the nodes
    /// answer themselves.
    fn domains(&self, settings: &Settings, of: &Announcement) -> Vec<Domain> {
        let mut domains = listed(settings, of);
        domains.retain(|domain| self.own.served.as_ref().is_none_or(|served| domain.name != served.domain));
        domains
    }

    /// The way to the primaries, with the neighbours as they are now.
    fn publisher(&self) -> Publisher {
        let mut publisher = self.own.publisher.clone();
        publisher.neighbours = self.neighbours();
        publisher
    }

    fn neighbours(&self) -> Neighbours {
        let targets = self.replica.view(|state| {
            state.announcements().values().filter_map(|of| name(of.target.as_str())).collect::<BTreeSet<_>>()
        });
        Neighbours {
            share_name: self.own.share_name,
            members: targets.into_iter().collect(),
            known: self.own.known.clone(),
        }
    }

    fn now_s(&self) -> u64 {
        self.replica.wall_ms() / 1000
    }

    /// How every member is that answers.
    async fn look(&self) -> BTreeMap<u64, Readiness> {
        let members = self.replica.cluster().members;
        let asked = members.keys().map(|&node| async move {
            let question = Question::Readiness(ReadinessQuestion {});
            match question::ask(&self.replica, node, question, LOOK_TIMEOUT).await {
                Ok(Answer::Readiness(readiness)) => Some((node, readiness)),
                _ => None,
            }
        });
        join_all(asked).await.into_iter().flatten().collect()
    }

    /// How long a member may be silent, or this node not ready; none where nobody is withdrawn.
    fn patience(&self) -> Option<Duration> {
        let seconds = self.replica.view(|state| state.settings().dns_withdraw_dead_s);
        let patience = (seconds > 0).then(|| Duration::from_secs(seconds.into()));
        patience.map(|patience| test_hooks::dns_timeout().unwrap_or(patience))
    }
}

fn name(text: &str) -> Option<DnsName> {
    text.parse().ok()
}

fn listed(settings: &Settings, of: &Announcement) -> Vec<Domain> {
    let own = || {
        let (_, parent) = of.target.as_str().split_once('.')?;
        Some(PublishDomain { domain: parent.parse().ok()?, rank: None })
    };
    let list = match settings.dns_domains.as_slice() {
        [] => own().into_iter().collect(),
        list => list.to_vec(),
    };
    let domain = |entry: &PublishDomain| {
        let rank = entry.rank.unwrap_or(of.rank);
        Some(Domain { name: name(entry.domain.as_str())?, priority: rank.priority, weight: rank.weight })
    };
    list.iter().filter_map(domain).collect()
}
