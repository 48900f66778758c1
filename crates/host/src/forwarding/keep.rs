//! Keeps the gateway up to date: settings of the cluster, the nodes' reports, and on the leader the choice of the
//! preferred upstream of each group (G3).

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::{Arc, PoisonError},
    time::Duration,
};

use activation::{
    settings::{Scope, Setting, SettingChange},
    state::Command,
};
use api::{admin::v1::GatewayNode, node::v1::GatewayReportRequest};
use futures::future::join_all;
use gateway::{Chooser, GroupName, GroupView, HostPort, Report, State};
use tokio::time::{Instant, sleep, timeout};

use super::{Forwarding, settings, state_in};
use crate::{
    limits::{DISTINCT_INTERVAL, LOOK_TIMEOUT},
    peers::node_client::NodeClient,
    tasks::{self, HostTask},
};

/// How often the reports are read and the choice is reviewed.
const INTERVAL: Duration = Duration::from_secs(1);

type States = BTreeMap<GroupName, BTreeMap<HostPort, State>>;

/// What a leader remembers.
struct Leading {
    choosers: BTreeMap<GroupName, Chooser>,
    reports: BTreeMap<u64, (Duration, States)>,
}

/// Follows the settings until the replica stops, and carries reports and decisions.
pub(crate) async fn keep(forwarding: Arc<Forwarding>, nodes: NodeClient) {
    let mut progress = nodes.replica().progress();
    let began = Instant::now();
    let mut leading: Option<Leading> = None;
    let mut saved = Instant::now();
    loop {
        let seen = progress.borrow_and_update().configuration_index;
        forwarding.follow();
        let cluster = nodes.replica().cluster();
        // Without a leader every node probes for itself.
        forwarding.gateway.set_prober(cluster.leader.is_none_or(|leader| leader == cluster.node));
        if !forwarding.is_on() || cluster.leader != Some(cluster.node) {
            leading = None;
            // The leader alone probes what is healthy: a failure that it reports makes this node probe, too.
            if let Some(leader) = cluster.leader.filter(|_| forwarding.is_on())
                && let Ok(report) = nodes.ask(leader, GatewayReportRequest {}, LOOK_TIMEOUT).await
            {
                let _states = forwarding.heard(report);
            }
        } else {
            let leading =
                leading.get_or_insert_with(|| Leading { choosers: BTreeMap::new(), reports: BTreeMap::new() });
            leading.hear(&forwarding, &nodes, began).await;
            leading.choose(&forwarding, cluster.members.len(), began).await;
        }
        if forwarding.is_on() && saved.elapsed() >= DISTINCT_INTERVAL {
            saved = Instant::now();
            let (clients, now_ms) = (Arc::clone(&forwarding.clients), nodes.replica().wall_ms());
            if let Ok(Err(error)) = tasks::blocking(HostTask::SketchFolder, move || clients.save(now_ms)).await {
                tracing::debug!(%error, "could not save the sketches that estimate the number of distinct clients");
            }
        }
        let changed = progress.wait_for(|progress| progress.configuration_index > seen);
        tokio::select! {
            changed = changed => if changed.is_err() { return },
            () = sleep(INTERVAL) => {}
        }
    }
}

impl Forwarding {
    /// Takes the settings and the choice of the applied state.
    fn follow(&self) {
        let (mapped, members, choice, forward) = self.replica.view(|state| {
            let own = (self.allow.clone(), self.timeouts);
            let members = state.announcements().values();
            let addresses: BTreeSet<SocketAddr> = members
                .clone()
                .flat_map(|member| member.addresses.iter().map(|address| SocketAddr::new(*address, member.port)))
                .collect();
            let mapped = settings::of_cluster(state.settings(), members, own);
            (mapped, addresses, settings::choice(state.settings()), state.settings().gateway_forward)
        });
        let mapped = match mapped {
            Ok(mapped) => mapped,
            Err(why) => {
                // The administration checks settings before it proposes them; a member that was announced later may
                // still be an upstream. Logged once, not at every look.
                let why = why.to_string();
                let before = self.unusable.lock().unwrap_or_else(PoisonError::into_inner).replace(why.clone());
                if before.as_ref() != Some(&why) {
                    tracing::error!(why, "the gateway's settings cannot be used: the previous ones stay in force");
                }
                return;
            }
        };
        *self.unusable.lock().unwrap_or_else(PoisonError::into_inner) = None;
        *self.members.write().unwrap_or_else(PoisonError::into_inner) = members;
        let is_on = !mapped.groups().is_empty();
        let groups: Vec<_> = mapped.groups().keys().cloned().collect();
        if *self.mapped.lock().unwrap_or_else(PoisonError::into_inner) != mapped {
            self.gateway.set_settings(mapped.clone());
            *self.mapped.lock().unwrap_or_else(PoisonError::into_inner) = mapped;
        }
        for group in groups {
            self.gateway.set_preferred(&group, choice.get(&group).cloned());
        }
        let wanted = is_on.then_some(forward);
        self.forward.send_if_modified(|forward| {
            let changes = *forward != wanted;
            *forward = wanted;
            changes
        });
    }
}

