//! The one task that asks the nodes, for all who look.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use api::admin::v1::{
    ActivationEvent, ClusterStatusReply, DnsStatusReply, DuplicatesReply, EventsFilter, NodeExamined,
};
use futures::future::OptionFuture;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::{feed::Feed, history, sections};
use crate::{
    diagnosis::doctor::{self, Found},
    dns,
    limits::{CONSOLE_EVENTS_INTERVAL, CONSOLE_EVENTS_MAX, CONSOLE_EXAMINE_INTERVAL, CONSOLE_INTERVAL},
    observation::{self, cluster_status, counts},
};

/// What is looked at seldom, and when that was.
struct Examined {
    at: Instant,
    wall_ms: u64,
    nodes: Vec<NodeExamined>,
    dns: Option<DnsStatusReply>,
    duplicates: DuplicatesReply,
    silent: Vec<(String, String)>,
}

/// Between the three that look, each at its own pace: none waits for a slower one.
#[derive(Default)]
struct Known {
    cluster: Mutex<Option<ClusterStatusReply>>,
    examined: Mutex<Option<Arc<Examined>>>,
}

/// Asks while there is a viewer. Who comes back within a moment is told what was examined for the last one.
pub(super) async fn for_viewers(feed: &Feed) {
    let known = Known::default();
    loop {
        feed.wanted.notified().await;
        tokio::select! {
            () = look(feed, &known) => {}
            () = examine(feed, &known) => {}
            () = follow_events(feed) => {}
            () = feed.told.closed() => {}
        }
        // The next viewer is told nothing that is old.
        feed.told.send_replace(sections::Sections::default());
    }
}

fn tell(feed: &Feed, name: &'static str, section: &serde_json::Value) {
    let section: Arc<str> = section.to_string().into();
    feed.told.send_modify(|told| {
        told.insert(name, section);
    });
}

/// How the nodes are, the counts, the keys; and what follows from all that is known.
async fn look(feed: &Feed, known: &Known) {
    let watched = &feed.watched;
    let replica = &watched.replica;
    let mut ticks = interval(CONSOLE_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let cluster = cluster_status::glance(&watched.nodes).await;
        let now_ms = if cluster.cluster_time_ms > 0 { cluster.cluster_time_ms } else { watched.cluster_time_ms() };
        let unusable = cluster.nodes.iter().map(|node| {
            let keys = node.unusable_keys.iter().map(|key| (key.key_id.clone(), key.state.clone()));
            (node.node, keys.collect::<BTreeMap<_, _>>())
        });
        let unusable = unusable.collect();
        let (counts, ages, keys, settings) = replica.view(|state| {
            let ages: Vec<_> = state
                .counts(now_ms)
                .into_iter()
                .map(|of| {
                    let ages = state.count(of.publisher, of.application.as_str()).map(|count| count.ages(now_ms));
                    (history::id(&(of.publisher, of.application)), ages.unwrap_or_default())
                })
                .collect();
            let settings = counts::settings(state, None);
            (counts::counts(state, now_ms), ages, observation::keys::keys(state, &unusable), settings)
        });
        let examined = known.examined.lock().unwrap_or_else(PoisonError::into_inner).clone();
        tell(feed, "nodes", &sections::nodes(&cluster));
        tell(feed, "counts", &sections::counts(&counts, &ages));
        tell(feed, "keys", &sections::keys(&keys));
        tell(feed, "history", &feed.history.shown());
        let found = Found {
            cluster: cluster.clone(),
            examined: examined.as_ref().map_or_else(Vec::new, |examined| examined.nodes.clone()),
            keys: Some(keys),
            counts: Some(counts),
            settings,
            duplicates: examined.as_ref().map(|examined| examined.duplicates.clone()),
            dns: examined.as_ref().and_then(|examined| examined.dns.clone()),
            silent: examined.as_ref().map_or_else(Vec::new, |examined| examined.silent.clone()),
        };
        let examined_ms = examined.as_ref().map(|examined| examined.wall_ms);
        tell(feed, "checks", &sections::checks(&doctor::all(&found), examined_ms));
        if let Some(examined) = &examined {
            tell(feed, "dns", &sections::dns(examined.dns.as_ref()));
        }
        *known.cluster.lock().unwrap_or_else(PoisonError::into_inner) = Some(cluster);
        // Last: with it the page is whole.
        tell(feed, "pulse", &sections::pulse(replica.identity().owner, replica.wall_ms()));
    }
}

/// What the doctor asks besides: each node writes a little, DNS is asked, ports are tried.
async fn examine(feed: &Feed, known: &Known) {
    let watched = &feed.watched;
    loop {
        let before = known.examined.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|before| before.at);
        if let Some(before) = before {
            sleep_until(before + CONSOLE_EXAMINE_INTERVAL).await;
        }
        let at = Instant::now();
        let status = OptionFuture::from(watched.dns.as_deref().map(dns::status));
        let (nodes, dns, duplicates) =
            tokio::join!(counts::examined(&watched.nodes), status, observation::duplicates::gather(&watched.nodes));
        let cluster = known.cluster.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let cluster = match cluster {
            Some(cluster) => cluster,
            None => cluster_status::glance(&watched.nodes).await,
        };
        let silent = doctor::unreachable(doctor::hosts(&cluster, dns.as_ref())).await;
        let wall_ms = watched.replica.wall_ms();
        let examined = Examined { at, wall_ms, nodes, dns, duplicates, silent };
        *known.examined.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(examined));
    }
}

/// The last events of all nodes.
async fn follow_events(feed: &Feed) {
    let last = u32::try_from(CONSOLE_EVENTS_MAX).unwrap_or(u32::MAX);
    let filter = EventsFilter { last, ..EventsFilter::default() };
    let mut behind = BTreeMap::new();
    let mut shown: VecDeque<ActivationEvent> = VecDeque::new();
    let mut ticks = interval(CONSOLE_EVENTS_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let part = observation::events::gather(&feed.watched.nodes, &filter, &mut behind).await;
        shown.extend(part.events);
        // One that was silent may bring older ones.
        shown.make_contiguous().sort_by_key(|event| (event.time_ms, event.node, event.number));
        while shown.len() > CONSOLE_EVENTS_MAX {
            shown.pop_front();
        }
        tell(feed, "events", &sections::events(shown.iter().rev(), &part.passed_over));
    }
}
