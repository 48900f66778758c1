//! The gateway: what a daemon calls.

use std::{collections::BTreeMap, fmt, net::IpAddr, sync::Arc, time::Duration};

use tokio::sync::watch;

use crate::{
    address::HostPort,
    association::{ending::Ending, first_bind::FirstBind},
    choice::{health::State, target::Target},
    driver::{
        environment::Environment,
        forward::{self, Accepted},
        inner::Inner,
        observer::UpstreamId,
        upkeep,
        upstreams::UpstreamCounts,
    },
    failure::Failure,
    settings::{GroupName, Settings},
};

/// Where an association of a foreign interface goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// To an upstream of a group: call [`Gateway::forward`].
    Forward(Route),
    /// No upstream is configured for it: answer as without a gateway.
    NoGroup,
    /// The client's address is in none of the networks of `gateway.allow`: close the connection.
    NotAllowed,
    /// A probe of this cluster that came back through this upstream, which is out now: close the connection.
    Loop(UpstreamId),
}

/// The group that an association was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    group: GroupName,
}

impl Route {
    /// The group's name.
    pub fn group(&self) -> &GroupName {
        &self.group
    }
}

/// One upstream in a [`Status`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamStatus {
    pub id: UpstreamId,
    pub target: Target,
    pub state: State,
    /// How long this node has seen the upstream in its state, drained or not.
    pub in_state_for: Duration,
    /// How the last probe failed, if it did.
    pub why: Option<Failure>,
    pub is_preferred: bool,
    pub counts: UpstreamCounts,
    /// How long the last bind took, of a probe or a client.
    pub last_bind: Option<Duration>,
}

/// What a node's gateway does, for administrators, metrics and readiness.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Each group with its preferred upstream, and whether it mirrors.
    pub groups: Vec<(GroupName, Option<HostPort>, bool)>,
    pub upstreams: Vec<UpstreamStatus>,
    /// How long ago a request was answered by any upstream.
    pub last_request: Option<Duration>,
}

impl Status {
    /// Whether the gateway can be used: an upstream is healthy as this node sees it.
    pub fn is_ready(&self) -> bool {
        self.upstreams.iter().any(|upstream| upstream.state == State::Healthy)
    }
}

/// One node's gateway. Clones are the same gateway.
#[derive(Clone)]
pub struct Gateway(Arc<Inner>);

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway").finish_non_exhaustive()
    }
}

impl Gateway {
    /// A gateway with these settings. Nothing is probed, mirrored or looked up unless [`Self::run`] runs.
    pub fn new(settings: Settings, environment: Environment) -> Self {
        Self(Arc::new(Inner::new(settings, environment)))
    }

    /// Probes upstreams, follows `srv:` names and serves mirrors until `stopping` becomes true. Run it once.
    pub async fn run(&self, stopping: watch::Receiver<bool>) {
        upkeep::run(Arc::clone(&self.0), stopping).await;
    }

    /// Takes new settings: for new associations, while open ones stay. What is known of upstreams that stay is kept.
    pub fn set_settings(&self, settings: Settings) {
        let now = self.0.now();
        self.0.state().set(settings, now);
        self.0.changed.notify_one();
    }

    /// Takes the replicated preference of a group. It holds until the next call, also without a leader.
    pub fn set_preferred(&self, group: &GroupName, preferred: Option<HostPort>) {
        if let Some(state) = self.0.state().groups.get_mut(group) {
            state.preferred = preferred;
        }
    }

    /// Whether this node probes all upstreams every 5 s (the default), or only those that it does not know as healthy.
    /// One node of a cluster should.
    pub fn set_prober(&self, is_prober: bool) {
        self.0.state().is_prober = is_prober;
        self.0.changed.notify_one();
    }

