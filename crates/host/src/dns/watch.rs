//! The leader's look at the records of all: a member that is dead is withdrawn on its behalf, one that is back is told to
//! publish itself again, a stranger is reported.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use api::admin::v1::{DnsSettleQuestion, NodeQuestion, node_question::Question};
use discovery::{DnsName, State};
use prost::Message;
use tokio::time::Instant;

use super::{Dns, name, settle::shown};

/// Between two looks.
const EVERY: Duration = Duration::from_secs(60);

/// What one leader has seen.
#[derive(Default)]
struct Seen {
    /// Members that do not answer, and since when.
    silent_since: BTreeMap<u64, Instant>,
    /// Targets of strangers that were reported.
    reported: BTreeSet<(String, String)>,
}

pub(super) async fn run(dns: Arc<Dns>) {
    let mut seen = Seen::default();
    loop {
        tokio::time::sleep(interval()).await;
        let cluster = dns.replica.cluster();
        if cluster.leader != Some(cluster.node) || !dns.own.publish {
            seen = Seen::default();
            continue;
        }
        look(&dns, &mut seen).await;
    }
}

async fn look(dns: &Dns, seen: &mut Seen) {
    let reachable = dns.reachable().await;
    seen.silent_since.retain(|node, _| reachable.get(node) == Some(&false));
    let now = Instant::now();
    for (node, _) in reachable.iter().filter(|(_, reachable)| !**reachable) {
        seen.silent_since.entry(*node).or_insert(now);
    }
    let patience = patience(dns);
    let is_alive = |node: u64| match (seen.silent_since.get(&node), patience) {
        (Some(since), Some(patience)) => now.duration_since(*since) < patience,
        // Without patience nobody is withdrawn, so nobody counts as dead. Who is no member any more is.
        (Some(_), None) => true,
        (None, _) => reachable.contains_key(&node),
    };
    for domain in dns.all_domains() {
        let entries = match dns.entries(&domain, is_alive).await {
            Ok(entries) => entries,
            Err(error) => {
                tracing::debug!(domain = shown(&domain), %error, "the records of the members could not be read");
                continue;
            }
        };
        for entry in entries {
            match entry.state {
                State::Dead => withdraw(dns, &domain, &entry.srv.target).await,
                State::Foreign if seen.reported.insert((shown(&domain), entry.srv.target.to_string())) => {
                    tracing::warn!(
                        domain = shown(&domain),
                        target = %entry.srv.target,
                        "a record under the cluster's name belongs to no member: a rogue host, or a leftover; it is \
                         left alone (list it in dns.known if it belongs there)"
                    );
                }
                State::Missing => remind(dns, &entry.srv.target).await,
                _ => {}
            }
        }
    }
}

/// A member that was cut off and withdrawn knows nothing of it: without this it would stay away until it publishes anew.
async fn remind(dns: &Dns, target: &DnsName) {
    let node = dns.replica.view(|state| {
        let mut announced = state.announcements().iter();
        announced.find(|(_, of)| name(of.target.as_str()).as_ref() == Some(target)).map(|(node, _)| *node)
    });
    let Some(node) = node else { return };
    let question = NodeQuestion { question: Some(Question::DnsSettle(DnsSettleQuestion {})) };
    // What comes of it shows at the next look.
    let _answered = dns.replica.ask(node, question.encode_to_vec().into()).await;
}

async fn withdraw(dns: &Dns, domain: &DnsName, target: &DnsName) {
    let result = dns.publisher().withdraw_dead(&dns.own.service, domain, target, dns.now_s()).await;
    match result {
        Ok(outcome) if outcome.changes.is_empty() => {}
        Ok(_) => {
            tracing::warn!(domain = shown(domain), %target, "the SRV record of a dead member was withdrawn for it");
        }
        Err(error) => {
            tracing::warn!(domain = shown(domain), %target, %error, "the record of a dead member stays");
        }
    }
}

/// How long a member may be silent; none where nobody is withdrawn.
fn patience(dns: &Dns) -> Option<Duration> {
    let seconds = dns.replica.view(|state| state.settings().dns_withdraw_dead_s);
    let patience = (seconds > 0).then(|| Duration::from_secs(seconds.into()));
    patience.map(|patience| for_tests("QUORATE_TEST_DNS_PATIENCE_MS").unwrap_or(patience))
}

fn interval() -> Duration {
    for_tests("QUORATE_TEST_DNS_WATCH_MS").unwrap_or(EVERY)
}

/// Shorter times for tests, and in their binary only.
fn for_tests(variable: &str) -> Option<Duration> {
    let text = std::env::var(variable).ok().filter(|_| cfg!(feature = "fault-injection"))?;
    text.parse().ok().map(Duration::from_millis)
}
