//! The state of a gateway: settings, groups with their upstreams, preferences. Reads no clock.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use dcerpc::relay::SyntaxId;
use discovery::{DnsName, Srv};
use rand::rngs::StdRng;
use uuid::{Uuid, uuid};

use crate::{
    address::{HostPort, UpstreamAddress},
    choice::{
        health::State,
        order,
        target::{Rank, Target},
    },
    driver::{
        names::{Found, NotFound},
        observer::UpstreamId,
        srv::SrvNames,
        upstreams::UpstreamState,
    },
    limits::UPSTREAMS_MAX,
    loops::LoopKey,
    settings::{Group, GroupName, Settings},
};

/// What a probe binds while no interface was seen: the remote management interface, which every DCE/RPC server has (C706
/// appendix Q).
const MANAGEMENT: SyntaxId = SyntaxId { uuid: uuid!("afa8bd80-7d8a-11c9-bef4-08002b102989"), major: 1, minor: 0 };

#[derive(Debug, Default)]
pub(super) struct GroupState {
    pub(super) targets: Vec<Target>,
    pub(super) preferred: Option<HostPort>,
    /// The interface that an upstream of the group last accepted.
    pub(super) interface: Option<SyntaxId>,
}

/// A probe to make.
#[derive(Clone, Debug)]
pub(super) struct ProbeTask {
    pub(super) upstream: UpstreamId,
    pub(super) interface: SyntaxId,
    /// Whether this upstream accepted the interface before, so that it fails if it does not any more. That another one
    /// did says nothing: a client may find an interface that only one of them has.
    pub(super) was_accepted: bool,
    pub(super) call_id: u32,
}

pub(super) struct GatewayState {
    pub(super) settings: Arc<Settings>,
    pub(super) groups: BTreeMap<GroupName, GroupState>,
    pub(super) upstreams: BTreeMap<UpstreamId, UpstreamState>,
    pub(super) srv: SrvNames,
    pub(super) is_prober: bool,
    pub(super) last_request: Option<Duration>,
    loop_key: LoopKey,
    random: StdRng,
}

impl GatewayState {
    pub(super) fn new(settings: Settings, loop_key: LoopKey, random: StdRng, now: Duration) -> Self {
        let mut state = Self {
            settings: Arc::default(),
            groups: BTreeMap::new(),
            upstreams: BTreeMap::new(),
            srv: SrvNames::default(),
            is_prober: true,
            last_request: None,
            loop_key,
            random,
        };
        state.set(settings, now);
        state
    }

    /// Takes new settings. What is known of upstreams that stay is kept.
    pub(super) fn set(&mut self, settings: Settings, now: Duration) {
        self.settings = Arc::new(settings);
        let settings = Arc::clone(&self.settings);
        let upstreams = settings.groups().values().flat_map(|group| &group.upstreams);
        let names: BTreeSet<DnsName> = upstreams
            .filter_map(|upstream| match &upstream.address {
                UpstreamAddress::Srv(name) => Some(name.clone()),
                UpstreamAddress::Host(_) => None,
            })
            .collect();
        self.srv.keep(names);
        let mut known = std::mem::take(&mut self.groups);
        let groups = settings.groups().keys().map(|name| {
            let state = known.remove(name).unwrap_or_default();
            (name.clone(), state)
        });
        self.groups = groups.collect();
        self.rebuild(now);
    }

    /// Takes the answer to a lookup of an `srv:` name; returns the number of targets where they changed.
    pub(super) fn srv_ended(
        &mut self,
        name: &DnsName,
        result: Result<Found<Srv>, NotFound>,
        now: Duration,
    ) -> Option<usize> {
        let has_changed = self.srv.ended(name, result, now);
        if has_changed {
            self.rebuild(now);
        }
        has_changed.then(|| self.srv.targets(name).len())
    }

    /// Makes the targets of each group from settings and SRV records.
    fn rebuild(&mut self, now: Duration) {
        let settings = Arc::clone(&self.settings);
        let mut known = std::mem::take(&mut self.upstreams);
        for (name, group) in settings.groups() {
            let targets = targets_of(group, &self.srv);
            for target in &targets {
                let id = UpstreamId { group: name.clone(), address: target.address.clone() };
                let mark = self.loop_key.call_id(name, &target.address);
                let state = known.remove(&id).unwrap_or_else(|| UpstreamState::new(mark, now));
                self.upstreams.insert(id, state);
            }
            if let Some(state) = self.groups.get_mut(name) {
                state.targets = targets;
            }
        }
    }

    /// The upstreams to try for an association of this group, in order.
    pub(super) fn candidates(&self, name: &GroupName) -> Vec<UpstreamId> {
        let Some(group) = self.groups.get(name) else { return Vec::new() };
        let id = |address: &HostPort| UpstreamId { group: name.clone(), address: address.clone() };
        let state = |address: &HostPort| self.state(&id(address));
        order::candidates(&group.targets, group.preferred.as_ref(), state).iter().map(id).collect()
    }