impl Leading {
    /// Reads every node's report. A node that does not answer has none that is new.
    async fn hear(&mut self, forwarding: &Forwarding, nodes: &NodeClient, began: Instant) {
        let cluster = nodes.replica().cluster();
        let others = cluster.members.keys().copied().filter(|node| *node != cluster.node);
        let asked = others.map(async |node| (node, nodes.ask(node, GatewayReportRequest {}, LOOK_TIMEOUT).await));
        let replies = timeout(LOOK_TIMEOUT, join_all(asked)).await.unwrap_or_default();
        let now = began.elapsed();
        self.reports.retain(|node, _| cluster.members.contains_key(node));
        self.reports.insert(cluster.node, (now, forwarding.gateway.report()));
        for (node, reply) in replies {
            let Ok(reply) = reply else { continue };
            let states = forwarding.heard(reply);
            self.reports.insert(node, (now, states));
        }
    }

    /// Decides for each group, and proposes what changes.
    async fn choose(&mut self, forwarding: &Forwarding, nodes: usize, began: Instant) {
        let targets = forwarding.gateway.targets();
        self.choosers.retain(|group, _| targets.contains_key(group));
        let mut choice = BTreeMap::new();
        let mut is_changed = false;
        for (group, (targets, current)) in &targets {
            let reports = self.reports.iter().map(|(node, (at, states))| {
                let states = states.get(group).cloned().unwrap_or_default();
                (*node, Report { at: *at, states })
            });
            let reports = reports.collect();
            let view = GroupView { targets, current: current.as_ref(), nodes, reports: &reports };
            let chooser = self.choosers.entry(group.clone()).or_default();
            match chooser.decide(&view, began.elapsed()) {
                Some(change) => {
                    let before = current.as_ref().map(ToString::to_string).unwrap_or_default();
                    tracing::info!(%group, before, to = %change.to, "the preferred upstream changes: {}", change.reason);
                    choice.insert(group.clone(), change.to);
                    is_changed = true;
                }
                None => choice.extend(current.clone().map(|current| (group.clone(), current))),
            }
        }
        if is_changed && let Err(why) = forwarding.propose(&choice).await {
            tracing::warn!(%why, "the preferred upstream was not replicated; the choice is made again");
        }
    }
}

impl Forwarding {
    /// Takes another node's report: what fails there is probed from here, too. Returns the states in it.
    fn heard(&self, report: GatewayNode) -> States {
        let mut states = States::new();
        for upstream in report.upstreams {
            let (group, address, state) = (&upstream.group, &upstream.address, upstream.state());
            let (Ok(group), Some(address)) = (group.parse(), endpoint(address)) else { continue };
            states.entry(group).or_default().insert(address, state_in(state));
        }
        for (group, states) in &states {
            self.gateway.heard(group, states);
        }
        states
    }

    async fn propose(&self, choice: &BTreeMap<GroupName, HostPort>) -> Result<(), String> {
        let text: Vec<_> = choice.iter().map(|(group, address)| format!("{group}={address}")).collect();
        let change = SettingChange::parse(Scope::Cluster, Setting::GatewayChoice, &text.join(","));
        let change = change.map_err(|error| error.to_string())?;
        let command = Command::ChangeSettings { node: None, changes: vec![change] };
        let index = self.replica.propose(&command).await.map_err(|error| error.to_string())?;
        self.replica.wait_applied(index).await.map_err(|error| error.to_string())
    }
}

fn endpoint(text: &str) -> Option<HostPort> {
    match text.parse().ok()? {
        gateway::UpstreamAddress::Host(host) => Some(host),
        gateway::UpstreamAddress::Srv(_) => None,
    }
}
