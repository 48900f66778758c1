//! A node's records in DNS (R25 to R29): published while it may answer clients, brought in line when the settings change,
//! and again now and then; and, on the leader, those of members that are dead.
//!
//! What is wanted comes from the node's own configuration (its name, rank, key) and from the cluster's settings (where,
//! whether, for how long). A restart withdraws nothing: it takes seconds, and DNS forgets slowly.
//!
//! Invariant: never publishes a node that is not ready, and never touches a record that is not this node's or a dead
//! member's.

mod identity;
mod settle;
mod status;
mod watch;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use activation::{
    settings::{Announcement, Settings},
    state::Command,
};
use api::admin::v1::DnsSettled;
use discovery::{Desired, DnsName, Domain, Neighbours, Publisher, Schedule};
use rand::{SeedableRng, rngs::StdRng};
use replication::Replica;
use tokio::sync::{mpsc, oneshot};

pub(crate) use self::identity::Own;
pub(crate) use self::status::{status, zone};
use crate::{cluster_status, question::Desk};

/// How long the node waits before it looks again whether it is ready.
const READINESS_PAUSE: Duration = Duration::from_secs(1);
/// How long at most it does not look whether its addresses changed: nobody tells it.
const LOOK_PAUSE: Duration = Duration::from_secs(60);
/// Requests to settle at once.
const ORDERS_MAX: usize = 8;

/// What became of a domain since the node started.
#[derive(Clone, Debug, Default)]
pub(crate) struct Standing {
    /// By this node's clock.
    published_ms: Option<u64>,
    last_error: Option<String>,
    /// Whether the node's record may stand there.
    may_stand: bool,
}

/// The part of a node that knows its records.
pub(crate) struct Dns {
    own: Own,
    replica: Replica,
    desk: Arc<Desk>,
    standing: Mutex<BTreeMap<String, Standing>>,
    orders: mpsc::Sender<oneshot::Sender<DnsSettled>>,
}

/// Starts the tasks, and gives what commands ask.
pub(crate) fn start(
    own: Own,
    replica: Replica,
    desk: Arc<Desk>,
    seed: u64,
    tasks: &mut tokio::task::JoinSet<()>,
) -> Arc<Dns> {
    let (orders, received) = mpsc::channel(ORDERS_MAX);
    let dns = Arc::new(Dns { own, replica, desk, standing: Mutex::default(), orders });
    tasks.spawn(follow(Arc::clone(&dns), received, StdRng::seed_from_u64(seed)));
    tasks.spawn(watch::run(Arc::clone(&dns)));
    dns
}

/// Settles whenever something calls for it.
async fn follow(dns: Arc<Dns>, mut orders: mpsc::Receiver<oneshot::Sender<DnsSettled>>, mut random: StdRng) {
    let mut schedule = Schedule::new(dns.own.republish);
    let mut progress = dns.replica.progress();
    let mut settled_for = None;
    let mut wait = READINESS_PAUSE;
    loop {
        let order = tokio::select! {
            () = tokio::time::sleep(wait.min(LOOK_PAUSE)) => None,
            changed = progress.changed() => if changed.is_ok() { None } else { return },
            order = orders.recv() => order,
        };
        let wanted = dns.wanted();
        if order.is_none() && settled_for.as_ref().is_some_and(|(before, due)| *before == wanted && !due_now(*due)) {
            continue;
        }
        if !dns.desk.is_ready() {
            answer(order, dns.passed_over("the node is not ready"));
            (settled_for, wait) = (None, READINESS_PAUSE);
            continue;
        }
        dns.announce().await;
        let settled = dns.settle().await;
        let failed = settled.domains.iter().any(|domain| domain.status != 0);
        wait = if failed { schedule.failed(&mut random) } else { schedule.succeeded(&mut random) };
        settled_for = Some((wanted, tokio::time::Instant::now() + wait));
        answer(order, settled);
    }
}

fn due_now(due: tokio::time::Instant) -> bool {
    tokio::time::Instant::now() >= due
}

fn answer(order: Option<oneshot::Sender<DnsSettled>>, settled: DnsSettled) {
    if let Some(order) = order {
        // Whoever asked may be gone.
        let _gone = order.send(settled);
    }
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

    fn passed_over(&self, why: &str) -> DnsSettled {
        DnsSettled { node: self.node(), passed_over: why.into(), domains: Vec::new() }
    }

    fn node(&self) -> u64 {
        self.replica.identity().owner
    }

    fn standing(&self) -> MutexGuard<'_, BTreeMap<String, Standing>> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The records that should stand, one set a domain; none where publishing is off.
    fn wanted(&self) -> Vec<Desired> {
        let publishes = self.own.publish && self.replica.view(|state| state.settings().dns_publish);
        if !publishes {
            return Vec::new();
        }
        let announcement = self.own.announcement();
        self.replica.view(|state| {
            domains(state.settings(), &announcement)
                .into_iter()
                .map(|domain| self.desired(state.settings(), &announcement, domain))
                .collect()
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

    /// Tells the cluster where this node is found, if it does not know.
    async fn announce(&self) {
        let (node, announcement) = (self.node(), self.own.announcement());
        let known = self.replica.view(|state| state.announcements().get(&node) == Some(&announcement));
        if known {
            return;
        }
        if let Err(error) = self.replica.propose(&Command::Announce { node, announcement }).await {
            tracing::warn!(%error, "the cluster did not take note of this node's DNS name");
        }
    }

    fn now_s(&self) -> u64 {
        self.replica.wall_ms() / 1000
    }

    /// Which members answer, by number.
    async fn reachable(&self) -> BTreeMap<u64, bool> {
        let status = cluster_status::gather(&self.replica).await;
        status.nodes.iter().map(|node| (node.node, node.reachable)).collect()
    }
}

fn name(text: &str) -> Option<DnsName> {
    text.parse().ok()
}

/// Where a node publishes itself: the cluster's list, or the domain of its own name (R26).
fn domains(settings: &Settings, of: &Announcement) -> Vec<Domain> {
    let own = activation::settings::PublishDomain {
        domain: match of.target.as_str().split_once('.').and_then(|(_, parent)| parent.parse().ok()) {
            Some(parent) => parent,
            None => return Vec::new(),
        },
        rank: None,
    };
    let list = if settings.dns_domains.is_empty() { vec![own] } else { settings.dns_domains.clone() };
    let domain = |entry: &activation::settings::PublishDomain| {
        let rank = entry.rank.unwrap_or(of.rank);
        Some(Domain { name: name(entry.domain.as_str())?, priority: rank.priority, weight: rank.weight })
    };
    list.iter().filter_map(domain).collect()
}
