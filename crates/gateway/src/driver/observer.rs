//! What a gateway tells its caller: for events, metrics and the log.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use uuid::Uuid;

use crate::{
    address::HostPort, association::ending::Ending, choice::health::State, failure::Failure,
    mirror::session::MirrorEnd, settings::GroupName,
};

/// An upstream host in a group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UpstreamId {
    pub group: GroupName,
    pub address: HostPort,
}

/// One association, when it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssociationEnd {
    /// The client's address, from the PROXY header where a trusted proxy sent one.
    pub client: SocketAddr,
    pub group: GroupName,
    /// The upstream that answered the bind, or was tried last.
    pub upstream: Option<HostPort>,
    /// The first interface that the client proposed.
    pub interface: Option<Uuid>,
    pub duration: Duration,
    /// Bytes from the client to the upstream, binds of further attempts not counted.
    pub client_bytes: u64,
    /// Bytes from the upstream to the client.
    pub upstream_bytes: u64,
    /// Requests that were answered.
    pub requests: u64,
    pub ending: Ending,
}

/// What happened to a request on its way to a mirror.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MirrorOutcome {
    /// The mirror answered it.
    Answered,
    /// It was left out: the mirror is not healthy, too slow, or full; or a budget was used up.
    Dropped,
}

/// Receives what happens. Every method returns at once; it is called on the tasks that forward.
pub trait Observer: Send + Sync {
    /// An association began to be forwarded.
    fn association_began(&self, _group: &GroupName) {}

    /// An upstream answered a bind of a client, this long after the connection was begun.
    fn bound(&self, _upstream: &UpstreamId, _took: Duration) {}

    /// Requests of this client were answered.
    fn answered(&self, _client: IpAddr, _upstream: &UpstreamId, _requests: u64) {}

    /// An association ended.
    fn association_ended(&self, _end: &AssociationEnd) {}

    /// An association with an upstream failed, or an attempt to get one.
    fn failed(&self, _upstream: &UpstreamId, _failure: Failure) {}

    /// A probe ended.
    fn probed(&self, _upstream: &UpstreamId, _result: Result<Duration, Failure>) {}

    /// The state of an upstream, as this node sees it, changed.
    fn state_changed(&self, _upstream: &UpstreamId, _state: State, _why: Option<Failure>) {}

    /// A probe of this upstream came back to this node.
    fn loop_found(&self, _upstream: &UpstreamId) {}

    /// A request was mirrored, or left out. `None`: before a mirror was chosen.
    fn mirrored(&self, _mirror: Option<&UpstreamId>, _outcome: MirrorOutcome, _requests: u64) {}

    /// A mirror gets nothing more of an association.
    fn mirror_ended(&self, _mirror: &UpstreamId, _why: MirrorEnd) {}

    /// The targets of an `srv:` name changed.
    fn targets_changed(&self, _name: &str, _targets: usize) {}
}

/// Observes nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unobserved;

impl Observer for Unobserved {}