    /// The other upstreams of the group, which get the requests that `chosen` answered; with those that are failing.
    pub(super) fn mirrors(&self, chosen: &UpstreamId) -> Vec<(UpstreamId, State)> {
        let is_on = self.settings.groups().get(&chosen.group).is_some_and(|group| group.mirror);
        let Some(group) = self.groups.get(&chosen.group).filter(|_| is_on) else { return Vec::new() };
        let others = group.targets.iter().filter(|target| !target.is_drained && target.address != chosen.address);
        others
            .map(|target| {
                let id = UpstreamId { group: chosen.group.clone(), address: target.address.clone() };
                let state = self.state(&id);
                (id, state)
            })
            .collect()
    }

    /// The state by this node's probes.
    fn state(&self, id: &UpstreamId) -> State {
        self.upstreams.get(id).map_or(State::Unknown, |upstream| upstream.health.state())
    }

    /// The state as an administrator sees it.
    pub(super) fn shown_state(&self, id: &UpstreamId, target: &Target) -> State {
        if target.is_drained { State::Drained } else { self.state(id) }
    }

    /// Notes that an upstream answered a bind of a client, and the interface that it accepted.
    pub(super) fn bound(&mut self, id: &UpstreamId, accepted: Option<SyntaxId>, took: Duration) {
        let Some(upstream) = self.upstreams.get_mut(id) else { return };
        upstream.last_bind = Some(took);
        if accepted.is_some() {
            upstream.interface = accepted;
            if let Some(group) = self.groups.get_mut(&id.group) {
                group.interface = accepted;
            }
        }
    }

    /// The upstream whose probe has this call number.
    pub(super) fn marked(&self, call_id: u32) -> Option<UpstreamId> {
        self.upstreams.iter().find(|(_, upstream)| upstream.mark == call_id).map(|(id, _)| id.clone())
    }

    /// The group of an association, where there is one.
    pub(super) fn group_of(&self, interfaces: impl IntoIterator<Item = Uuid>, client: IpAddr) -> Option<GroupName> {
        self.settings.group_of(interfaces, client).cloned()
    }

    /// When the next probe or lookup is due.
    pub(super) fn due(&self) -> Option<Duration> {
        let probes = self.upstreams.values().filter_map(|upstream| upstream.probe_due(self.is_prober));
        probes.chain(self.srv.due()).min()
    }

    /// Begins the probes that are due.
    pub(super) fn begin_probes(&mut self, now: Duration) -> Vec<ProbeTask> {
        let is_prober = self.is_prober;
        let mut tasks = Vec::new();
        for (id, upstream) in &mut self.upstreams {
            if upstream.probe_due(is_prober).is_none_or(|due| due > now) {
                continue;
            }
            upstream.probe_begins(now, &mut self.random);
            let in_group = || self.groups.get(&id.group).and_then(|group| group.interface);
            let configured = || {
                let uuid = self.settings.groups().get(&id.group)?.interfaces.first()?;
                Some(SyntaxId { uuid: *uuid, major: 1, minor: 0 })
            };
            let accepted = upstream.interface;
            tasks.push(ProbeTask {
                upstream: id.clone(),
                interface: accepted.or_else(in_group).or_else(configured).unwrap_or(MANAGEMENT),
                was_accepted: accepted.is_some(),
                call_id: upstream.mark,
            });
        }
        tasks
    }
}

fn targets_of(group: &Group, srv: &SrvNames) -> Vec<Target> {
    // An address that is configured and a target of a name, too, has the better rank, and is drained by either.
    let mut targets: BTreeMap<HostPort, (Rank, bool)> = BTreeMap::new();
    let mut add = |address: &HostPort, rank: Rank, is_drained: bool| {
        if targets.len() >= UPSTREAMS_MAX && !targets.contains_key(address) {
            return;
        }
        let is_drained = is_drained || group.drained.contains(address);
        let target = targets.entry(address.clone()).or_insert((rank, is_drained));
        *target = (rank.min(target.0), is_drained || target.1);
    };
    for upstream in &group.upstreams {
        let rank = |address| Rank::new(upstream.priority, upstream.weight, group.prefer.as_ref() == Some(address));
        match &upstream.address {
            UpstreamAddress::Host(address) => add(address, rank(address), upstream.is_drained),
            UpstreamAddress::Srv(name) => {
                for target in srv.targets(name) {
                    let rank = rank(&target.address).of_srv(target.priority, target.weight);
                    add(&target.address, rank, upstream.is_drained);
                }
            }
        }
    }
    targets.into_iter().map(|(address, (rank, is_drained))| Target { address, rank, is_drained }).collect()
}
