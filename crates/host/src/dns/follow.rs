//! Schedules updates of this node's records: when the wanted records change, on a request, and again periodically.

use std::{sync::Arc, time::Duration};

use activation::state::Command;
use api::admin::v1::DnsSettled;
use discovery::{Desired, Schedule};
use rand::{SeedableRng, rngs::StdRng};
use replication::ProposeError;
use tokio::{sync::mpsc, time::Instant};

use super::records::{Dns, SettleRequest};

/// How long the node waits before it checks again whether it is ready.
const READINESS_PAUSE: Duration = Duration::from_secs(1);
/// Longest time between two checks of the node's readiness and addresses: no event reports a change of them.
const LOOK_PAUSE: Duration = Duration::from_secs(60);
/// Longest time until a node follows a change of its TSIG key or of the system's resolver configuration.
const FOLLOW_PAUSE: Duration = Duration::from_secs(3);

struct Follower {
    dns: Arc<Dns>,
    schedule: Schedule,
    random: StdRng,
    /// The records that were settled last, and when they are due to be settled again.
    settled: Option<(Vec<Desired>, Instant)>,
    unready_since: Option<Instant>,
    /// How long to wait if no event arrives first.
    wait: Duration,
    /// The fingerprint, when records were last settled, of the files that determine how to reach the primary.
    fingerprint: u64,
}

pub(super) async fn run(dns: Arc<Dns>, mut orders: mpsc::Receiver<SettleRequest>, seed: u64) {
    let mut progress = dns.replica.progress();
    let mut seen = 0;
    let mut clients = dns.clients.clone();
    let mut follower = Follower {
        schedule: Schedule::new(dns.own.republish),
        dns,
        random: StdRng::seed_from_u64(seed),
        settled: None,
        unready_since: None,
        wait: READINESS_PAUSE,
        fingerprint: 0,
    };
    loop {
        let order = tokio::select! {
            () = tokio::time::sleep(follower.pause()) => None,
            // Entries that only count machines change no records.
            changed = progress.wait_for(|progress| progress.configuration_index > seen) => match changed {
                Ok(progress) => {
                    seen = progress.configuration_index;
                    None
                }
                Err(_) => return,
            },
            // The port on which clients are served changed.
            Ok(()) = clients.changed() => None,
            order = orders.recv() => order,
        };
        follower.step(order).await;
    }
}

impl Follower {
    fn pause(&self) -> Duration {
        let silence_max = self.dns.silence_max().unwrap_or(LOOK_PAUSE);
        self.wait.min(LOOK_PAUSE).min(FOLLOW_PAUSE).min(silence_max.max(READINESS_PAUSE))
    }

    async fn step(&mut self, order: Option<SettleRequest>) {
        if self.dns.readiness.draining().is_on() {
            return self.leave(order).await;
        }
        if let Some(why) = self.dns.readiness.unready_because() {
            return self.unready(order, &why).await;
        }
        self.unready_since = None;
        self.look_at_addresses();
        let wanted = self.dns.wanted();
        let fingerprint = self.dns.own.fingerprint();
        if std::mem::replace(&mut self.fingerprint, fingerprint) != fingerprint {
            self.settled = None;
        }
        let is_settled = |(before, due): &(Vec<Desired>, Instant)| *before == wanted && Instant::now() < *due;
        if order.is_none() && self.settled.as_ref().is_some_and(is_settled) {
            return;
        }
        let settled = match self.dns.announce().await {
            Ok(()) => self.dns.settle(&wanted).await,
            // Without the announcement, other members would treat this node's record as foreign.
            Err(why) => self.dns.passed_over(&format!("the cluster did not record this node's DNS name: {why}")),
        };
        let succeeded = settled.passed_over.is_empty() && settled.domains.iter().all(|domain| domain.status == 0);
        self.wait = self.next(succeeded);
        self.settled = Some((wanted, Instant::now() + self.wait));
        answer(order, settled);
    }

    /// A node that is not ready publishes nothing, and withdraws its records once it has been unready for as long as
    /// a silent member may be.
    async fn unready(&mut self, order: Option<SettleRequest>, why: &str) {
        let since = *self.unready_since.get_or_insert_with(Instant::now);
        (self.settled, self.wait) = (None, READINESS_PAUSE);
        let is_over = self.dns.silence_max().is_some_and(|silence_max| since.elapsed() >= silence_max);
        if is_over && !self.dns.left(&[]).is_empty() {
            tracing::warn!(why, "this node has not been ready for so long that it withdraws its DNS records");
            let settled = self.dns.settle(&[]).await;
            let succeeded = settled.domains.iter().all(|domain| domain.status == 0);
            self.wait = if succeeded { READINESS_PAUSE } else { self.next(false) };
            return answer(order, settled);
        }
        answer(order, self.dns.passed_over(&format!("the node is not ready: {why}")));
    }

    /// A node that is being drained withdraws its records at once.
    async fn leave(&mut self, order: Option<SettleRequest>) {
        (self.settled, self.unready_since, self.wait) = (None, None, READINESS_PAUSE);
        if order.is_none() && self.dns.left(&[]).is_empty() {
            return;
        }
        let settled = self.dns.settle(&[]).await;
        if settled.domains.iter().any(|domain| domain.status != 0) {
            self.wait = self.next(false);
        }
        answer(order, settled);
    }

    fn next(&mut self, succeeded: bool) -> Duration {
        if succeeded { self.schedule.succeeded(&mut self.random) } else { self.schedule.failed(&mut self.random) }
    }

    fn look_at_addresses(&self) {
        let announcement = self.dns.own.announcement(self.dns.clients.borrow().port());
        *self.dns.announcement.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = announcement;
    }
}

fn answer(order: Option<SettleRequest>, settled: DnsSettled) {
    if let Some(order) = order {
        // The requester may no longer be waiting.
        let _gone = order.send(settled);
    }
}

impl Dns {
    /// Announces this node's DNS name to the cluster, unless the state holds the same announcement already.
    async fn announce(&self) -> Result<(), ProposeError> {
        let (node, announcement) = (self.node(), self.announcement());
        let known = self.replica.view(|state| state.announcements().get(&node) == Some(&announcement));
        if known {
            return Ok(());
        }
        let announced = self.replica.propose(&Command::Announce { node, announcement }).await;
        announced.map(drop).inspect_err(|error| {
            tracing::warn!(%error, "the cluster did not record this node's DNS name");
        })
    }
}
