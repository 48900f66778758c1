//! What a gateway knows of each upstream host: health, addresses, counters, when the next probe is due.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use dcerpc::relay::SyntaxId;
use rand::{RngExt as _, rngs::StdRng};

use crate::{
    choice::health::{Health, State},
    failure::Failure,
    limits::{PROBE_INTERVAL, PROBE_JITTER, PROBE_RETRY, TTL_MAX, TTL_MIN},
};

/// Counters of one upstream since it was configured.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) open: AtomicU64,
    pub(super) associations: AtomicU64,
    pub(super) failures: AtomicU64,
    pub(super) mirrored: AtomicU64,
    pub(super) mirror_dropped: AtomicU64,
}

/// Counters as a status shows them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UpstreamCounts {
    /// Associations that are open now.
    pub open: u64,
    /// Associations whose bind the upstream answered.
    pub associations: u64,
    /// Associations with it, or attempts to get one, that failed.
    pub failures: u64,
    /// Requests that it answered as a mirror.
    pub mirrored: u64,
    /// Requests that it should have got as a mirror and did not.
    pub mirror_dropped: u64,
}

impl Counters {
    pub(super) fn read(&self) -> UpstreamCounts {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        UpstreamCounts {
            open: of(&self.open),
            associations: of(&self.associations),
            failures: of(&self.failures),
            mirrored: of(&self.mirrored),
            mirror_dropped: of(&self.mirror_dropped),
        }
    }
}

/// The addresses of an upstream's name.
#[derive(Debug, Default)]
struct Resolved {
    addresses: Vec<SocketAddr>,
    /// Until when they are used without a new lookup.
    until: Duration,
    looked_up: Option<Duration>,
}

/// One upstream host of a group.
#[derive(Debug)]
pub(super) struct UpstreamState {
    pub(super) health: Health,
    pub(super) counters: Arc<Counters>,
    pub(super) last_bind: Option<Duration>,
    /// Call number of its probes.
    pub(super) mark: u32,
    /// The interface that it last accepted for a client.
    pub(super) interface: Option<SyntaxId>,
    resolved: Resolved,
    next_probe: Duration,
    last_probe: Option<Duration>,
    is_wanted: bool,
    is_probing: bool,
}

impl UpstreamState {
    pub(super) fn new(mark: u32, now: Duration) -> Self {
        Self {
            health: Health::new(now),
            counters: Arc::default(),
            last_bind: None,
            mark,
            interface: None,
            resolved: Resolved::default(),
            next_probe: now,
            last_probe: None,
            // Every node probes a new upstream once.
            is_wanted: true,
            is_probing: false,
        }
    }

    /// When the next probe is due. A node that has not got the task to probe asks only about upstreams that it does not
    /// know as healthy, and on demand.
    pub(super) fn probe_due(&self, is_prober: bool) -> Option<Duration> {
        if self.is_probing {
            return None;
        }
        let soon = self.last_probe.map_or(self.next_probe, |last| last + PROBE_RETRY);
        if self.is_wanted || self.health.is_in_doubt() {
            return Some(soon);
        }
        (is_prober || self.health.state() != State::Healthy).then_some(self.next_probe)
    }

    pub(super) fn want_probe(&mut self) {
        self.is_wanted = true;
    }

    pub(super) fn probe_begins(&mut self, now: Duration, random: &mut StdRng) {
        let jitter = random.random_range(0..=2 * u64::try_from(PROBE_JITTER.as_millis()).unwrap_or(0));
        (self.is_probing, self.is_wanted, self.last_probe) = (true, false, Some(now));
        self.next_probe = now + PROBE_INTERVAL - PROBE_JITTER + Duration::from_millis(jitter);
    }

    /// Returns whether the state changed.
    pub(super) fn probe_ended(&mut self, result: Result<Duration, Failure>, now: Duration) -> bool {
        self.is_probing = false;
        match result {
            Ok(took) => self.last_bind = Some(took),
            Err(_) => self.is_suspect(now),
        }
        self.health.probed(result.map(|_| ()), now)
    }

    /// Has the name looked up again at the next connection, but not more often than every [`TTL_MIN`].
    pub(super) fn is_suspect(&mut self, now: Duration) {
        if self.resolved.looked_up.is_none_or(|at| now.saturating_sub(at) >= TTL_MIN) {
            self.resolved.until = now;
        }
    }

    /// The known addresses, and whether they may be used without a lookup.
    pub(super) fn addresses(&self, now: Duration) -> (Vec<SocketAddr>, bool) {
        (self.resolved.addresses.clone(), now < self.resolved.until)
    }

    pub(super) fn found(&mut self, addresses: Vec<SocketAddr>, ttl: Duration, now: Duration) {
        self.resolved = Resolved { addresses, until: now + ttl.clamp(TTL_MIN, TTL_MAX), looked_up: Some(now) };
    }

    /// A lookup failed: the known addresses are used until the next one.
    pub(super) fn not_found(&mut self, now: Duration) {
        self.resolved.looked_up = Some(now);
        if !self.resolved.addresses.is_empty() {
            self.resolved.until = now + TTL_MIN;
        }
    }
}