    /// Takes another node's report: this node probes what it knows as healthy and the other one as failing.
    pub fn heard(&self, group: &GroupName, states: &BTreeMap<HostPort, State>) {
        let failing = states.iter().filter(|(_, state)| **state == State::Failing);
        for (address, _) in failing {
            let id = UpstreamId { group: group.clone(), address: address.clone() };
            self.0.with_upstream(&id, |upstream| {
                if upstream.health.state() != State::Failing {
                    upstream.want_probe();
                }
            });
        }
        self.0.changed.notify_one();
    }

    /// What this node's probes say, for the leader: the states of each group's upstreams.
    pub fn report(&self) -> BTreeMap<GroupName, BTreeMap<HostPort, State>> {
        let mut report: BTreeMap<GroupName, BTreeMap<HostPort, State>> = BTreeMap::new();
        for (id, upstream) in &self.0.state().upstreams {
            report.entry(id.group.clone()).or_default().insert(id.address.clone(), upstream.health.state());
        }
        report
    }

    /// The upstreams of each group, `srv:` names resolved, with the preference that this node follows.
    pub fn targets(&self) -> BTreeMap<GroupName, (Vec<Target>, Option<HostPort>)> {
        let state = self.0.state();
        let groups = state.groups.iter();
        groups.map(|(name, group)| (name.clone(), (group.targets.clone(), group.preferred.clone()))).collect()
    }

    /// Decides about an association whose bind was read. Ask only about associations that the node does not answer
    /// itself: see [`FirstBind::names`].
    pub fn admit(&self, bind: &FirstBind, client: IpAddr) -> Admission {
        let fields = bind.bind();
        let interfaces = || fields.interfaces.iter().map(|interface| interface.uuid);
        let looped = self.0.state().marked(fields.call_id);
        if let Some(upstream) = looped {
            self.0.environment.observer.loop_found(&upstream);
            self.0.found_loop(&upstream);
            return Admission::Loop(upstream);
        }
        let state = self.0.state();
        match state.group_of(interfaces(), client) {
            None => Admission::NoGroup,
            Some(_) if !state.settings.allows(client) => Admission::NotAllowed,
            Some(group) => Admission::Forward(Route { group }),
        }
    }

    /// Forwards an association until it ends. When `stopping` becomes true, it ends at once if no call waits for its
    /// answer, otherwise with the last answer or after 5 s. A caller that drops the future closes both connections.
    pub async fn forward(&self, route: Route, accepted: Accepted, stopping: watch::Receiver<bool>) -> Ending {
        forward::forward(Arc::clone(&self.0), route.group, accepted, stopping).await
    }

    /// The state of everything on this node.
    pub fn status(&self) -> Status {
        let now = self.0.now();
        let state = self.0.state();
        let mut status = Status::default();
        for (name, group) in &state.groups {
            let mirror = state.settings.groups().get(name).is_some_and(|settings| settings.mirror);
            status.groups.push((name.clone(), group.preferred.clone(), mirror));
            for target in &group.targets {
                let id = UpstreamId { group: name.clone(), address: target.address.clone() };
                let Some(upstream) = state.upstreams.get(&id) else { continue };
                status.upstreams.push(UpstreamStatus {
                    state: state.shown_state(&id, target),
                    in_state_for: now.saturating_sub(upstream.health.since()),
                    why: upstream.health.last_failure(),
                    is_preferred: group.preferred.as_ref() == Some(&target.address),
                    counts: upstream.counters.read(),
                    last_bind: upstream.last_bind,
                    target: target.clone(),
                    id,
                });
            }
        }
        status.last_request = state.last_request.map(|at| now.saturating_sub(at));
        status
    }

    /// Bytes that are held for mirrors now; at most [`crate::limits::MIRROR_BYTES_MAX`].
    pub fn mirror_bytes(&self) -> usize {
        self.0.mirror_budget.used()
    }
}

impl Inner {
    fn found_loop(&self, id: &UpstreamId) {
        let now = self.now();
        let changed = self.with_upstream(id, |upstream| upstream.health.probed(Err(Failure::Loop), now));
        if changed == Some(true) {
            self.environment.observer.state_changed(id, State::Failing, Some(Failure::Loop));
        }
    }
}
