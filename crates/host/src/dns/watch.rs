//! Watches the records of all members: a dead member's record is withdrawn on its behalf, a member whose record is
//! missing is asked to publish itself again, and a foreign record is reported.
//!
//! One node watches: the leader, or, where the leader has no name in DNS, the first node that has one and answers.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use activation::state::Command;
use api::node::v1::{ReadinessReply, SettleDnsRequest};
use discovery::{DnsName, RecordState};
use tokio::time::Instant;

use super::records::{Dns, shown};
use crate::{limits::LOOK_TIMEOUT, test_hooks};

/// Pause between two checks.
const EVERY: Duration = Duration::from_secs(60);

/// The results of earlier checks on the node that watches.
#[derive(Default)]
struct WatchState {
    /// Members that do not answer, and since when.
    silent_since: BTreeMap<u64, Instant>,
    /// Domain and target of the foreign records that exist.
    strangers: BTreeSet<(String, String)>,
    /// The last error in a domain, or for a target in it.
    failures: BTreeMap<(String, String), String>,
}

pub(super) async fn run(dns: Arc<Dns>) {
    let mut seen = WatchState::default();
    loop {
        tokio::time::sleep(test_hooks::dns_check_interval().unwrap_or(EVERY)).await;
        let members = dns.look().await;
        if dns.is_on_duty(&members) {
            look(&dns, &members, &mut seen).await;
        } else {
            seen = WatchState::default();
        }
        dns.set_strangers(seen.strangers.iter().map(|(domain, _)| domain));
    }
}

impl Dns {
    fn is_on_duty(&self, answering: &BTreeMap<u64, ReadinessReply>) -> bool {
        let leader = self.replica.cluster().leader;
        // Without a leader, or without contact to it, this node's view is not reliable enough.
        let Some(leader) = leader.filter(|leader| answering.contains_key(leader)) else { return false };
        let announced: BTreeSet<u64> = self.replica.view(|state| state.announcements().keys().copied().collect());
        let on_duty = if announced.contains(&leader) {
            Some(leader)
        } else {
            announced.into_iter().find(|node| answering.contains_key(node))
        };
        on_duty == Some(self.node())
    }
}

impl WatchState {
    /// Logs an error once, until another one replaces it.
    fn failed(&mut self, domain: &DnsName, target: String, error: &discovery::PublishError) {
        let said = self.failures.insert((shown(domain), target.clone()), error.to_string());
        if said.as_deref() != Some(error.to_string().as_str()) {
            tracing::warn!(domain = shown(domain), target, %error, "could not check the members' DNS records");
        }
    }
}

async fn look(dns: &Dns, answering: &BTreeMap<u64, ReadinessReply>, seen: &mut WatchState) {
    let members = dns.replica.cluster().members;
    seen.silent_since.retain(|node, _| members.contains_key(node) && !answering.contains_key(node));
    let now = Instant::now();
    for node in members.keys().filter(|node| !answering.contains_key(node)) {
        seen.silent_since.entry(*node).or_insert(now);
    }
    let silence_max = dns.silence_max();
    let silent_since = seen.silent_since.clone();
    let is_alive = |node: u64| match (silent_since.get(&node), silence_max) {
        (Some(since), Some(silence_max)) => now.duration_since(*since) < silence_max,
        // Where silent members are not withdrawn, no member counts as dead. A node that is no longer a member counts
        // as dead.
        (Some(_), None) => true,
        (None, _) => members.contains_key(&node),
    };
    let mut strangers = BTreeSet::new();
    // Announcements of former members: they are deleted once their records are gone from every domain.
    let announced = dns.replica.view(|state| state.announcements().keys().copied().collect::<Vec<_>>());
    let gone: Vec<_> = announced.into_iter().filter(|node| !members.contains_key(node)).collect();
    let mut is_clean = true;
    for domain in dns.all_domains() {
        let entries = match dns.entries(&domain, is_alive).await {
            Ok(entries) => entries,
            Err(error) => {
                seen.failed(&domain, String::new(), &error);
                is_clean = false;
                continue;
            }
        };
        seen.failures.remove(&(shown(&domain), String::new()));
        for entry in entries {
            match entry.state {
                RecordState::Dead => {
                    is_clean = false;
                    withdraw(dns, &domain, &entry.srv.target, seen).await;
                }
                RecordState::Foreign => {
                    strangers.insert((shown(&domain), entry.srv.target.to_string()));
                }
                RecordState::Missing => remind(dns, &entry.srv.target).await,
                _ => {}
            }
        }
    }
    for (domain, target) in strangers.difference(&seen.strangers) {
        tracing::warn!(
            domain,
            target,
            "a record under the cluster's name belongs to no member: a rogue host, or a stale record; it is not \
             changed (list it in dns.known if it is expected)"
        );
    }
    seen.strangers = strangers;
    for node in gone.into_iter().filter(|_| is_clean) {
        if let Err(error) = dns.replica.propose(&Command::Forget { node }).await {
            tracing::warn!(node, %error, "could not delete the DNS announcement of a former member yet");
        }
    }
}

/// Asks a member to publish itself again. A member that was cut off and withdrawn does not notice that: without this
/// request its record would be missing until its next periodic update.
async fn remind(dns: &Dns, target: &DnsName) {
    let node = dns.replica.view(|state| {
        let mut announced = state.announcements().iter();
        announced.find(|(_, of)| DnsName::from(&of.target) == *target).map(|(node, _)| *node)
    });
    let Some(node) = node else { return };
    // The next check shows the result.
    let _answered = dns.nodes.ask(node, SettleDnsRequest {}, LOOK_TIMEOUT).await;
}

async fn withdraw(dns: &Dns, domain: &DnsName, target: &DnsName, seen: &mut WatchState) {
    let result = dns.publisher().withdraw_dead(&dns.own.service, domain, target, dns.now_s()).await;
    match result {
        Ok(outcome) => {
            seen.failures.remove(&(shown(domain), target.to_string()));
            if !outcome.changes.is_empty() {
                tracing::warn!(domain = shown(domain), %target, "withdrew the SRV record of a dead member");
            }
        }
        Err(error) => seen.failed(domain, target.to_string(), &error),
    }
}
