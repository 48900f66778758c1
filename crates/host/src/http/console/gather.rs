//! The single task that requests data from the nodes for all viewers.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use admin::{
    cluster::{self, ClusterObservation, UnreachablePort, client_endpoints},
    wire::unusable_state,
};
use api::admin::v1::{
    ActivationEvent, ClusterStatusReply, DnsStatusReply, DuplicatesReply, EventsFilter, MachineReport,
};
use futures::future::OptionFuture;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::{feed::Feed, history, sections};
use crate::{
    dns,
    limits::{CONSOLE_EVENTS_INTERVAL, CONSOLE_EVENTS_MAX, CONSOLE_EXAMINE_INTERVAL, CONSOLE_INTERVAL},
    observation::{self, cluster_status, counts},
};

/// The data that is gathered only every [`CONSOLE_EXAMINE_INTERVAL`], and when it was gathered.
struct SlowObservation {
    at: Instant,
    wall_ms: u64,
    machines: Vec<MachineReport>,
    dns: Option<DnsStatusReply>,
    duplicates: DuplicatesReply,
    unreachable: Vec<UnreachablePort>,
}

/// Results shared between the three loops, each with its own interval, so that none waits for a slower one.
#[derive(Default)]
struct Known {
    cluster: Mutex<Option<ClusterStatusReply>>,
    slow: Mutex<Option<Arc<SlowObservation>>>,
}

/// Observes the cluster while there is a viewer. A viewer that reconnects soon is shown the last slow observation.
pub(super) async fn for_viewers(feed: &Feed) {
    let known = Known::default();
    loop {
        feed.wanted.notified().await;
        tokio::select! {
            () = look(feed, &known) => {}
            () = observe_slowly(feed, &known) => {}
            () = follow_events(feed) => {}
            () = feed.told.closed() => {}
        }
        // Clear the sections, so that the next viewer gets no outdated data.
        feed.told.send_replace(sections::Sections::default());
    }
}

fn tell(feed: &Feed, name: &'static str, section: &serde_json::Value) {
    let section: Arc<str> = section.to_string().into();
    feed.told.send_modify(|told| {
        told.insert(name, section);
    });
}

/// Gathers the state of the nodes, the counts and the keys, and runs the checks on all gathered data.
async fn look(feed: &Feed, known: &Known) {
    let watched = &feed.watched;
    let replica = &watched.replica;
    let mut ticks = interval(CONSOLE_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let cluster = cluster_status::glance(&watched.nodes).await;
        let now_ms = watched.expiry_time_ms();
        let unusable = cluster.nodes.iter().map(|node| {
            let keys = node.unusable_keys.iter().map(|key| (key.key_id.clone(), unusable_state(key)));
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
        let slow = known.slow.lock().unwrap_or_else(PoisonError::into_inner).clone();
        tell(feed, "nodes", &sections::nodes(&cluster));
        tell(feed, "counts", &sections::counts(&counts, &ages));
        tell(feed, "keys", &sections::keys(&keys));
        tell(feed, "history", &feed.history.shown());
        let observation = ClusterObservation {
            status: cluster.clone(),
            machines: slow.as_ref().map_or_else(Vec::new, |slow| slow.machines.clone()),
            keys: Some(keys),
            counts: Some(counts),
            settings,
            duplicates: slow.as_ref().map(|slow| slow.duplicates.clone()),
            dns: slow.as_ref().and_then(|slow| slow.dns.clone()),
            unreachable: slow.as_ref().map(|slow| slow.unreachable.clone()),
        };
        let slow_ms = slow.as_ref().map(|slow| slow.wall_ms);
        tell(feed, "checks", &sections::checks(&cluster::check(&observation), slow_ms));
        if let Some(slow) = &slow {
            tell(feed, "dns", &sections::dns(slow.dns.as_ref()));
        }
        *known.cluster.lock().unwrap_or_else(PoisonError::into_inner) = Some(cluster);
        // Sent last: with this section the page is complete.
        tell(feed, "pulse", &sections::pulse(replica.identity().owner, replica.wall_ms()));
    }
}

/// Gathers what costs more: each node writes and syncs a small amount of data, DNS is queried, ports are tried.
async fn observe_slowly(feed: &Feed, known: &Known) {
    let watched = &feed.watched;
    loop {
        let before = known.slow.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|before| before.at);
        if let Some(before) = before {
            sleep_until(before + CONSOLE_EXAMINE_INTERVAL).await;
        }
        let at = Instant::now();
        let status = OptionFuture::from(watched.dns.as_deref().map(dns::status));
        let (machines, dns, duplicates) = tokio::join!(
            counts::probe_machines(&watched.nodes),
            status,
            observation::duplicates::gather(&watched.nodes)
        );
        let cluster = known.cluster.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let cluster = match cluster {
            Some(cluster) => cluster,
            None => cluster_status::glance(&watched.nodes).await,
        };
        let unreachable = transport::unreachable_ports(client_endpoints(&cluster, dns.as_ref())).await;
        let unreachable = unreachable.into_iter().map(|(port, why)| UnreachablePort::new(port, why)).collect();
        let wall_ms = watched.replica.wall_ms();
        let slow = SlowObservation { at, wall_ms, machines, dns, duplicates, unreachable };
        *known.slow.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(slow));
    }
}

/// Gathers the last events of all nodes.
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
        // A node that did not answer before may deliver older events.
        shown.make_contiguous().sort_by_key(|event| (event.time_ms, event.node, event.number));
        while shown.len() > CONSOLE_EVENTS_MAX {
            shown.pop_front();
        }
        tell(feed, "events", &sections::events(shown.iter().rev(), &part.passed_over));
    }
}
